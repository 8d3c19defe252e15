// Command bot is the bot that the bench measures: handlers of disgo's types that
// do as little as there is to do, or use the store. BENCH_HANDLERS says how many
// handlers it has, BENCH_WORK what each does with a message:
//
//	none   nothing
//	write  one write of 100 bytes, to a key of its own
//	read   100 reads, each of a key that is there
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/disgoorg/disgo/gateway"

	"github.com/botnode/botnode"
)

// reads is how many keys a handler of "read" reads; there are as many.
const reads = 100

func main() {
	b, err := newBot(os.Getenv("BENCH_HANDLERS"), os.Getenv("BENCH_WORK"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench bot:", err)
		os.Exit(1)
	}
	botnode.Main(b)
}

func newBot(handlers, work string) (*botnode.Bot, error) {
	n, err := strconv.Atoi(handlers)
	if err != nil {
		return nil, fmt.Errorf("BENCH_HANDLERS: %w", err)
	}
	do := map[string]func(*botnode.Context, gateway.EventMessageCreate) error{"none": look, "write": write, "read": read}[work]
	if do == nil {
		return nil, fmt.Errorf("BENCH_WORK: %q is none, write or read", work)
	}
	b := botnode.New()
	for i := range n {
		botnode.On(b, fmt.Sprintf("bench%d", i), do)
	}
	return b, nil
}

// look is what a handler does that has no use for a message.
func look(_ *botnode.Context, e gateway.EventMessageCreate) error {
	if e.Content == "" {
		return errors.New("a message without content")
	}
	return nil
}

var value = bytes.Repeat([]byte("x"), 100)

// write writes a key of the message's channel: as many keys as a bot of that many
// channels has, so that the store doesn't grow for ever.
func write(c *botnode.Context, e gateway.EventMessageCreate) error {
	return c.KV().Put(fmt.Sprintf("channel/%d/%d", e.ChannelID, c.Position()%1000), value)
}

// read reads all keys, which the first handler that finds none makes.
func read(c *botnode.Context, _ gateway.EventMessageCreate) error {
	kv := c.KV()
	for i := range reads {
		key := "read/" + strconv.Itoa(i)
		_, err := kv.Get(key)
		if errors.Is(err, botnode.ErrNotFound) {
			err = kv.Put(key, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

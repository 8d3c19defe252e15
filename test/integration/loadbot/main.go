// Command loadbot is a bot that sends messages from every node, as fast as it is
// told, and writes down what became of each. It begins when the file load.json
// appears beside its data directory, and writes load-ID.json there.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	disgo "github.com/disgoorg/disgo/discord"
	disgorest "github.com/disgoorg/disgo/rest"
	"github.com/disgoorg/snowflake/v2"

	"github.com/botnode/botnode"
	"github.com/botnode/botnode/discord/rest"
	"github.com/botnode/botnode/shard"
)

// load is what is to be sent.
type load struct {
	Channels []snowflake.ID `json:"channels"`
	// Rate is messages a second of this node; Seconds is for how long.
	Rate    int `json:"rate"`
	Seconds int `json:"seconds"`
	// Patience is how long a message may wait, in seconds.
	Patience int `json:"patience"`
}

// outcome is what became of it.
type outcome struct {
	Offered int `json:"offered"`
	Sent    int `json:"sent"`
	// Refused counts those that would have had to wait for too long.
	Refused int `json:"refused"`
	// Quiet counts those that weren't sent since the node had lost its leader.
	Quiet  int      `json:"quiet"`
	Errors []string `json:"errors"`
}

func main() {
	b := botnode.New()
	if i := slices.Index(os.Args, "--data-dir"); i > 0 && i+1 < len(os.Args) {
		dir := os.Args[i+1]
		go run(b, filepath.Dir(dir), filepath.Base(dir))
	}
	botnode.Main(b)
}

// run waits for the file, sends, and writes the outcome.
func run(b *botnode.Bot, dir, id string) {
	var l load
	for {
		raw, err := os.ReadFile(filepath.Join(dir, "load.json"))
		if err == nil && json.Unmarshal(raw, &l) == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	raw, err := json.Marshal(send(b, id, l))
	if err == nil {
		path := filepath.Join(dir, "load-"+id+".json")
		if err = os.WriteFile(path+".new", raw, 0o600); err == nil {
			err = os.Rename(path+".new", path)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// send sends the messages, the channels in turn.
func send(b *botnode.Bot, id string, l load) (out outcome) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(l.Rate))
	defer tick.Stop()
	for i := range l.Rate * l.Seconds {
		<-tick.C
		out.Offered++
		wg.Go(func() {
			err := one(b, l.Channels[i%len(l.Channels)], fmt.Sprintf("load %s %d", id, i), time.Duration(l.Patience)*time.Second)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				out.Sent++
			case errors.Is(err, rest.ErrRateLimited), errors.Is(err, context.DeadlineExceeded):
				out.Refused++
			case errors.Is(err, shard.ErrNotFresh):
				out.Quiet++
			default:
				out.Errors = append(out.Errors, err.Error())
			}
		})
	}
	wg.Wait()
	return out
}

// one sends one message.
func one(b *botnode.Bot, channel snowflake.ID, text string, patience time.Duration) error {
	api, err := b.REST()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = api.CreateMessage(channel, disgo.MessageCreate{Content: text}, disgorest.WithCtx(ctx))
	return err
}

// Command tallybot is a bot that counts the same messages in every way that the
// replicated store has, fails on command, and ends its process between an
// effect and its acknowledgement.
//
// A message is "!tally N WORDS": each word is what is to be done with it beside
// what all are counted by.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/botnode/botnode"
)

// fails is how often the stubborn handler fails at a message.
const fails = 2

// died is the exit code of a process that was asked to end.
const died = 7

// tally is the value that all guilds' handlers change.
type tally struct {
	Count   int            `json:"count"`
	ByGuild map[string]int `json:"by_guild"`
}

// message is what a handler was told to count.
type message struct {
	n     int
	words []string
}

func (m message) has(word string) bool { return slices.Contains(m.words, word) }

// after returns the rest of the word with a prefix.
func (m message) after(prefix string) (string, bool) {
	for _, w := range m.words {
		if rest, ok := strings.CutPrefix(w, prefix); ok {
			return rest, true
		}
	}
	return "", false
}

func main() {
	b := botnode.New()
	// A handler that loses a race for its keys, or finds no leader for a write of
	// its own, is not poison here: nothing here is meant to become a dead letter.
	patience := botnode.Retries(100, 5*time.Millisecond)
	on := func(name, word string, f func(*botnode.Context, message) error) {
		botnode.OnRaw(b, name, "MESSAGE_CREATE", func(c *botnode.Context) error {
			m, err := parse(c.Raw())
			if err != nil || word != "" && !m.has(word) {
				return err
			}
			return f(c, m)
		}, botnode.Filter(told), patience)
	}
	on("count", "", count)
	on("calm", "pair", calm)
	on("stubborn", "pair", stubborn)
	on("mortal", "die", func(c *botnode.Context, m message) error { return mortal(b, c, m) })
	botnode.OnRaw(b, "chatter", "MESSAGE_CREATE", chatter, botnode.Filter(ordinary), patience)
	botnode.Main(b)
}

func told(raw []byte) bool { return bytes.Contains(raw, []byte(`"content":"!tally `)) }

func parse(raw []byte) (m message, err error) {
	var ev struct {
		Content string `json:"content"`
	}
	if err := json.Unmarshal(raw, &ev); err != nil {
		return m, err
	}
	m.words = strings.Fields(ev.Content)
	if len(m.words) < 2 {
		return m, fmt.Errorf("%q is nothing to count", ev.Content)
	}
	m.n, err = strconv.Atoi(m.words[1])
	m.words = m.words[2:]
	return m, err
}

// prefix is how the text of a message of the simulator's load begins.
var prefix = []byte(`"content":"message `)

func ordinary(raw []byte) bool { return bytes.Contains(raw, prefix) }

// chatter counts ordinary messages, which have numbers, and adds these up: there
// are too many of them for an answer to each.
func chatter(c *botnode.Context) error {
	_, text, _ := bytes.Cut(c.Raw(), prefix)
	digits := 0
	for digits < len(text) && '0' <= text[digits] && text[digits] <= '9' {
		digits++
	}
	n, err := strconv.ParseInt(string(text[:digits]), 10, 64)
	if err != nil {
		return err
	}
	kv, key := c.KV(), "chatter/"+c.Guild().String()
	if err := kv.Add(key, 1); err != nil {
		return err
	}
	return kv.Add(key+"/sum", n)
}

// count adds to two counters, and to more by what the message says.
func count(c *botnode.Context, m message) error {
	kv, guild := c.KV(), c.Guild().String()
	for _, key := range []string{"total", "guild/" + guild} {
		if err := kv.Add(key, 1); err != nil {
			return err
		}
	}
	if m.has("update") {
		_, err := botnode.Update(kv, "tally", func(t *tally) error {
			if t.ByGuild == nil {
				t.ByGuild = map[string]int{}
			}
			t.Count++
			t.ByGuild[guild]++
			return nil
		})
		if err != nil {
			return err
		}
	}
	if m.has("sum") {
		if _, err := kv.Increment("sum", int64(m.n)); err != nil {
			return err
		}
	}
	if race, ok := m.after("first="); ok {
		won, err := kv.PutIfAbsent("first/"+race, []byte(strconv.Itoa(m.n)))
		if err != nil {
			return err
		}
		key := "late"
		if won {
			key = "won"
		}
		if err := kv.Add(key, 1); err != nil {
			return err
		}
	}
	return answer(c, "count", m)
}

// calm succeeds at what its neighbour stubborn fails at.
func calm(c *botnode.Context, m message) error {
	if err := c.KV().Add("calm", 1); err != nil {
		return err
	}
	return answer(c, "calm", m)
}

var errAsked = errors.New("asked to fail")

// stubborn fails some times, after it has written: that must leave no trace.
func stubborn(c *botnode.Context, m message) error {
	if err := c.KV().Add("stubborn", 1); err != nil {
		return err
	}
	if err := c.KV().Add("stubborn/attempts", int64(c.Attempt())); err != nil {
		return err
	}
	if c.Attempt() <= fails {
		return errAsked
	}
	return answer(c, "stubborn", m)
}

// mortal ends its process after its message was sent, once a message: that it
// did is written apart from the acknowledgement, which therefore is not made.
func mortal(b *botnode.Bot, c *botnode.Context, m message) error {
	if err := c.KV().Add("mortal", 1); err != nil {
		return err
	}
	if err := answer(c, "mortal", m); err != nil {
		return err
	}
	first, err := b.Store(c).PutIfAbsent("died/"+strconv.Itoa(m.n), []byte("1"))
	if err != nil {
		return err
	}
	if first {
		os.Exit(died) //nolint:revive // the handler that ends its process is what this program is for
	}
	return nil
}

func answer(c *botnode.Context, handler string, m message) error {
	return c.Reply(handler + " " + strconv.Itoa(m.n))
}

// Command testbot is a bot whose handler does on command what handlers must
// not: it panics, hangs, and ends its process.
package main

import (
	"encoding/json"
	"errors"
	"os"
	"strings"

	"github.com/botnode/botnode"
)

// The linker sets these.
var (
	// version is that of the program.
	version = "1"
	// counter is the key that counts the pings of all guilds, for which their
	// handlers compete; each guild has its own if it is empty.
	counter = "pings"
)

func main() {
	b := botnode.New()
	botnode.OnRaw(b, "talk", "MESSAGE_CREATE", talk)
	if version != "1" { // a handler that the first version doesn't have
		botnode.OnRaw(b, "greet", "MESSAGE_CREATE", greet)
	}
	botnode.Main(b)
}

var errAsked = errors.New("asked to fail")

// talk answers messages. "once" limits a misdeed to the first attempt.
func talk(c *botnode.Context) error {
	var m struct {
		Content string `json:"content"`
	}
	if err := json.Unmarshal(c.Raw(), &m); err != nil {
		return err
	}
	word, rest, _ := strings.Cut(m.Content, " ")
	if rest == "once" && c.Attempt() > 1 {
		word = "!answer"
	}
	switch word {
	case "!ping":
		key := counter
		if key == "" {
			key = "pings/" + c.Guild().String()
		}
		if err := c.KV().Add(key, 1); err != nil {
			return err
		}
		return c.Reply("pong " + rest)
	case "!version":
		return c.Reply("version " + version)
	case "!answer":
		return c.Reply("done")
	case "!fail":
		return errAsked
	case "!panic":
		panic("asked to")
	case "!hang":
		select {} // not even its context ends it
	case "!die":
		os.Exit(7) //nolint:revive // the handler that ends its process is what this program is for
	}
	return nil
}

// greet answers greetings.
func greet(c *botnode.Context) error {
	var m struct {
		Content string `json:"content"`
	}
	if err := json.Unmarshal(c.Raw(), &m); err != nil {
		return err
	}
	if m.Content == "!hello" {
		return c.Reply("hello from " + version)
	}
	return nil
}

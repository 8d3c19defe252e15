package botnode

import (
	"bytes"
	"strings"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/jsonscan"
)

// pingBot is the built-in bot: it answers "!ping X" with "pong X" in the same
// channel.
func pingBot() *Bot {
	b := New()
	OnRaw(b, "ping", discord.EventMessageCreate, func(c *Context) error {
		raw := c.Raw()
		if !bytes.Contains(raw, []byte("!ping")) {
			return nil // most messages: looked at, not scanned
		}
		var content string
		var bot bool
		err := jsonscan.Fields(raw, func(key, val []byte) bool {
			switch string(key) {
			case "content":
				content = jsonscan.String(val)
			case "author":
				bot, _ = jsonscan.Bool(jsonscan.Get(val, "bot"))
			}
			return true
		})
		if err != nil || bot {
			return err
		}
		switch rest, ok := strings.CutPrefix(content, "!ping"); {
		case ok && rest == "":
			return c.Reply("pong")
		case ok && strings.HasPrefix(rest, " "):
			return c.Reply("pong" + rest)
		}
		return nil
	})
	return b
}

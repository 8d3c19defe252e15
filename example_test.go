package botnode_test

import (
	"errors"
	"fmt"
	"os"

	"github.com/disgoorg/disgo/gateway"

	"github.com/botnode/botnode"
)

// A bot that counts greetings in its replicated store. The count is exact
// whatever dies meanwhile: it commits together with the handler's
// acknowledgement, or not at all.
func Example() {
	bot := botnode.New()
	botnode.On(bot, "greet", func(c *botnode.Context, e gateway.EventMessageCreate) error {
		if e.Author.Bot || e.Content != "hello" {
			return nil
		}
		n, err := c.KV().Increment("greetings", 1)
		if err != nil {
			return err
		}
		return c.Reply(fmt.Sprintf("hello, %s: greeting number %d", e.Author.Username, n))
	})
	if len(os.Args) > 1 && os.Args[1] == "start" {
		botnode.Main(bot) // a program calls only this
	}
}

// A raw handler gets Discord's JSON as it came.
func ExampleOnRaw() {
	bot := botnode.New()
	botnode.OnRaw(bot, "audit", "GUILD_AUDIT_LOG_ENTRY_CREATE", func(c *botnode.Context) error {
		if len(c.Raw()) == 0 {
			return errors.New("an event without a payload")
		}
		return c.KV().Put(fmt.Sprintf("audit/%d", c.Position()), c.Raw())
	})
}

package botnodetest_test

import (
	"fmt"

	"github.com/disgoorg/disgo/gateway"

	"github.com/botnode/botnode"
	"github.com/botnode/botnode/botnodetest"
	"github.com/botnode/botnode/internal/faket"
)

// newGreeter is the bot under test, as the program's main has it.
func newGreeter() *botnode.Bot {
	b := botnode.New()
	botnode.On(b, "greet", func(c *botnode.Context, e gateway.EventMessageCreate) error {
		if e.Author.Bot || e.Content != "hello" {
			return nil
		}
		n, err := c.KV().Increment("greetings", 1)
		if err != nil {
			return err
		}
		return c.Reply(fmt.Sprintf("greeting number %d", n))
	})
	return b
}

// A bot that counts greetings goes on counting when its leader dies.
func Example() {
	t := faket.New() // in a test: its *testing.T
	defer t.End()

	tb := botnodetest.Start(t, newGreeter, botnodetest.Nodes(3))
	fmt.Println(tb.Say("hello").Answer())
	tb.KillLeader()
	fmt.Println(tb.Say("hello").Answer())
	tb.Say("bye").ExpectNone()
	fmt.Println("counted:", tb.KV("greetings"))
	// Output:
	// greeting number 1
	// greeting number 2
	// counted: 2
}

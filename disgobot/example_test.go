package disgobot_test

import (
	"context"
	"fmt"
	"os"

	"github.com/disgoorg/disgo/bot"
	"github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/events"
	"github.com/disgoorg/disgo/gateway"

	"github.com/botnode/botnode"
	"github.com/botnode/botnode/disgobot"
)

// A disgo bot becomes a clustered one: New for disgo.New, Main for the wait.
func Example() {
	b := botnode.New()
	client, err := disgobot.New(b, os.Getenv("DISCORD_TOKEN"),
		bot.WithGatewayConfigOpts(gateway.WithIntents(gateway.IntentGuilds, gateway.IntentGuildMessages, gateway.IntentMessageContent)),
		bot.WithEventListenerFunc(func(e *events.MessageCreate) {
			if e.Message.Content == "ping" {
				_, _ = e.Client().Rest.CreateMessage(e.ChannelID, discord.NewMessageCreate().WithContent("pong"))
			}
		}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := client.OpenGateway(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "start" {
		botnode.Main(b) // a program calls only this
	}
}

// Command disgobot is a bot written against disgo's client, as its examples
// are, that runs on a cluster: New stands where disgo.New stood, and Main where
// the wait for a signal stood. Its listeners know nothing of it.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/disgoorg/disgo/bot"
	"github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/events"
	"github.com/disgoorg/disgo/gateway"

	"github.com/botnode/botnode"
	"github.com/botnode/botnode/disgobot"
)

func main() {
	b := botnode.New()
	client, err := disgobot.New(b, os.Getenv("DISCORD_TOKEN"),
		bot.WithGatewayConfigOpts(
			gateway.WithIntents(
				gateway.IntentGuilds,
				gateway.IntentGuildMessages,
				gateway.IntentMessageContent,
			),
		),
		bot.WithEventListenerFunc(onMessageCreate),
		bot.WithEventListenerFunc(onCommand),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error while building disgo:", err)
		os.Exit(1)
	}
	if err = client.OpenGateway(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "error while connecting to gateway:", err)
		os.Exit(1)
	}
	botnode.Main(b)
}

func onMessageCreate(event *events.MessageCreate) {
	if event.Message.Author.Bot {
		return
	}
	if text, ok := strings.CutPrefix(event.Message.Content, "!ping "); ok {
		_, _ = event.Client().Rest.CreateMessage(event.ChannelID, discord.NewMessageCreate().WithContent("pong "+text))
	}
	if event.Message.Content == "!where" {
		answer := "I don't know"
		if guild, ok := event.Client().Caches.Guild(*event.GuildID); ok {
			if ch, ok := event.Client().Caches.Channel(event.ChannelID); ok {
				answer = guild.Name + " #" + ch.Name()
			}
		}
		_, _ = event.Client().Rest.CreateMessage(event.ChannelID, discord.NewMessageCreate().WithContent(answer))
	}
	if text, ok := strings.CutPrefix(event.Message.Content, "!play "); ok {
		_ = event.Client().SetPresence(context.Background(), gateway.WithPlayingActivity(text))
	}
}

func onCommand(event *events.ApplicationCommandInteractionCreate) {
	if data := event.SlashCommandInteractionData(); data.CommandName() == "say" {
		_ = event.CreateMessage(discord.NewMessageCreate().WithContent(data.String("message")))
	}
}

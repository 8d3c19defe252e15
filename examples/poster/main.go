// Command poster is a bot that posts a numbered tip every morning into the
// channels that have subscribed by /tips on, until /tips off.
//
// A time of the schedule is an entry of the cluster's journal: whichever node
// dies, it is handled, and once. The number of the tip commits with it, and each
// channel's message has a nonce.
package main

import (
	"fmt"
	"strings"

	"github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/omit"
	"github.com/disgoorg/snowflake/v2"

	"github.com/botnode/botnode"
)

var tips = []string{
	"Words that are hard to take back are easy to sleep over.",
	"A question with an example in it is half answered.",
	"The short message is the one that is read.",
}

func main() { botnode.Main(newBot()) }

func newBot() *botnode.Bot {
	b := botnode.New()
	b.Command(discord.SlashCommandCreate{
		Name: "tips", Description: "A tip in this channel every morning",
		Contexts:                 []discord.InteractionContextType{discord.InteractionContextTypeGuild},
		DefaultMemberPermissions: omit.NewPtr(discord.PermissionManageChannels),
		Options: []discord.ApplicationCommandOption{
			discord.ApplicationCommandOptionSubCommand{Name: "on", Description: "Subscribe this channel"},
			discord.ApplicationCommandOptionSubCommand{Name: "off", Description: "Unsubscribe it"},
		},
	}, nil)
	b.Subcommand("tips/on", subscribe)
	b.Subcommand("tips/off", unsubscribe)
	b.Cron("tip", "CRON_TZ=Europe/Berlin 0 8 * * *", post)
	return b
}

const subscribers = "subscriber/" // prefix of a key for each channel

func subscribe(i *botnode.Interaction) error {
	added, err := i.KV().PutIfAbsent(subscribers+i.Channel().ID().String(), nil)
	switch {
	case err != nil:
		return err
	case !added:
		return i.RespondEphemeral("This channel has tips already.")
	}
	return i.Reply("A tip comes here every morning.")
}

func unsubscribe(i *botnode.Interaction) error {
	i.KV().Delete(subscribers + i.Channel().ID().String())
	return i.Reply("No more tips here.")
}

// post writes the next tip into all channels that have subscribed. Those that it
// has written to before its node died are recognised by their nonces.
func post(c *botnode.Context) error {
	n, err := c.KV().Increment("tips", 1)
	if err != nil {
		return err
	}
	api, err := c.REST()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("Tip %d: %s", n, tips[int(n-1)%len(tips)])
	for key := range c.KV().List(subscribers) {
		channel, err := snowflake.Parse(strings.TrimPrefix(key, subscribers))
		if err != nil {
			return err
		}
		if _, err := api.CreateMessage(channel, discord.MessageCreate{Content: text}); err != nil {
			return err
		}
	}
	return nil
}

// Command starboard is a bot that copies messages which enough members have
// starred into a channel, which /starboard chooses.
//
// Who has starred a message is kept in the replicated store, as is the post that
// a message has on the board. The post commits with the reaction that made it, and
// carries a nonce: a message has one post, also if a node dies between writing it
// and noting it.
package main

import (
	"errors"
	"fmt"

	"github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/gateway"
	"github.com/disgoorg/omit"
	"github.com/disgoorg/snowflake/v2"

	"github.com/botnode/botnode"
)

const (
	star   = "⭐"
	enough = 3 // stars until a message is on the board
)

func main() { botnode.Main(newBot()) }

func newBot() *botnode.Bot {
	b := botnode.New()
	b.Command(discord.SlashCommandCreate{
		Name: "starboard", Description: "Show starred messages in this channel",
		Contexts:                 []discord.InteractionContextType{discord.InteractionContextTypeGuild},
		DefaultMemberPermissions: omit.NewPtr(discord.PermissionManageGuild),
	}, choose)
	botnode.On(b, "starred", func(c *botnode.Context, e gateway.EventMessageReactionAdd) error {
		if e.GuildID == nil || e.Emoji.Name == nil || *e.Emoji.Name != star {
			return nil
		}
		m := message{*e.GuildID, e.ChannelID, e.MessageID}
		if err := c.KV().Put(m.star(e.UserID), nil); err != nil {
			return err
		}
		return m.show(c)
	})
	botnode.On(b, "unstarred", func(c *botnode.Context, e gateway.EventMessageReactionRemove) error {
		if e.GuildID == nil || e.Emoji.Name == nil || *e.Emoji.Name != star {
			return nil
		}
		m := message{*e.GuildID, e.ChannelID, e.MessageID}
		c.KV().Delete(m.star(e.UserID))
		return m.show(c)
	})
	return b
}

// choose makes the channel of the command the guild's board.
func choose(i *botnode.Interaction) error {
	if err := i.KV().Put(board(*i.GuildID()), []byte(i.Channel().ID().String())); err != nil {
		return err
	}
	return i.Reply("Messages with enough stars are shown here.")
}

// board is the key of the channel that is a guild's board.
func board(guild snowflake.ID) string { return fmt.Sprintf("board/%d", guild) }

// message is one that somebody may have starred.
type message struct{ guild, channel, id snowflake.ID }

// star is the key that says that a user has starred the message. It makes a star
// count once, however often Discord or a repeat says it.
func (m message) star(user snowflake.ID) string { return m.stars() + user.String() }
func (m message) stars() string                 { return fmt.Sprintf("stars/%d/", m.id) }

// post is the key of the message's post on the board.
func (m message) post() string { return fmt.Sprintf("post/%d", m.id) }

// show brings the message's post up to date, and makes it if it is time.
func (m message) show(c *botnode.Context) error {
	to, err := id(c.KV(), board(m.guild))
	if err != nil || to == 0 {
		return err // without a board there is nothing to show
	}
	stars := 0
	for range c.KV().List(m.stars()) {
		stars++
	}
	post, err := id(c.KV(), m.post())
	if err != nil || post == 0 && stars < enough {
		return err
	}
	api, err := c.REST()
	if err != nil {
		return err
	}
	original, err := api.GetMessage(m.channel, m.id)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s %d %s: %s", star, stars, original.Author.Username, original.Content)
	if post != 0 {
		_, err = api.UpdateMessage(to, post, discord.MessageUpdate{Content: &text})
		return err
	}
	made, err := api.CreateMessage(to, discord.MessageCreate{Content: text})
	if err != nil {
		return err
	}
	return c.KV().Put(m.post(), []byte(made.ID.String()))
}

// id reads a key that holds an id, 0 if it is absent.
func id(kv *botnode.KV, key string) (snowflake.ID, error) {
	value, err := kv.Get(key)
	if errors.Is(err, botnode.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return snowflake.Parse(string(value))
}

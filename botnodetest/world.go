package botnodetest

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
)

// Guilds returns the guilds that the bot is in.
func (c *Cluster) Guilds() []discord.Snowflake { return snowflakes(c.Discord().GuildIDs()) }

// Channels returns a guild's text channels.
func (c *Cluster) Channels(guild discord.Snowflake) []discord.Snowflake {
	return snowflakes(c.Discord().TextChannels(sim.ID(guild)))
}

// Members returns the users who are in a guild now, without the bot itself, in
// the order of their ids.
func (c *Cluster) Members(guild discord.Snowflake) []discord.Snowflake {
	truth, _ := c.Discord().Truth(sim.ID(guild))
	var out []sim.ID
	for id := range truth.Members {
		if id != sim.BotID {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return snowflakes(out)
}

// Messages returns what the bot has written so far, in the order of Discord. A
// message that was sent twice under one nonce is there once, as on Discord.
func (c *Cluster) Messages() (contents []string) {
	for _, p := range c.Discord().Ledger().Posted() {
		if !p.Deduped {
			contents = append(contents, p.Content)
		}
	}
	return contents
}

// Shown returns what somebody sees who opens a channel: the texts of its last
// messages, whoever wrote them, edited ones as they are now, and none that was
// deleted. Unlike Messages it is for bots that edit and delete.
func (c *Cluster) Shown(channel discord.Snowflake) (contents []string) {
	c.t.Helper()
	for _, raw := range c.Discord().History(sim.ID(channel)) {
		var m struct {
			Content string `json:"content"`
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			c.fail("reading a message of channel %d: %v", channel, err)
		}
		contents = append(contents, m.Content)
	}
	return contents
}

// React has a user react to a message that was said, with an emoji such as "⭐".
// The event is all there is of it: Discord's copy of the message counts none.
func (c *Cluster) React(message *Sent, user discord.Snowflake, emoji string) *Sent {
	c.t.Helper()
	return c.reaction("MESSAGE_REACTION_ADD", message, user, emoji)
}

// Unreact has a user take a reaction back.
func (c *Cluster) Unreact(message *Sent, user discord.Snowflake, emoji string) *Sent {
	c.t.Helper()
	return c.reaction("MESSAGE_REACTION_REMOVE", message, user, emoji)
}

func (c *Cluster) reaction(event string, message *Sent, user discord.Snowflake, emoji string) *Sent {
	c.t.Helper()
	guild, known := c.Discord().ChannelGuild(sim.ID(message.channel))
	if !known {
		c.fail("reacting to %s, which is no message in a guild", message.what)
	}
	s := c.Emit(event, map[string]any{
		"guild_id": discord.Snowflake(guild), "channel_id": message.channel, "message_id": message.id, "user_id": user,
		"emoji": map[string]any{"id": nil, "name": emoji}, "burst": false, "type": 0,
	})
	s.what = fmt.Sprintf("the reaction %s to %s", emoji, message.what)
	return s
}

func snowflakes(ids []sim.ID) []discord.Snowflake {
	out := make([]discord.Snowflake, 0, len(ids))
	for _, id := range ids {
		out = append(out, discord.Snowflake(id))
	}
	return slices.Clip(out)
}

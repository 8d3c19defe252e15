package cache

import (
	"iter"
	"slices"
	"strconv"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/jsonscan"
)

// object returns a cached object.
func (c *Cache) object(kind Kind, a, b discord.Snowflake) ([]byte, bool) {
	r, ok := c.tables[kind].recs.get(key{uint64(a), uint64(b)})
	if !ok {
		return nil, false
	}
	return raw(r.raw), true
}

// Object returns an object as it is stored.
func (c *Cache) Object(kind Kind, ref Ref) ([]byte, bool) {
	if kind >= kindCount {
		return nil, false
	}
	return c.object(kind, ref.Group, ref.ID)
}

// Guild returns a guild's object without the lists that are kinds of their own.
func (c *Cache) Guild(guild discord.Snowflake) ([]byte, bool) { return c.object(Guilds, guild, 0) }

// Role returns a role.
func (c *Cache) Role(guild, role discord.Snowflake) ([]byte, bool) {
	return c.object(Roles, guild, role)
}

// Member returns a member without its user: see MemberWithUser.
func (c *Cache) Member(guild, user discord.Snowflake) ([]byte, bool) {
	return c.object(Members, guild, user)
}

// MemberWithUser returns a member as Discord writes it, with its user spliced
// in; of a user that isn't cached, the id alone. The result is the caller's.
func (c *Cache) MemberWithUser(guild, user discord.Snowflake) ([]byte, bool) {
	member, ok := c.Member(guild, user)
	if !ok {
		return nil, false
	}
	return c.withUser(member, uint64(user)), true
}

// withUser splices a member's user in.
func (c *Cache) withUser(member []byte, id uint64) []byte {
	user := `{"id":"` + strconv.FormatUint(id, 10) + `"}`
	if r, ok := c.tables[Users].recs.get(key{id, 0}); ok {
		user = r.raw
	}
	// The stored form is what Merge writes: it begins with the brace.
	out := make([]byte, 0, len(member)+len(user)+len(`"user":,`))
	out = append(out, `{"user":`...)
	out = append(out, user...)
	if len(member) > len("{}") {
		out = append(out, ',')
	}
	return append(out, member[1:]...)
}

// User returns a user whom a cached member refers to.
func (c *Cache) User(user discord.Snowflake) ([]byte, bool) { return c.object(Users, user, 0) }

// Presence returns a member's presence.
func (c *Cache) Presence(guild, user discord.Snowflake) ([]byte, bool) {
	return c.object(Presences, guild, user)
}

// VoiceState returns a member's voice state.
func (c *Cache) VoiceState(guild, user discord.Snowflake) ([]byte, bool) {
	return c.object(VoiceStates, guild, user)
}

// Message returns a message.
func (c *Cache) Message(channel, message discord.Snowflake) ([]byte, bool) {
	return c.object(Messages, channel, message)
}

// Channel returns a channel or thread, with its last message.
func (c *Cache) Channel(channel discord.Snowflake) ([]byte, bool) {
	guild, ok := c.ChannelGuild(channel)
	if !ok {
		return nil, false
	}
	obj, ok := c.object(Channels, guild, channel)
	if !ok {
		obj, ok = c.object(Threads, guild, channel)
	}
	return c.withLast(obj, uint64(channel)), ok
}

// withLast splices a channel's last message in, if it is later than the one that
// the object itself names.
func (c *Cache) withLast(channel []byte, id uint64) []byte {
	last, ok := c.stores.lasts.get(key{id, 0})
	if !ok || jsonscan.ID(jsonscan.Get(channel, "last_message_id")) >= last {
		return channel
	}
	return jsonscan.Merge(nil, channel, object("last_message_id", strconv.AppendQuote(nil, strconv.FormatUint(last, 10))), nil)
}

// ChannelGuild returns the guild of a cached channel or thread.
func (c *Cache) ChannelGuild(channel discord.Snowflake) (discord.Snowflake, bool) {
	guild, ok := c.index.channels.get(key{uint64(channel), 0})
	return discord.Snowflake(guild), ok
}

// Self returns the bot's own user, or nil before the first READY.
func (c *Cache) Self() []byte {
	if c.stores.self == "" {
		return nil
	}
	return raw(c.stores.self)
}

// GuildShard returns the shard that sees a guild, and of how many.
func (c *Cache) GuildShard(guild discord.Snowflake) (shard, total int, ok bool) {
	h, ok := c.stores.homes.get(key{uint64(guild), 0})
	return int(h.shard), int(h.total), ok
}

// GuildCount returns the number of guilds that a shard sees.
func (c *Cache) GuildCount(shard, total int) int {
	n := 0
	for range c.ShardGuilds(shard, total) {
		n++
	}
	return n
}

// ShardGuilds walks the guilds of a shard. Those that were last seen under
// another shard count go where Discord's formula puts them.
func (c *Cache) ShardGuilds(shard, total int) iter.Seq[discord.Snowflake] {
	return func(yield func(discord.Snowflake) bool) {
		c.stores.homes.ascend(key{}, func(k key, h home) bool {
			guild := discord.Snowflake(k.a)
			in := int(h.shard) == shard
			if int(h.total) != total {
				in = discord.ShardOf(guild, total) == shard
			}
			return !in || yield(guild)
		})
	}
}

// UnavailableGuilds returns the guilds that Discord can't serve now, sorted.
func (c *Cache) UnavailableGuilds() []discord.Snowflake {
	var ids []discord.Snowflake
	c.stores.homes.ascend(key{}, func(k key, h home) bool {
		if h.unavailable {
			ids = append(ids, discord.Snowflake(k.a))
		}
		return true
	})
	return ids
}

// UnverifiedGuilds returns the guilds with members that may have left unseen,
// sorted: those whose member lists are to be requested under VerifyNonce.
func (c *Cache) UnverifiedGuilds() []discord.Snowflake {
	var ids []discord.Snowflake
	for k, _, ok := c.stores.unverified.first(key{}); ok; k, _, ok = c.stores.unverified.first(key{k.a + 1, 0}) {
		ids = append(ids, discord.Snowflake(k.a))
		if k.a+1 == 0 {
			break
		}
	}
	return ids
}

// GuildUnverified reports whether a guild has members that may have left unseen
// and is available, so that asking for its list may help.
func (c *Cache) GuildUnverified(guild discord.Snowflake) bool {
	h, in := c.stores.homes.get(key{uint64(guild), 0})
	k, _, found := c.stores.unverified.first(key{uint64(guild), 0})
	return in && !h.unavailable && found && k.a == uint64(guild)
}

// Unverified reports whether a member may have left unseen.
func (c *Cache) Unverified(guild, user discord.Snowflake) bool {
	return c.stores.unverified.has(key{uint64(guild), uint64(user)})
}

// MissingGuilds returns, sorted, the guilds of a shard that the READY event
// doesn't name: the bot was removed from them unseen. A READY without a list of
// guilds names none missing, since a mistake here deletes everything.
func (c *Cache) MissingGuilds(shard, total int, ready []byte) []discord.Snowflake {
	var named []discord.Snowflake
	err := jsonscan.Elements(jsonscan.Get(ready, "guilds"), func(guild []byte) bool {
		named = append(named, discord.Snowflake(jsonscan.ID(jsonscan.Get(guild, "id"))))
		return true
	})
	if err != nil {
		return nil
	}
	slices.Sort(named)
	var missing []discord.Snowflake
	for guild := range c.ShardGuilds(shard, total) {
		if _, ok := slices.BinarySearch(named, guild); !ok {
			missing = append(missing, guild)
		}
	}
	return missing
}

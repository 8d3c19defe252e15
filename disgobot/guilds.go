package disgobot

import (
	"iter"
	"slices"

	"github.com/disgoorg/disgo/cache"
	"github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/snowflake/v2"

	"github.com/botnode/botnode"
	kinds "github.com/botnode/botnode/cache"
)

// flat is a cache of disgo without groups over one kind of the replicated
// caches: grouped with another face.
type flat[T any] struct {
	grouped[T]
	all func() iter.Seq2[T, error]
}

// Get implements cache.Cache.
func (c *flat[T]) Get(id snowflake.ID) (T, bool) { return c.grouped.Get(0, id) }

// Put implements cache.Cache.
func (c *flat[T]) Put(id snowflake.ID, v T) { c.grouped.Put(0, id, v) }

// Remove implements cache.Cache.
func (c *flat[T]) Remove(id snowflake.ID) (T, bool) { return c.grouped.Remove(0, id) }

// RemoveIf implements cache.Cache.
func (c *flat[T]) RemoveIf(cache.FilterFunc[T]) {}

// All implements cache.Cache.
func (c *flat[T]) All() iter.Seq[T] { return good(c.all()) }

// The embedded interfaces have methods of their own names, so they need others.
type (
	guildsBelow   = cache.GuildCache
	channelsBelow = cache.ChannelCache
)

// guildCache is disgo's cache of guilds.
type guildCache struct {
	guildsBelow
	v *botnode.Cache
	t *turn
}

func newGuildCache(v *botnode.Cache, t *turn) cache.GuildCache {
	guilds := &flat[discord.Guild]{
		grouped: grouped[discord.Guild]{v: v, t: t, kind: kinds.Guilds, get: func(_, id snowflake.ID) (discord.Guild, error) { return v.Guild(id) }},
		all:     v.Guilds,
	}
	none := cache.NewSet[snowflake.ID]()
	return &guildCache{guildsBelow: cache.NewGuildCache(guilds, none, none), v: v, t: t}
}

// IsGuildUnready implements cache.GuildCache: whether the GUILD_CREATE of this
// turn is of a guild that the bot has been in.
func (c *guildCache) IsGuildUnready(id snowflake.ID) bool {
	return c.t != nil && c.t.unready && c.t.guild == id
}

// SetGuildUnready implements cache.GuildCache.
func (c *guildCache) SetGuildUnready(snowflake.ID, bool) {}

// UnreadyGuildIDs implements cache.GuildCache: the guilds that haven't come yet
// are those that are unavailable.
func (c *guildCache) UnreadyGuildIDs() []snowflake.ID { return c.UnavailableGuildIDs() }

// IsGuildUnavailable implements cache.GuildCache.
func (c *guildCache) IsGuildUnavailable(id snowflake.ID) bool {
	return slices.Contains(c.UnavailableGuildIDs(), id)
}

// SetGuildUnavailable implements cache.GuildCache.
func (c *guildCache) SetGuildUnavailable(snowflake.ID, bool) {}

// UnavailableGuildIDs implements cache.GuildCache.
func (c *guildCache) UnavailableGuildIDs() []snowflake.ID {
	guilds, _ := c.v.UnavailableGuilds()
	return guilds
}

// channel makes channels of all types decodable.
type channel struct{ discord.GuildChannel }

// UnmarshalJSON implements json.Unmarshaler.
func (c *channel) UnmarshalJSON(b []byte) error {
	var u discord.UnmarshalChannel
	if err := u.UnmarshalJSON(b); err != nil {
		return err
	}
	c.GuildChannel, _ = u.Channel.(discord.GuildChannel)
	return nil
}

// channelCache is disgo's cache of channels and threads.
type channelCache struct {
	channelsBelow
	v *botnode.Cache
	t *turn
}

func newChannelCache(v *botnode.Cache, t *turn) cache.ChannelCache {
	return &channelCache{channelsBelow: cache.NewChannelCache(&channels{v, t}), v: v, t: t}
}

// Channels implements cache.ChannelCache. disgo's handler of GUILD_DELETE walks
// every channel of the bot to find the guild's threads; there are none left.
func (c *channelCache) Channels() iter.Seq[discord.GuildChannel] {
	if c.t != nil && c.t.leaving {
		return func(func(discord.GuildChannel) bool) {}
	}
	return c.channelsBelow.Channels()
}

// ChannelsForGuild implements cache.ChannelCache.
func (c *channelCache) ChannelsForGuild(guild snowflake.ID) iter.Seq[discord.GuildChannel] {
	return guildChannels(c.v, guild)
}

// RemoveChannelsByGuildID implements cache.ChannelCache.
func (c *channelCache) RemoveChannelsByGuildID(snowflake.ID) {
	if c.t != nil {
		c.t.leaving = false
	}
}

func guildChannels(v *botnode.Cache, guild snowflake.ID) iter.Seq[discord.GuildChannel] {
	return func(yield func(discord.GuildChannel) bool) {
		for ch := range good(v.Channels(guild)) {
			if !yield(ch) {
				return
			}
		}
		for th := range good(v.Threads(guild)) {
			if !yield(th) {
				return
			}
		}
	}
}

// channels holds channels and threads, which the replicated caches keep apart.
type channels struct {
	v *botnode.Cache
	t *turn
}

// Get implements cache.Cache.
func (c *channels) Get(id snowflake.ID) (discord.GuildChannel, bool) {
	if ch, ok := c.old(id); ok {
		return ch, true
	}
	ch, err := c.v.Channel(id)
	return ch, err == nil
}

func (c *channels) old(id snowflake.ID) (discord.GuildChannel, bool) {
	var ch channel
	raw := c.t.old(kinds.Channels, id)
	if raw == nil || ch.UnmarshalJSON(raw) != nil || ch.GuildChannel == nil {
		return nil, false
	}
	return discord.ApplyGuildIDToChannel(ch.GuildChannel, c.t.guild), true
}

// Put implements cache.Cache.
func (c *channels) Put(snowflake.ID, discord.GuildChannel) { c.t.replaced(kinds.Channels) }

// Remove implements cache.Cache.
func (c *channels) Remove(id snowflake.ID) (discord.GuildChannel, bool) {
	ch, ok := c.old(id)
	c.t.replaced(kinds.Channels)
	return ch, ok
}

// RemoveIf implements cache.Cache.
func (c *channels) RemoveIf(cache.FilterFunc[discord.GuildChannel]) {}

// Len implements cache.Cache.
func (c *channels) Len() int {
	n, _ := c.v.Count(kinds.Channels)
	m, _ := c.v.Count(kinds.Threads)
	return n + m
}

// All implements cache.Cache.
func (c *channels) All() iter.Seq[discord.GuildChannel] {
	return func(yield func(discord.GuildChannel) bool) {
		for o := range good(c.v.Raw().All(kinds.Guilds)) {
			for ch := range guildChannels(c.v, o.Group) {
				if !yield(ch) {
					return
				}
			}
		}
	}
}

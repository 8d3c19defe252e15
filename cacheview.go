package botnode

import (
	"encoding/json"
	"errors"
	"fmt"

	dgo "github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/snowflake/v2"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// Cache reads what the bot's gateway sessions have let it see, in disgo's
// types. It is the replicated state of this node: every node has the same, and
// a node that takes a shard over has it already.
//
// Consistency: a handler sees at least the effect of its own event, and of all
// that were committed before; it may see later ones. Two calls may see two
// states. An iterator over more than a thousand objects reads them in pages,
// each of which is of one moment: an object that is added, changed or removed
// meanwhile shows as it was when its page was read, and none shows twice.
//
// Absence: what isn't there is [ErrNotCached], or an empty iterator. If the
// bot's configuration keeps nothing of the kind (presences and messages are off
// by default) it is [ErrCacheOff], also from iterators, so that nobody takes
// "not kept" for "nobody". ErrCacheOff is an ErrNotCached. With a bounded kind
// an object may be absent because later ones displaced it.
//
// Cost: a single object takes one search in a tree (below a microsecond) and
// one decoding of its JSON (some microseconds); an iterator the same for each
// object that it yields, and nothing for those after a break. Iterators hold no
// lock while the loop's body runs, and don't copy JSON. A method whose cost
// depends on anything else says so. Raw gives the JSON without decoding it.
//
// A Cache is safe for concurrent use.
type Cache struct {
	look func(func(*cache.Cache)) error
}

// Cache returns the bot's caches as they are on this node.
func (c *Context) Cache() *Cache { return &Cache{look: c.rt.lookAtCache} }

// CacheOf returns a view of caches that no node holds, to test with what reads
// a Cache. Nothing may change them while the view is read.
func CacheOf(c *cache.Cache) *Cache {
	return &Cache{look: func(f func(*cache.Cache)) error {
		f(c)
		return nil
	}}
}

// lookAtCache runs f on the bot's caches, under the state machine's lock.
func (rt *runtime) lookAtCache(f func(*cache.Cache)) error {
	n := rt.node.Load()
	if n == nil {
		return errDetached
	}
	_, err := n.View(rt.name, func(_ *fsm.Bot, c *cache.Cache) { f(c) })
	return err
}

var (
	// ErrNotCached is returned for an object that the cache doesn't have.
	ErrNotCached = errors.New("botnode: not in the cache")
	// ErrCacheOff is returned for objects of a kind that the bot's
	// configuration keeps nothing of.
	ErrCacheOff = fmt.Errorf("%w: the bot's configuration turns this cache off", ErrNotCached)
)

// kept returns ErrCacheOff if nothing of a kind is kept. Users are kept with
// the members that refer to them.
func kept(c *cache.Cache, kind cache.Kind) error {
	_, on := c.Count(kind)
	if on && kind == cache.Users {
		_, on = c.Count(cache.Members)
	}
	if !on {
		return fmt.Errorf("%w (%s)", ErrCacheOff, kind)
	}
	return nil
}

// find reads the JSON of one object.
func (v *Cache) find(kind cache.Kind, query func(*cache.Cache) ([]byte, bool)) (raw []byte, err error) {
	var absent error
	err = v.look(func(c *cache.Cache) {
		var ok bool
		if raw, ok = query(c); ok {
			return
		}
		if absent = kept(c, kind); absent == nil {
			absent = ErrNotCached
		}
	})
	if err == nil {
		err = absent
	}
	return raw, err
}

// object reads and decodes one object that is cached as Discord sends it.
func object[T any](v *Cache, kind cache.Kind, group, id snowflake.ID) (T, error) {
	var out T
	raw, err := v.find(kind, func(c *cache.Cache) ([]byte, bool) {
		return c.Object(kind, cache.Ref{Group: discord.Snowflake(group), ID: discord.Snowflake(id)})
	})
	if err == nil {
		err = decode(kind, raw, &out)
	}
	return out, err
}

// decode decodes an object. What Discord sends and disgo can't read is an error
// that doesn't quote it.
func decode(kind cache.Kind, raw []byte, into any) error {
	if json.Unmarshal(raw, into) != nil {
		return fmt.Errorf("botnode: an object of the cache of %s doesn't decode into %T; Cache.Raw has its JSON", kind, into)
	}
	return nil
}

// Self returns the bot's own user: ErrNotCached before the first READY.
func (v *Cache) Self() (dgo.OAuth2User, error) {
	var out dgo.OAuth2User
	raw, err := v.find(cache.Guilds, func(c *cache.Cache) ([]byte, bool) { return c.Self(), c.Self() != nil })
	if err == nil {
		err = decode(cache.Users, raw, &out)
	}
	return out, err
}

// Guild returns a guild, with its member count. Roles, channels and the rest
// have methods of their own. A guild that Discord can't serve now is there as
// it was last seen, see UnavailableGuilds.
func (v *Cache) Guild(guild snowflake.ID) (dgo.Guild, error) {
	return object[dgo.Guild](v, cache.Guilds, guild, 0)
}

// Channel returns a channel or active thread of a guild.
func (v *Cache) Channel(channel snowflake.ID) (dgo.GuildChannel, error) {
	var guild discord.Snowflake
	raw, err := v.find(cache.Channels, func(c *cache.Cache) ([]byte, bool) {
		guild, _ = c.ChannelGuild(discord.Snowflake(channel))
		return c.Channel(discord.Snowflake(channel))
	})
	if err != nil {
		return nil, err
	}
	return decodeChannel(snowflake.ID(guild), raw)
}

func decodeChannel(guild snowflake.ID, raw []byte) (dgo.GuildChannel, error) {
	var out dgo.UnmarshalChannel
	if err := decode(cache.Channels, raw, &out); err != nil {
		return nil, err
	}
	ch, ok := out.Channel.(dgo.GuildChannel)
	if !ok {
		return nil, fmt.Errorf("botnode: a guild has a %T", out.Channel)
	}
	return dgo.ApplyGuildIDToChannel(ch, guild), nil
}

// Thread returns an active thread: ErrNotCached for a channel that is none, and
// for an archived thread.
func (v *Cache) Thread(thread snowflake.ID) (dgo.GuildThread, error) {
	ch, err := v.Channel(thread)
	if err != nil {
		return dgo.GuildThread{}, err
	}
	if t, ok := ch.(dgo.GuildThread); ok {
		return t, nil
	}
	return dgo.GuildThread{}, ErrNotCached
}

// Role returns a role of a guild.
func (v *Cache) Role(guild, role snowflake.ID) (dgo.Role, error) {
	r, err := object[dgo.Role](v, cache.Roles, guild, role)
	r.GuildID = guild
	return r, err
}

// Emoji returns a custom emoji of a guild.
func (v *Cache) Emoji(guild, emoji snowflake.ID) (dgo.Emoji, error) {
	e, err := object[dgo.Emoji](v, cache.Emojis, guild, emoji)
	e.GuildID = guild
	return e, err
}

// Sticker returns a sticker of a guild.
func (v *Cache) Sticker(guild, sticker snowflake.ID) (dgo.Sticker, error) {
	s, err := object[dgo.Sticker](v, cache.Stickers, guild, sticker)
	s.GuildID = &guild
	return s, err
}

// Member returns a member of a guild with its user. Of a user whom a bound has
// displaced only the id is known.
func (v *Cache) Member(guild, user snowflake.ID) (dgo.Member, error) {
	var about []byte
	raw, err := v.find(cache.Members, func(c *cache.Cache) ([]byte, bool) {
		about, _ = c.User(discord.Snowflake(user))
		return c.Member(discord.Snowflake(guild), discord.Snowflake(user))
	})
	if err != nil {
		return dgo.Member{}, err
	}
	return decodeMember(guild, user, raw, about)
}

// decodeMember puts a member and its user together, which are cached apart.
func decodeMember(guild, user snowflake.ID, raw, about []byte) (m dgo.Member, err error) {
	if err := decode(cache.Members, raw, &m); err != nil {
		return m, err
	}
	m.GuildID, m.User.ID = guild, user
	if about != nil {
		err = decode(cache.Users, about, &m.User)
	}
	return m, err
}

// User returns a user who is a cached member of some guild.
func (v *Cache) User(user snowflake.ID) (dgo.User, error) {
	return object[dgo.User](v, cache.Users, user, 0)
}

// Presence returns a member's presence: ErrNotCached for one who is offline.
func (v *Cache) Presence(guild, user snowflake.ID) (dgo.Presence, error) {
	p, err := object[dgo.Presence](v, cache.Presences, guild, user)
	p.GuildID = guild
	return p, err
}

// VoiceState returns a member's voice state: ErrNotCached for one who is in no
// voice channel.
func (v *Cache) VoiceState(guild, user snowflake.ID) (dgo.VoiceState, error) {
	s, err := object[dgo.VoiceState](v, cache.VoiceStates, guild, user)
	s.GuildID = guild
	return s, err
}

// StageInstance returns a stage instance of a guild.
func (v *Cache) StageInstance(guild, stage snowflake.ID) (dgo.StageInstance, error) {
	return object[dgo.StageInstance](v, cache.StageInstances, guild, stage)
}

// ScheduledEvent returns a scheduled event of a guild.
func (v *Cache) ScheduledEvent(guild, event snowflake.ID) (dgo.GuildScheduledEvent, error) {
	return object[dgo.GuildScheduledEvent](v, cache.ScheduledEvents, guild, event)
}

// SoundboardSound returns a soundboard sound of a guild.
func (v *Cache) SoundboardSound(guild, sound snowflake.ID) (dgo.SoundboardSound, error) {
	s, err := object[dgo.SoundboardSound](v, cache.SoundboardSounds, guild, sound)
	s.GuildID = &guild
	return s, err
}

// Message returns a message of a channel, a thread or a direct conversation.
func (v *Cache) Message(channel, message snowflake.ID) (dgo.Message, error) {
	return object[dgo.Message](v, cache.Messages, channel, message)
}

// ChannelGuild returns the guild of a channel or active thread, without reading
// the channel itself.
func (v *Cache) ChannelGuild(channel snowflake.ID) (guild snowflake.ID, err error) {
	_, err = v.find(cache.Channels, func(c *cache.Cache) ([]byte, bool) {
		id, ok := c.ChannelGuild(discord.Snowflake(channel))
		guild = snowflake.ID(id)
		return nil, ok
	})
	return guild, err
}

// GuildShard returns the shard that sees a guild, and of how many:
// ErrNotCached for a guild that the bot isn't in.
func (v *Cache) GuildShard(guild snowflake.ID) (shard, total int, err error) {
	err = v.look(func(c *cache.Cache) {
		var ok bool
		if shard, total, ok = c.GuildShard(discord.Snowflake(guild)); !ok {
			shard, total = -1, 0
		}
	})
	if err == nil && shard < 0 {
		return 0, 0, ErrNotCached
	}
	return shard, total, err
}

// UnavailableGuilds returns the guilds that Discord can't serve now, sorted. It
// looks at every guild of the bot.
func (v *Cache) UnavailableGuilds() (guilds []snowflake.ID, err error) {
	err = v.look(func(c *cache.Cache) {
		for _, id := range c.UnavailableGuilds() {
			guilds = append(guilds, snowflake.ID(id))
		}
	})
	return guilds, err
}

// Count returns how many objects of a kind are cached. It takes no longer for
// many than for few.
func (v *Cache) Count(kind cache.Kind) (n int, err error) {
	var off error
	err = v.look(func(c *cache.Cache) {
		n, _ = c.Count(kind)
		off = kept(c, kind)
	})
	if err == nil {
		err = off
	}
	return n, err
}

package disgobot

import (
	"encoding/json"
	"iter"
	"time"

	"github.com/disgoorg/disgo/cache"
	"github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/gateway"
	"github.com/disgoorg/snowflake/v2"

	"github.com/botnode/botnode"
	kinds "github.com/botnode/botnode/cache"
)

// turn is what an event's turn adds to the caches. disgo's handlers read an old
// object out of the cache, put the new one in, and call the listeners. Here the
// cache is ahead of them: it has the event's effect already. So until the new
// object is put in, the one from before the event is shown.
type turn struct {
	kind   kinds.Kind // of the object from before the event
	before []byte     // nil: there is none, or it has been replaced
	guild  snowflake.ID
	// unready: the GUILD_CREATE is of a guild that the bot has been in.
	unready bool
	// leaving: the GUILD_DELETE's handler is still clearing the caches.
	leaving bool
}

// joinedRecently is how long after a guild's joined_at its GUILD_CREATE means
// that the bot has just joined. Later it is a new session, or an outage is over.
const joinedRecently = time.Minute

// kindOf says which kind of object the events of update and deletion are about.
var kindOf = map[gateway.EventType]kinds.Kind{
	gateway.EventTypeGuildUpdate: kinds.Guilds, gateway.EventTypeGuildDelete: kinds.Guilds,
	gateway.EventTypeGuildRoleUpdate: kinds.Roles, gateway.EventTypeGuildRoleDelete: kinds.Roles,
	gateway.EventTypeChannelUpdate: kinds.Channels, gateway.EventTypeChannelDelete: kinds.Channels,
	gateway.EventTypeThreadUpdate: kinds.Channels, gateway.EventTypeThreadDelete: kinds.Channels,
	gateway.EventTypeGuildMemberUpdate: kinds.Members, gateway.EventTypeGuildMemberRemove: kinds.Members,
	gateway.EventTypePresenceUpdate: kinds.Presences, gateway.EventTypeVoiceStateUpdate: kinds.VoiceStates,
	gateway.EventTypeGuildScheduledEventUpdate: kinds.ScheduledEvents, gateway.EventTypeGuildScheduledEventDelete: kinds.ScheduledEvents,
	gateway.EventTypeStageInstanceUpdate: kinds.StageInstances, gateway.EventTypeStageInstanceDelete: kinds.StageInstances,
	gateway.EventTypeGuildSoundboardSoundUpdate: kinds.SoundboardSounds, gateway.EventTypeGuildSoundboardSoundDelete: kinds.SoundboardSounds,
	gateway.EventTypeMessageUpdate: kinds.Messages, gateway.EventTypeMessageDelete: kinds.Messages,
}

func newTurn(c *botnode.Context, data gateway.EventData) *turn {
	t := &turn{guild: snowflake.ID(c.Guild())}
	if kind, ok := kindOf[gateway.EventType(c.Event())]; ok {
		t.kind, t.before = kind, c.Before()
	}
	switch e := data.(type) {
	case gateway.EventGuildCreate:
		t.unready = time.Now().Add(-c.Age()).Sub(e.JoinedAt) > joinedRecently
	case gateway.EventGuildDelete:
		t.leaving = true
	}
	return t
}

// ids are the fields by which objects name what they are cached under.
type ids struct {
	ID      snowflake.ID `json:"id"`
	UserID  snowflake.ID `json:"user_id"`
	SoundID snowflake.ID `json:"sound_id"`
	User    struct {
		ID snowflake.ID `json:"id"`
	} `json:"user"`
}

// old returns the object from before the event, if it is the one asked for.
func (t *turn) old(kind kinds.Kind, id snowflake.ID) []byte {
	if t == nil || t.before == nil || t.kind != kind {
		return nil
	}
	var of ids
	if json.Unmarshal(t.before, &of) != nil {
		return nil
	}
	have := of.ID
	switch kind {
	case kinds.Members, kinds.Presences:
		have = of.User.ID
	case kinds.VoiceStates:
		have = of.UserID
	case kinds.SoundboardSounds:
		have = of.SoundID
	}
	if have != id {
		return nil
	}
	return t.before
}

// replaced notes that the new object has been put in.
func (t *turn) replaced(kind kinds.Kind) {
	if t != nil && t.kind == kind {
		t.before = nil
	}
}

// grouped is a cache of disgo over one kind of the replicated caches. Writes
// have no effect but on what the turn shows.
type grouped[T any] struct {
	v    *botnode.Cache
	t    *turn
	kind kinds.Kind
	get  func(group, id snowflake.ID) (T, error)
	list func(group snowflake.ID) iter.Seq2[T, error]
	fix  func(*T) // completes an object from before the event; may be nil
}

// Get implements cache.GroupedCache.
func (c *grouped[T]) Get(group, id snowflake.ID) (T, bool) {
	if v, ok := c.old(id); ok {
		return v, true
	}
	v, err := c.get(group, id)
	return v, err == nil
}

func (c *grouped[T]) old(id snowflake.ID) (v T, ok bool) {
	raw := c.t.old(c.kind, id)
	if raw == nil || json.Unmarshal(raw, &v) != nil {
		return v, false
	}
	if c.fix != nil {
		c.fix(&v)
	}
	return v, true
}

// Put implements cache.GroupedCache.
func (c *grouped[T]) Put(snowflake.ID, snowflake.ID, T) { c.t.replaced(c.kind) }

// Remove implements cache.GroupedCache: it returns the object from before the event.
func (c *grouped[T]) Remove(_, id snowflake.ID) (T, bool) {
	v, ok := c.old(id)
	c.t.replaced(c.kind)
	return v, ok
}

// GroupRemove implements cache.GroupedCache.
func (c *grouped[T]) GroupRemove(snowflake.ID) {}

// RemoveIf implements cache.GroupedCache.
func (c *grouped[T]) RemoveIf(cache.GroupedFilterFunc[T]) {}

// GroupRemoveIf implements cache.GroupedCache.
func (c *grouped[T]) GroupRemoveIf(snowflake.ID, cache.GroupedFilterFunc[T]) {}

// Len implements cache.GroupedCache.
func (c *grouped[T]) Len() int {
	n, _ := c.v.Count(c.kind)
	return n
}

// GroupLen implements cache.GroupedCache.
func (c *grouped[T]) GroupLen(group snowflake.ID) (n int) {
	for _, err := range c.v.Raw().List(c.kind, group) {
		if err == nil {
			n++
		}
	}
	return n
}

// All implements cache.GroupedCache.
func (c *grouped[T]) All() iter.Seq2[snowflake.ID, T] {
	return func(yield func(snowflake.ID, T) bool) {
		var last snowflake.ID
		for o, err := range c.v.Raw().All(c.kind) {
			if err != nil || o.Group == last {
				continue
			}
			last = o.Group
			for v := range c.GroupAll(last) {
				if !yield(last, v) {
					return
				}
			}
		}
	}
}

// GroupAll implements cache.GroupedCache.
func (c *grouped[T]) GroupAll(group snowflake.ID) iter.Seq[T] { return good(c.list(group)) }

// good leaves out what can't be read.
func good[T any](seq iter.Seq2[T, error]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for v, err := range seq {
			if err == nil && !yield(v) {
				return
			}
		}
	}
}

// newCaches makes disgo's caches over the replicated ones. t may be nil.
func newCaches(v *botnode.Cache, t *turn) cache.Caches {
	g := snowflake.ID(0)
	if t != nil {
		g = t.guild
	}
	messages := func(channel snowflake.ID) iter.Seq2[discord.Message, error] {
		return v.Messages(channel, botnode.Span{})
	}
	return cache.New(
		cache.WithCaches(cache.FlagsAll),
		cache.WithSelfUserCache(selfUser{v}),
		cache.WithGuildCache(newGuildCache(v, t)),
		cache.WithChannelCache(newChannelCache(v, t)),
		cache.WithStageInstanceCache(cache.NewStageInstanceCache(
			&grouped[discord.StageInstance]{v, t, kinds.StageInstances, v.StageInstance, v.StageInstances, nil})),
		cache.WithGuildScheduledEventCache(cache.NewGuildScheduledEventCache(
			&grouped[discord.GuildScheduledEvent]{v, t, kinds.ScheduledEvents, v.ScheduledEvent, v.ScheduledEvents, nil})),
		cache.WithGuildSoundboardSoundCache(cache.NewGuildSoundboardSoundCache(
			&grouped[discord.SoundboardSound]{v, t, kinds.SoundboardSounds, v.SoundboardSound, v.SoundboardSounds, nil})),
		cache.WithRoleCache(cache.NewRoleCache(
			&grouped[discord.Role]{v, t, kinds.Roles, v.Role, v.Roles, func(r *discord.Role) { r.GuildID = g }})),
		cache.WithMemberCache(cache.NewMemberCache(
			&grouped[discord.Member]{v, t, kinds.Members, v.Member, v.Members, func(m *discord.Member) { m.GuildID = g }})),
		cache.WithPresenceCache(cache.NewPresenceCache(
			&grouped[discord.Presence]{v, t, kinds.Presences, v.Presence, v.Presences, func(p *discord.Presence) { p.GuildID = g }})),
		cache.WithVoiceStateCache(cache.NewVoiceStateCache(
			&grouped[discord.VoiceState]{v, t, kinds.VoiceStates, v.VoiceState, v.VoiceStates, func(s *discord.VoiceState) { s.GuildID = g }})),
		cache.WithMessageCache(cache.NewMessageCache(
			&grouped[discord.Message]{v, t, kinds.Messages, v.Message, messages, nil})),
		cache.WithEmojiCache(cache.NewEmojiCache(
			&grouped[discord.Emoji]{v, t, kinds.Emojis, v.Emoji, v.Emojis, nil})),
		cache.WithStickerCache(cache.NewStickerCache(
			&grouped[discord.Sticker]{v, t, kinds.Stickers, v.Sticker, v.Stickers, nil})),
	)
}

// selfUser is the bot's own user.
type selfUser struct{ v *botnode.Cache }

// SelfUser implements cache.SelfUserCache.
func (s selfUser) SelfUser() (discord.OAuth2User, bool) {
	u, err := s.v.Self()
	return u, err == nil
}

// SetSelfUser implements cache.SelfUserCache.
func (selfUser) SetSelfUser(discord.OAuth2User) {}

package botnode

import (
	"encoding/json"
	"iter"
	"time"

	dgo "github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/snowflake/v2"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/jsonscan"
)

// cachePage is how many objects an iterator reads under the state machine's
// lock at a time: some tenths of a millisecond, while which no entry is applied.
const cachePage = 1000

// cached is an object as an iterator reads it: slices of what the cache holds.
type cached struct {
	ref  cache.Ref
	raw  []byte
	user []byte // of a member
}

// walk reads objects of a kind page by page: from one on, as long as in allows.
func (v *Cache) walk(kind cache.Kind, from cache.Ref, in func(cache.Ref) bool) iter.Seq2[cached, error] {
	return func(yield func(cached, error) bool) {
		var page []cached
		for more := true; more; {
			var off error
			page, more = page[:0], false
			err := v.look(func(c *cache.Cache) {
				if off = kept(c, kind); off == nil {
					page, from, more = readPage(c, kind, from, in, page)
				}
			})
			if err == nil {
				err = off
			}
			if err != nil {
				yield(cached{}, err)
				return
			}
			for _, x := range page {
				if !yield(x, nil) {
					return
				}
			}
		}
	}
}

// readPage reads a page and returns where the next one begins, if there is one.
func readPage(c *cache.Cache, kind cache.Kind, from cache.Ref, in func(cache.Ref) bool, page []cached) (_ []cached, next cache.Ref, more bool) {
	for ref, raw := range c.All(kind, from) {
		if !in(ref) {
			break
		}
		if len(page) == cachePage {
			return page, ref, true
		}
		x := cached{ref: ref, raw: raw}
		switch kind {
		case cache.Members:
			x.user, _ = c.User(ref.ID)
		case cache.Channels, cache.Threads:
			x.raw, _ = c.Channel(ref.ID) // with its last message
		}
		page = append(page, x)
	}
	return page, from, false
}

// of walks the objects of a kind in a guild or channel.
func (v *Cache) of(kind cache.Kind, group snowflake.ID) iter.Seq2[cached, error] {
	g := discord.Snowflake(group)
	return v.walk(kind, cache.Ref{Group: g}, func(r cache.Ref) bool { return r.Group == g })
}

// everywhere walks all objects of a kind.
func (v *Cache) everywhere(kind cache.Kind) iter.Seq2[cached, error] {
	return v.walk(kind, cache.Ref{}, func(cache.Ref) bool { return true })
}

// decoded decodes what an iterator yields. Errors are yielded; the loop may go
// on after one.
func decoded[T any](seq iter.Seq2[cached, error], f func(cached) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for x, err := range seq {
			var v T
			if err == nil {
				v, err = f(x)
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// list walks the objects of a kind in a guild or channel, and lets fix fill in
// what their JSON leaves out.
func list[T any](v *Cache, kind cache.Kind, group snowflake.ID, fix func(*T)) iter.Seq2[T, error] {
	return decoded(v.of(kind, group), func(x cached) (out T, err error) {
		if err = decode(kind, x.raw, &out); err == nil && fix != nil {
			fix(&out)
		}
		return out, err
	})
}

// Guilds walks the bot's guilds, in the order of their ids.
func (v *Cache) Guilds() iter.Seq2[dgo.Guild, error] {
	return decoded(v.everywhere(cache.Guilds), func(x cached) (out dgo.Guild, err error) {
		return out, decode(cache.Guilds, x.raw, &out)
	})
}

// ShardGuilds returns the ids of the guilds that a shard sees. It looks at
// every guild of the bot.
func (v *Cache) ShardGuilds(shard, total int) (guilds []snowflake.ID, err error) {
	err = v.look(func(c *cache.Cache) {
		for id := range c.ShardGuilds(shard, total) {
			guilds = append(guilds, snowflake.ID(id))
		}
	})
	return guilds, err
}

// Channels walks a guild's channels, without its threads. A channel of a type
// that disgo doesn't know is yielded as an error; the loop may go on after it.
func (v *Cache) Channels(guild snowflake.ID) iter.Seq2[dgo.GuildChannel, error] {
	return decoded(v.of(cache.Channels, guild), func(x cached) (dgo.GuildChannel, error) {
		return decodeChannel(guild, x.raw)
	})
}

// Threads walks a guild's active threads.
func (v *Cache) Threads(guild snowflake.ID) iter.Seq2[dgo.GuildThread, error] {
	return list(v, cache.Threads, guild, func(t *dgo.GuildThread) { *t = dgo.ApplyGuildIDToThread(*t, guild) })
}

// ChannelThreads walks the active threads of a channel. It looks at every
// thread of the guild.
func (v *Cache) ChannelThreads(guild, channel snowflake.ID) iter.Seq2[dgo.GuildThread, error] {
	of := func(x cached) bool { return jsonscan.ID(jsonscan.Get(x.raw, "parent_id")) == uint64(channel) }
	return decoded(filter(v.of(cache.Threads, guild), of), func(x cached) (out dgo.GuildThread, err error) {
		err = decode(cache.Threads, x.raw, &out)
		return dgo.ApplyGuildIDToThread(out, guild), err
	})
}

// Roles walks a guild's roles.
func (v *Cache) Roles(guild snowflake.ID) iter.Seq2[dgo.Role, error] {
	return list(v, cache.Roles, guild, func(r *dgo.Role) { r.GuildID = guild })
}

// Emojis walks a guild's custom emojis.
func (v *Cache) Emojis(guild snowflake.ID) iter.Seq2[dgo.Emoji, error] {
	return list(v, cache.Emojis, guild, func(e *dgo.Emoji) { e.GuildID = guild })
}

// Stickers walks a guild's stickers.
func (v *Cache) Stickers(guild snowflake.ID) iter.Seq2[dgo.Sticker, error] {
	return list(v, cache.Stickers, guild, func(s *dgo.Sticker) { s.GuildID = &guild })
}

// Members walks the cached members of a guild with their users, in the order of
// the users' ids.
func (v *Cache) Members(guild snowflake.ID) iter.Seq2[dgo.Member, error] {
	return decoded(v.of(cache.Members, guild), memberOf)
}

func memberOf(x cached) (dgo.Member, error) {
	return decodeMember(snowflake.ID(x.ref.Group), snowflake.ID(x.ref.ID), x.raw, x.user)
}

// MembersWithRole walks the cached members of a guild that have a role. It
// looks at the roles of every cached member, and decodes only those it yields.
func (v *Cache) MembersWithRole(guild, role snowflake.ID) iter.Seq2[dgo.Member, error] {
	has := func(x cached) (found bool) {
		_ = jsonscan.Elements(jsonscan.Get(x.raw, "roles"), func(id []byte) bool {
			found = jsonscan.ID(id) == uint64(role)
			return !found
		})
		return found
	}
	return decoded(filter(v.of(cache.Members, guild), has), memberOf)
}

// Memberships walks the guilds in which a user is a cached member, with the
// member there. It takes an index: the cost is that of what it yields.
func (v *Cache) Memberships(user snowflake.ID) iter.Seq2[dgo.Member, error] {
	seq := func(yield func(cached, error) bool) {
		var found []cached
		var off error
		err := v.look(func(c *cache.Cache) {
			off = kept(c, cache.Members)
			about, _ := c.User(discord.Snowflake(user))
			for guild := range c.UserGuilds(discord.Snowflake(user)) {
				raw, _ := c.Member(guild, discord.Snowflake(user))
				found = append(found, cached{cache.Ref{Group: guild, ID: discord.Snowflake(user)}, raw, about})
			}
		})
		if err == nil {
			err = off
		}
		if err != nil {
			yield(cached{}, err)
			return
		}
		for _, x := range found {
			if !yield(x, nil) {
				return
			}
		}
	}
	return decoded(seq, memberOf)
}

// Users walks the users who are cached members of some guild.
func (v *Cache) Users() iter.Seq2[dgo.User, error] {
	return decoded(v.everywhere(cache.Users), func(x cached) (out dgo.User, err error) {
		return out, decode(cache.Users, x.raw, &out)
	})
}

// Presences walks the presences in a guild, of those who aren't offline.
func (v *Cache) Presences(guild snowflake.ID) iter.Seq2[dgo.Presence, error] {
	return list(v, cache.Presences, guild, func(p *dgo.Presence) { p.GuildID = guild })
}

// VoiceStates walks the voice states in a guild.
func (v *Cache) VoiceStates(guild snowflake.ID) iter.Seq2[dgo.VoiceState, error] {
	return list(v, cache.VoiceStates, guild, func(s *dgo.VoiceState) { s.GuildID = guild })
}

// ChannelVoiceStates walks the voice states in a voice channel. It looks at
// every voice state of the guild.
func (v *Cache) ChannelVoiceStates(guild, channel snowflake.ID) iter.Seq2[dgo.VoiceState, error] {
	in := func(x cached) bool { return jsonscan.ID(jsonscan.Get(x.raw, "channel_id")) == uint64(channel) }
	return decoded(filter(v.of(cache.VoiceStates, guild), in), func(x cached) (out dgo.VoiceState, err error) {
		err = decode(cache.VoiceStates, x.raw, &out)
		out.GuildID = guild
		return out, err
	})
}

// StageInstances walks a guild's stage instances.
func (v *Cache) StageInstances(guild snowflake.ID) iter.Seq2[dgo.StageInstance, error] {
	return list[dgo.StageInstance](v, cache.StageInstances, guild, nil)
}

// ScheduledEvents walks a guild's scheduled events.
func (v *Cache) ScheduledEvents(guild snowflake.ID) iter.Seq2[dgo.GuildScheduledEvent, error] {
	return list[dgo.GuildScheduledEvent](v, cache.ScheduledEvents, guild, nil)
}

// SoundboardSounds walks a guild's soundboard sounds.
func (v *Cache) SoundboardSounds(guild snowflake.ID) iter.Seq2[dgo.SoundboardSound, error] {
	return list(v, cache.SoundboardSounds, guild, func(s *dgo.SoundboardSound) { s.GuildID = &guild })
}

// Span is a range of time, by the moments in which messages were written. A
// zero From is the beginning, a zero To the end; From is in it, To is not.
type Span struct{ From, To time.Time }

// ids returns the range of ids of the span: from first on, before end.
func (s Span) ids() (first, end discord.Snowflake) {
	end = ^discord.Snowflake(0)
	if !s.From.IsZero() {
		first = discord.SnowflakeAt(s.From)
	}
	if !s.To.IsZero() {
		end = discord.SnowflakeAt(s.To)
	}
	return first, end
}

// Messages walks the cached messages of a channel that were written in a span
// of time, oldest first. Messages outside the span cost nothing.
func (v *Cache) Messages(channel snowflake.ID, in Span) iter.Seq2[dgo.Message, error] {
	return decoded(v.messages(channel, in), messageOf)
}

func messageOf(x cached) (out dgo.Message, err error) {
	return out, decode(cache.Messages, x.raw, &out)
}

func (v *Cache) messages(channel snowflake.ID, in Span) iter.Seq2[cached, error] {
	first, end := in.ids()
	ch := discord.Snowflake(channel)
	return v.walk(cache.Messages, cache.Ref{Group: ch, ID: first}, func(r cache.Ref) bool {
		return r.Group == ch && r.ID < end
	})
}

// ChannelMessagesBy walks the cached messages that a user wrote in a channel,
// oldest first. It looks at every message of the span.
func (v *Cache) ChannelMessagesBy(channel, author snowflake.ID, in Span) iter.Seq2[dgo.Message, error] {
	return decoded(filter(v.messages(channel, in), writtenBy(author)), messageOf)
}

// MessagesBy walks the cached messages that a user wrote anywhere, by channel
// and age. It looks at every cached message.
func (v *Cache) MessagesBy(author snowflake.ID, in Span) iter.Seq2[dgo.Message, error] {
	first, end := in.ids()
	by := writtenBy(author)
	return decoded(filter(v.everywhere(cache.Messages), func(x cached) bool {
		return x.ref.ID >= first && x.ref.ID < end && by(x)
	}), messageOf)
}

func writtenBy(author snowflake.ID) func(cached) bool {
	return func(x cached) bool {
		return jsonscan.ID(jsonscan.Get(jsonscan.Get(x.raw, "author"), "id")) == uint64(author)
	}
}

// filter leaves out what want doesn't want. Errors pass.
func filter(seq iter.Seq2[cached, error], want func(cached) bool) iter.Seq2[cached, error] {
	return func(yield func(cached, error) bool) {
		for x, err := range seq {
			if (err != nil || want(x)) && !yield(x, err) {
				return
			}
		}
	}
}

// RawCache is a Cache that gives Discord's JSON as it is cached, without
// decoding it. The JSON must not be changed; it stays good for ever.
type RawCache struct{ v *Cache }

// Raw returns the view of the JSON.
func (v *Cache) Raw() RawCache { return RawCache{v} }

// Get returns an object by kind, group and id: the group is the guild, for
// messages the channel; guilds and users have their own id as group, and 0 as
// id. Members are without their user, channels without the last message that
// Channel shows.
func (r RawCache) Get(kind cache.Kind, group, id snowflake.ID) (json.RawMessage, error) {
	return r.v.find(kind, func(c *cache.Cache) ([]byte, bool) {
		return c.Object(kind, cache.Ref{Group: discord.Snowflake(group), ID: discord.Snowflake(id)})
	})
}

// List walks the objects of a kind in a guild, or the messages of a channel.
func (r RawCache) List(kind cache.Kind, group snowflake.ID) iter.Seq2[RawObject, error] {
	return rawObjects(r.v.of(kind, group))
}

// All walks all objects of a kind.
func (r RawCache) All(kind cache.Kind) iter.Seq2[RawObject, error] {
	return rawObjects(r.v.everywhere(kind))
}

// RawObject is an object's JSON, and what Get finds it by.
type RawObject struct {
	Group, ID snowflake.ID
	JSON      json.RawMessage
	User      json.RawMessage // of a member, nil if it isn't cached
}

func rawObjects(seq iter.Seq2[cached, error]) iter.Seq2[RawObject, error] {
	return decoded(seq, func(x cached) (RawObject, error) {
		return RawObject{snowflake.ID(x.ref.Group), snowflake.ID(x.ref.ID), x.raw, x.user}, nil
	})
}

package cache

import (
	"iter"

	"github.com/botnode/botnode/discord"
)

// Objects is a list of cached objects by id, in rising order of ids. It must be
// drained under the lock that its query was made under; the bytes stay good.
type Objects = iter.Seq2[discord.Snowflake, []byte]

// list walks the objects of a kind in a group, from an id on. dress, if not nil,
// turns what is stored into what Discord would send.
func (c *Cache) list(kind Kind, group, from discord.Snowflake, dress func([]byte, uint64) []byte) Objects {
	return func(yield func(discord.Snowflake, []byte) bool) {
		c.tables[kind].recs.ascend(key{uint64(group), uint64(from)}, func(k key, r rec) bool {
			if k.a != uint64(group) {
				return false
			}
			obj := raw(r.raw)
			if dress != nil {
				obj = dress(obj, k.b)
			}
			return yield(discord.Snowflake(k.b), obj)
		})
	}
}

// Guilds walks the cached guilds.
func (c *Cache) Guilds() Objects {
	return func(yield func(discord.Snowflake, []byte) bool) {
		c.tables[Guilds].recs.ascend(key{}, func(k key, r rec) bool {
			return yield(discord.Snowflake(k.a), raw(r.raw))
		})
	}
}

// GuildList walks a guild's objects of a kind, from an id on, in the form that
// Discord sends: members with their user, channels with their last message.
// Kinds that aren't held by guild (Guilds, Users, Messages) are empty.
func (c *Cache) GuildList(kind Kind, guild, from discord.Snowflake) Objects {
	switch kind {
	case Members:
		return c.list(kind, guild, from, c.withUser)
	case Channels, Threads:
		return c.list(kind, guild, from, c.withLast)
	case Guilds, Users, Messages:
		return func(func(discord.Snowflake, []byte) bool) {}
	}
	return c.list(kind, guild, from, nil)
}

// GuildChannels walks a guild's channels, without its threads.
func (c *Cache) GuildChannels(guild discord.Snowflake) Objects {
	return c.GuildList(Channels, guild, 0)
}

// GuildThreads walks a guild's active threads.
func (c *Cache) GuildThreads(guild discord.Snowflake) Objects {
	return c.GuildList(Threads, guild, 0)
}

// GuildRoles walks a guild's roles.
func (c *Cache) GuildRoles(guild discord.Snowflake) Objects { return c.GuildList(Roles, guild, 0) }

// GuildEmojis walks a guild's emojis.
func (c *Cache) GuildEmojis(guild discord.Snowflake) Objects { return c.GuildList(Emojis, guild, 0) }

// GuildStickers walks a guild's stickers.
func (c *Cache) GuildStickers(guild discord.Snowflake) Objects {
	return c.GuildList(Stickers, guild, 0)
}

// GuildMembers walks a guild's members as they are stored, without their users.
func (c *Cache) GuildMembers(guild discord.Snowflake) Objects {
	return c.list(Members, guild, 0, nil)
}

// GuildMembersWithUsers walks a guild's members with their users, from a user on.
func (c *Cache) GuildMembersWithUsers(guild, from discord.Snowflake) Objects {
	return c.GuildList(Members, guild, from)
}

// GuildPresences walks the presences in a guild.
func (c *Cache) GuildPresences(guild discord.Snowflake) Objects {
	return c.GuildList(Presences, guild, 0)
}

// GuildVoiceStates walks the voice states in a guild, by user.
func (c *Cache) GuildVoiceStates(guild discord.Snowflake) Objects {
	return c.GuildList(VoiceStates, guild, 0)
}

// GuildStageInstances walks a guild's stage instances.
func (c *Cache) GuildStageInstances(guild discord.Snowflake) Objects {
	return c.GuildList(StageInstances, guild, 0)
}

// GuildScheduledEvents walks a guild's scheduled events.
func (c *Cache) GuildScheduledEvents(guild discord.Snowflake) Objects {
	return c.GuildList(ScheduledEvents, guild, 0)
}

// GuildSoundboardSounds walks a guild's soundboard sounds.
func (c *Cache) GuildSoundboardSounds(guild discord.Snowflake) Objects {
	return c.GuildList(SoundboardSounds, guild, 0)
}

// Messages walks the cached messages of a channel from an id on, oldest first.
func (c *Cache) Messages(channel, from discord.Snowflake) Objects {
	return c.list(Messages, channel, from, nil)
}

// UserGuilds walks the guilds in which a user is a cached member.
func (c *Cache) UserGuilds(user discord.Snowflake) iter.Seq[discord.Snowflake] {
	return func(yield func(discord.Snowflake) bool) {
		c.index.places.group(uint64(user), func(guild uint64, _ struct{}) bool {
			return yield(discord.Snowflake(guild))
		})
	}
}

// Ref names an object within its kind: by guild and id, by channel and id for
// Messages, by id alone (as Group) for Guilds and Users.
type Ref struct{ Group, ID discord.Snowflake }

// All walks the objects of a kind from one on, as they are stored, in the order
// of groups and ids. Like Objects it must be drained under the query's lock.
func (c *Cache) All(kind Kind, from Ref) iter.Seq2[Ref, []byte] {
	return func(yield func(Ref, []byte) bool) {
		if kind >= kindCount {
			return
		}
		c.tables[kind].recs.ascend(key{uint64(from.Group), uint64(from.ID)}, func(k key, r rec) bool {
			return yield(Ref{discord.Snowflake(k.a), discord.Snowflake(k.b)}, raw(r.raw))
		})
	}
}

// Count returns the number of objects of a kind, and whether the kind is kept
// at all.
func (c *Cache) Count(kind Kind) (n int, kept bool) {
	if kind >= kindCount {
		return 0, false
	}
	t := &c.tables[kind]
	return t.recs.n, t.policy.Mode != Off
}

package cache

import (
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/jsonscan"
)

// changed says which object an update or delete event is about.
var changed = map[string]func(c *Cache, e *event) ([]byte, bool){
	"USER_UPDATE":                   func(c *Cache, _ *event) ([]byte, bool) { return c.Self(), true },
	"GUILD_UPDATE":                  guildBefore,
	"GUILD_DELETE":                  guildBefore,
	"GUILD_ROLE_UPDATE":             func(c *Cache, e *event) ([]byte, bool) { return c.before(Roles, e.guild, idOf(e.role)) },
	"GUILD_ROLE_DELETE":             func(c *Cache, e *event) ([]byte, bool) { return c.before(Roles, e.guild, jsonscan.ID(e.roleID)) },
	"CHANNEL_UPDATE":                channelBefore,
	"CHANNEL_DELETE":                channelBefore,
	"THREAD_UPDATE":                 channelBefore,
	"THREAD_DELETE":                 channelBefore,
	"GUILD_MEMBER_UPDATE":           memberBefore,
	"GUILD_MEMBER_REMOVE":           memberBefore,
	"PRESENCE_UPDATE":               func(c *Cache, e *event) ([]byte, bool) { return c.before(Presences, e.guild, idOf(e.user)) },
	"VOICE_STATE_UPDATE":            func(c *Cache, e *event) ([]byte, bool) { return c.before(VoiceStates, e.guild, e.userID) },
	"GUILD_SCHEDULED_EVENT_UPDATE":  func(c *Cache, e *event) ([]byte, bool) { return c.before(ScheduledEvents, e.guild, e.id) },
	"GUILD_SCHEDULED_EVENT_DELETE":  func(c *Cache, e *event) ([]byte, bool) { return c.before(ScheduledEvents, e.guild, e.id) },
	"STAGE_INSTANCE_UPDATE":         func(c *Cache, e *event) ([]byte, bool) { return c.before(StageInstances, e.guild, e.id) },
	"STAGE_INSTANCE_DELETE":         func(c *Cache, e *event) ([]byte, bool) { return c.before(StageInstances, e.guild, e.id) },
	"GUILD_SOUNDBOARD_SOUND_UPDATE": soundBefore,
	"GUILD_SOUNDBOARD_SOUND_DELETE": soundBefore,
	"MESSAGE_UPDATE":                func(c *Cache, e *event) ([]byte, bool) { return c.before(Messages, e.channel, e.id) },
	"MESSAGE_DELETE":                func(c *Cache, e *event) ([]byte, bool) { return c.before(Messages, e.channel, e.id) },
}

// Before returns the cached object that an update or delete event is about to
// change, in Discord's form, or nil. It is called before Apply; a handler is
// shown both.
func (c *Cache) Before(name string, d []byte) []byte {
	find, ok := changed[name]
	if !ok {
		return nil
	}
	e := new(event) // its own: Before is a read, and reads may run side by side
	if !e.scan(d) {
		return nil
	}
	obj, _ := find(c, e)
	return obj
}

// before returns a cached object.
func (c *Cache) before(kind Kind, a, b uint64) ([]byte, bool) {
	return c.object(kind, discord.Snowflake(a), discord.Snowflake(b))
}

// idOf returns the id of an object.
func idOf(obj []byte) uint64 { return jsonscan.ID(jsonscan.Get(obj, "id")) }

func guildBefore(c *Cache, e *event) ([]byte, bool) { return c.before(Guilds, e.id, 0) }

func channelBefore(c *Cache, e *event) ([]byte, bool) { return c.Channel(discord.Snowflake(e.id)) }

func memberBefore(c *Cache, e *event) ([]byte, bool) {
	return c.MemberWithUser(discord.Snowflake(e.guild), discord.Snowflake(idOf(e.user)))
}

func soundBefore(c *Cache, e *event) ([]byte, bool) {
	return c.before(SoundboardSounds, e.guild, jsonscan.ID(e.soundID))
}

package sim

import (
	"net/http"
	"strconv"
	"strings"
)

func guildRoutes() []route {
	return []route{
		on("GET", "/guilds/{guild}", "guilds.get", getGuild),
		on("PATCH", "/guilds/{guild}", "guilds.edit", editGuild),
		on("GET", "/guilds/{guild}/preview", "guilds.get", getGuild),
		on("GET", "/guilds/{guild}/roles", "roles.list", listRoles),
		on("POST", "/guilds/{guild}/roles", "roles.create", createRole),
		on("PATCH", "/guilds/{guild}/roles", "roles.edit", listRoles),
		on("GET", "/guilds/{guild}/roles/{role}", "roles.list", getRole),
		on("PATCH", "/guilds/{guild}/roles/{role}", "roles.edit", editRole),
		on("DELETE", "/guilds/{guild}/roles/{role}", "roles.delete", dropRole),
		on("GET", "/guilds/{guild}/emojis", "emojis.list", listEmojis),
		on("POST", "/guilds/{guild}/emojis", "emojis.create", createEmoji),
		on("GET", "/guilds/{guild}/emojis/{emoji}", "emojis.list", getEmoji),
		on("DELETE", "/guilds/{guild}/emojis/{emoji}", "emojis.delete", dropEmoji),
		on("GET", "/guilds/{guild}/voice-states/{user}", "voice.get", getVoiceState),
		on("GET", "/guilds/{guild}/regions", "voice.regions", voiceRegions),
		on("GET", "/guilds/{guild}/audit-logs", "guilds.audit", emptyAudit),
	}
}

func getGuild(c *call) reply {
	return c.inGuild(func(g *guild) reply {
		r := g.object()
		if c.r.URL.Query().Get("with_counts") == "true" {
			r = splice(r, "approximate_member_count", raw(strconv.Itoa(g.members.count())))
			r = splice(r, "approximate_presence_count", raw(strconv.Itoa(len(g.presences))))
		}
		return ok(r)
	})
}

func editGuild(c *call) reply {
	return c.inGuild(func(g *guild) reply {
		c.srv.guildUpdate(g, pickFields(c.fields(), "name", "description", "afk_timeout", "verification_level",
			"system_channel_id", "preferred_locale", "owner_id"))
		return ok(g.object())
	})
}

func listRoles(c *call) reply {
	return c.inGuild(func(g *guild) reply { return ok(g.roles.array()) })
}

// row answers one object of a table of the guild.
func (c *call) row(pick func(*guild) *table, code int, what string, f func(*guild, ID, raw) reply) reply {
	return c.inGuild(func(g *guild) reply {
		id := c.id(1)
		if r, has := pick(g).rows[id]; has {
			return f(g, id, r)
		}
		return unknown(code, what)
	})
}

func rolesOf(g *guild) *table  { return &g.roles }
func emojisOf(g *guild) *table { return &g.emojis }

func getRole(c *call) reply {
	return c.row(rolesOf, 10011, "Role", func(_ *guild, _ ID, r raw) reply { return ok(r) })
}

func roleFields(o obj) obj {
	return pickFields(o, "name", "permissions", "color", "colors", "hoist", "mentionable", "icon", "unicode_emoji")
}

func createRole(c *call) reply {
	return c.inGuild(func(g *guild) reply { return ok(c.srv.roleCreate(g, "new role", roleFields(c.fields()))) })
}

func editRole(c *call) reply {
	return c.row(rolesOf, 10011, "Role", func(g *guild, id ID, _ raw) reply {
		return ok(c.srv.roleUpdate(g, id, roleFields(c.fields())))
	})
}

func dropRole(c *call) reply {
	return c.row(rolesOf, 10011, "Role", func(g *guild, id ID, _ raw) reply {
		if id == g.id {
			return apiError(http.StatusBadRequest, 50028, "Invalid Role")
		}
		c.srv.roleDelete(g, id)
		return noContent()
	})
}

func listEmojis(c *call) reply {
	return c.inGuild(func(g *guild) reply { return ok(g.emojis.array()) })
}

func getEmoji(c *call) reply {
	return c.row(emojisOf, 10014, "Emoji", func(_ *guild, _ ID, r raw) reply { return ok(r) })
}

func createEmoji(c *call) reply {
	return c.inGuild(func(g *guild) reply {
		name, _ := c.fields()["name"].(string)
		id := c.srv.world.ids.next()
		g.emojis.put(id, emojiObject(id, name))
		c.srv.emojisUpdate(g)
		return created(g.emojis.rows[id])
	})
}

func dropEmoji(c *call) reply {
	return c.row(emojisOf, 10014, "Emoji", func(g *guild, id ID, _ raw) reply {
		g.emojis.del(id)
		c.srv.emojisUpdate(g)
		return noContent()
	})
}

func getVoiceState(c *call) reply {
	return c.inGuild(func(g *guild) reply {
		if r, has := g.voice[c.user(1)]; has {
			return ok(g.in(r))
		}
		return unknown(10065, "Voice State")
	})
}

// user is parameter i as a user's id, where "@me" is the bot.
func (c *call) user(i int) ID {
	if c.p[i] == "@me" {
		return BotID
	}
	return c.id(i)
}

func voiceRegions(*call) reply {
	return ok([]obj{{"id": "rotterdam", "name": "Rotterdam", "optimal": true, "deprecated": false, "custom": false}})
}

func emptyAudit(*call) reply {
	o := obj{}
	for k := range strings.FieldsSeq("application_commands audit_log_entries auto_moderation_rules " +
		"guild_scheduled_events integrations threads users webhooks") {
		o[k] = []any{}
	}
	return ok(o)
}

package sim

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func memberRoutes() []route {
	const one = "/guilds/{guild}/members/{user}"
	return []route{
		on("GET", "/guilds/{guild}/members", "members.list", listMembers),
		on("GET", "/guilds/{guild}/members/search", "members.search", searchMembers),
		on("GET", one, "members.get", getMember),
		on("PATCH", one, "members.edit", editMember),
		on("DELETE", one, "members.remove", kickMember),
		on("PUT", one+"/roles/{role}", "members.roles", addMemberRole),
		on("DELETE", one+"/roles/{role}", "members.roles", dropMemberRole),
		on("GET", "/guilds/{guild}/bans", "bans.list", emptyList),
		on("PUT", "/guilds/{guild}/bans/{user}", "bans.modify", banMember),
		on("DELETE", "/guilds/{guild}/bans/{user}", "bans.modify", unbanMember),
	}
}

func (c *call) limit(def, most int) int {
	n, err := strconv.Atoi(c.r.URL.Query().Get("limit"))
	if err != nil || n < 1 {
		n = def
	}
	return min(n, most)
}

// listMembers pages by user id (resources/guild.mdx, "List Guild Members").
func listMembers(c *call) reply {
	return c.inGuild(func(g *guild) reply {
		after, limit := ParseID(c.r.URL.Query().Get("after")), c.limit(1, 1000)
		ids := slices.DeleteFunc(g.members.ids(), func(id ID) bool { return id <= after })
		slices.Sort(ids)
		out := []raw{}
		for _, id := range ids[:min(len(ids), limit)] {
			r, _ := g.members.get(id)
			out = append(out, r)
		}
		return ok(joinArray(out))
	})
}

func searchMembers(c *call) reply {
	return c.inGuild(func(g *guild) reply {
		query, limit := strings.ToLower(c.r.URL.Query().Get("query")), c.limit(1, 1000)
		out := []raw{}
		g.members.each(func(_ ID, r raw) bool {
			if strings.HasPrefix(memberName(r), query) {
				out = append(out, r)
			}
			return len(out) < limit
		})
		return ok(joinArray(out))
	})
}

// withMember runs f for the member of the path.
func (c *call) withMember(f func(*guild, ID, raw) reply) reply {
	return c.inGuild(func(g *guild) reply {
		id := c.user(1)
		if r, has := g.members.get(id); has {
			return f(g, id, r)
		}
		return unknown(10007, "Member")
	})
}

func getMember(c *call) reply {
	return c.withMember(func(_ *guild, _ ID, r raw) reply { return ok(r) })
}

func editMember(c *call) reply {
	return c.withMember(func(g *guild, id ID, _ raw) reply {
		f := c.fields()
		if ch, has := f["channel_id"]; has {
			name, _ := ch.(string)
			c.srv.putVoice(g, id, ParseID(name), "moved", false, false)
		}
		return ok(c.srv.memberUpdate(g, id, pickFields(f, "nick", "roles", "mute", "deaf", "communication_disabled_until", "flags")))
	})
}

func kickMember(c *call) reply {
	return c.withMember(func(g *guild, id ID, _ raw) reply {
		c.srv.memberRemove(g, id)
		return noContent()
	})
}

func addMemberRole(c *call) reply { return c.memberRole(true) }

func dropMemberRole(c *call) reply { return c.memberRole(false) }

func (c *call) memberRole(add bool) reply {
	return c.withMember(func(g *guild, id ID, r raw) reply {
		if _, has := g.roles.rows[c.id(2)]; !has {
			return unknown(10011, "Role")
		}
		roles, _ := decode(r)["roles"].([]any)
		roles = slices.DeleteFunc(roles, func(x any) bool { return x == c.p[2] })
		if add {
			roles = append(roles, c.p[2])
		}
		c.srv.memberUpdate(g, id, obj{"roles": roles})
		return noContent()
	})
}

func banMember(c *call) reply {
	return c.inGuild(func(g *guild) reply {
		c.srv.memberRemove(g, c.id(1))
		c.srv.emit(g.id, "GUILD_BAN_ADD", encode(obj{"guild_id": g.id, "user": renderUser(c.id(1), 0)}))
		return noContent()
	})
}

func unbanMember(c *call) reply {
	return c.inGuild(func(g *guild) reply {
		c.srv.emit(g.id, "GUILD_BAN_REMOVE", encode(obj{"guild_id": g.id, "user": renderUser(c.id(1), 0)}))
		return reply{status: http.StatusNoContent}
	})
}

package sim

import (
	"net/http"
	"time"
)

func gatewayRoutes() []route {
	open := on("GET", "/gateway", "gateway", getGateway)
	open.open = true
	return []route{open, on("GET", "/gateway/bot", "gateway.bot", getGatewayBot)}
}

func userRoutes() []route {
	return []route{
		on("GET", "/users/@me", "users.me", getSelf),
		on("PATCH", "/users/@me", "users.edit", getSelf),
		on("GET", "/users/@me/guilds", "users.guilds", listOwnGuilds),
		on("DELETE", "/users/@me/guilds/{guild}", "users.guilds", leaveGuild),
		on("POST", "/users/@me/channels", "users.channels", createDM),
		on("GET", "/users/{user}", "users.get", getUser),
		on("GET", "/applications/@me", "applications.me", getApplication),
		on("PATCH", "/applications/@me", "applications.me", getApplication),
		on("GET", "/oauth2/applications/@me", "applications.me", getApplication),
	}
}

func getGateway(c *call) reply { return ok(obj{"url": c.srv.GatewayURL()}) }

// getGatewayBot also tells the budget (events/gateway.mdx, "Session Start Limit Object").
func getGatewayBot(c *call) reply {
	o := &c.srv.opts
	return ok(obj{
		"url": c.srv.GatewayURL(), "shards": o.Shards, "session_start_limit": obj{
			"total": o.SessionStarts, "remaining": c.srv.hub.budget(), "reset_after": (14 * time.Hour).Milliseconds(),
			"max_concurrency": o.MaxConcurrency,
		},
	})
}

func getSelf(c *call) reply { return ok(c.srv.selfUser()) }

func getUser(c *call) reply {
	id := c.id(0)
	if id == BotID {
		return ok(botUser)
	}
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	number := (int64(id) - userMS<<22) / userStep
	if number < 1 || number >= w.users || userID(number) != id {
		return unknown(10013, "User")
	}
	return ok(renderUser(id, number))
}

func listOwnGuilds(c *call) reply {
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	after, limit := ParseID(c.r.URL.Query().Get("after")), c.limit(200, 200)
	out := []obj{}
	for _, g := range w.guilds {
		if w.byID[g.id] == nil || g.id <= after || len(out) >= limit {
			continue
		}
		o := decode(g.base)
		out = append(out, obj{
			"id": g.id, "name": o["name"], "icon": nil, "banner": nil, "owner": false, "permissions": "2248473465835073",
			"features": []any{},
		})
	}
	return ok(out)
}

func leaveGuild(c *call) reply {
	if c.srv.RemoveGuild(c.id(0)) != nil {
		return unknown(10004, "Guild")
	}
	return noContent()
}

// createDM opens the direct messages with a user; asking again gives the same channel.
func createDM(c *call) reply {
	var b struct {
		Recipient ID `json:"recipient_id"`
	}
	if !c.json(&b) || b.Recipient == 0 {
		return apiError(http.StatusBadRequest, 50033, "Invalid Recipient(s)")
	}
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch, u := range w.dms {
		if u == b.Recipient {
			return ok(dmObject(ch, u))
		}
	}
	id := w.ids.next()
	w.dms[id] = b.Recipient
	c.srv.hub.deliver(0, "CHANNEL_CREATE", dmObject(id, b.Recipient), nil, true)
	return ok(dmObject(id, b.Recipient))
}

func dmObject(id, user ID) raw {
	number := (int64(user) - userMS<<22) / userStep
	return encode(obj{
		"id": id, "type": 1, "last_message_id": nil, "flags": 0, "recipients": []raw{renderUser(user, number)},
	})
}

func getApplication(c *call) reply {
	owner := obj{
		"id": OwnerID, "username": "owner", "discriminator": "0", "avatar": nil, "global_name": "Owner", "public_flags": 0,
	}
	return ok(obj{
		"id": BotID, "name": "simbot", "icon": nil, "description": "", "bot_public": true, "bot_require_code_grant": false,
		"verify_key": "00", "flags": 565248, "owner": owner, "team": nil, "summary": "", "type": nil, "hook": true,
		"bot": botUser, "approximate_guild_count": c.srv.guildsOf(0, 1), "approximate_user_install_count": 0,
		"redirect_uris": []any{}, "interactions_endpoint_url": nil, "event_webhooks_status": 1,
	})
}

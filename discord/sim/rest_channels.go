package sim

import (
	"maps"
	"net/http"
)

func channelRoutes() []route {
	return []route{
		on("GET", "/channels/{channel}", "channels.get", getChannel),
		on("PATCH", "/channels/{channel}", "channels.edit", editChannel),
		on("DELETE", "/channels/{channel}", "channels.delete", dropChannel),
		on("PUT", "/channels/{channel}/permissions/{overwrite}", "channels.permissions", putOverwrite),
		on("DELETE", "/channels/{channel}/permissions/{overwrite}", "channels.permissions", dropOverwrite),
		on("GET", "/channels/{channel}/invites", "channels.invites", emptyList),
		on("GET", "/channels/{channel}/webhooks", "channels.webhooks", emptyList),
		on("POST", "/channels/{channel}/webhooks", "channels.webhooks", createWebhook),
		on("GET", "/guilds/{guild}/channels", "guilds.channels", listChannels),
		on("POST", "/guilds/{guild}/channels", "guilds.channels", createChannel),
		on("PATCH", "/guilds/{guild}/channels", "guilds.channels", moveChannels),
	}
}

func threadRoutes() []route {
	return []route{
		on("POST", "/channels/{channel}/threads", "threads.create", createThread),
		on("POST", "/channels/{channel}/messages/{message}/threads", "threads.create", createThread),
		on("GET", "/guilds/{guild}/threads/active", "threads.list", activeThreads),
		on("GET", "/channels/{channel}/threads/archived/public", "threads.list", noThreads),
		on("GET", "/channels/{channel}/threads/archived/private", "threads.list", noThreads),
		on("GET", "/channels/{channel}/thread-members", "threads.members", emptyList),
		on("PUT", "/channels/{channel}/thread-members/{user}", "threads.members", nothing),
		on("DELETE", "/channels/{channel}/thread-members/{user}", "threads.members", nothing),
		on("GET", "/channels/{channel}/thread-members/{user}", "threads.members", getThreadMember),
	}
}

func emptyList(*call) reply { return ok(raw("[]")) }
func nothing(*call) reply   { return noContent() }
func noThreads(*call) reply {
	return ok(obj{"threads": []any{}, "members": []any{}, "has_more": false})
}

// channel finds a channel or thread; the caller holds the world's lock.
func (c *call) channel() (g *guild, r raw, thread bool) {
	id := c.id(0)
	g = c.srv.world.owner[id]
	if g == nil {
		return nil, nil, false
	}
	if r, thread = g.threads.rows[id]; thread {
		return g, r, true
	}
	return g, g.channels.rows[id], false
}

func getChannel(c *call) reply {
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if user := w.dms[c.id(0)]; user != 0 {
		return ok(dmObject(c.id(0), user))
	}
	g, r, _ := c.channel()
	if g == nil {
		return unknown(10003, "Channel")
	}
	return ok(g.in(r))
}

func editChannel(c *call) reply {
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	g, _, thread := c.channel()
	if g == nil {
		return unknown(10003, "Channel")
	}
	f := c.fields()
	if !thread {
		return ok(g.in(c.srv.channelUpdate(g, c.id(0), pickFields(f, "name", "type", "position", "topic", "nsfw",
			"rate_limit_per_user", "bitrate", "user_limit", "permission_overwrites", "parent_id", "rtc_region", "flags"))))
	}
	fields := pickFields(f, "name", "rate_limit_per_user", "flags")
	meta, _ := decode(g.threads.rows[c.id(0)])["thread_metadata"].(obj)
	maps.Copy(meta, pickFields(f, "archived", "auto_archive_duration", "locked"))
	fields["thread_metadata"] = meta
	return ok(g.in(c.srv.threadUpdate(g, c.id(0), fields)))
}

func dropChannel(c *call) reply {
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	g, _, thread := c.channel()
	switch {
	case g == nil:
		return unknown(10003, "Channel")
	case thread:
		return ok(g.in(c.srv.threadDelete(g, c.id(0), true)))
	}
	return ok(g.in(c.srv.channelDelete(g, c.id(0))))
}

func putOverwrite(c *call) reply { return c.overwrite(c.fields()) }

func dropOverwrite(c *call) reply { return c.overwrite(nil) }

// overwrite replaces or removes the permission overwrite of a channel.
func (c *call) overwrite(o obj) reply {
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	g, r, thread := c.channel()
	if g == nil || thread {
		return unknown(10003, "Channel")
	}
	list, _ := decode(r)["permission_overwrites"].([]any)
	kept := []any{}
	for _, x := range list {
		if x.(obj)["id"] != c.p[1] {
			kept = append(kept, x)
		}
	}
	if o != nil {
		o["id"] = c.p[1]
		kept = append(kept, o)
	}
	c.srv.channelUpdate(g, c.id(0), obj{"permission_overwrites": kept})
	return noContent()
}

func listChannels(c *call) reply {
	return c.inGuild(func(g *guild) reply {
		out := []raw{}
		for _, r := range g.channels.list() {
			out = append(out, g.in(r))
		}
		return ok(joinArray(out))
	})
}

// inGuild runs f under the world's lock for the guild of the path.
func (c *call) inGuild(f func(*guild) reply) reply {
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.guildOf(c.id(0))
	if g == nil {
		return unknown(10004, "Guild")
	}
	return f(g)
}

func createChannel(c *call) reply {
	var b struct {
		Name string `json:"name"`
		Type int    `json:"type"`
	}
	if !c.json(&b) || b.Name == "" {
		return invalidForm("name", "BASE_TYPE_REQUIRED", "This field is required")
	}
	return c.inGuild(func(g *guild) reply {
		id := c.srv.channelCreate(g, b.Type, b.Name, pickFields(c.fields(), "topic", "nsfw", "position", "parent_id",
			"permission_overwrites", "rate_limit_per_user", "bitrate", "user_limit"))
		return created(g.in(g.channels.rows[id]))
	})
}

func moveChannels(c *call) reply {
	var list []obj
	if !c.json(&list) {
		return apiError(http.StatusBadRequest, 50035, "Invalid Form Body")
	}
	return c.inGuild(func(g *guild) reply {
		for _, o := range list {
			id, _ := o["id"].(string)
			if _, has := g.channels.rows[ParseID(id)]; has {
				c.srv.channelUpdate(g, ParseID(id), pickFields(o, "position", "parent_id"))
			}
		}
		return noContent()
	})
}

// createThread makes a thread; one made from a message has the message's id
// (topics/threads.mdx).
func createThread(c *call) reply {
	var b struct {
		Name string `json:"name"`
	}
	if !c.json(&b) || b.Name == "" {
		return invalidForm("name", "BASE_TYPE_REQUIRED", "This field is required")
	}
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	g, _, thread := c.channel()
	if g == nil || thread {
		return unknown(10003, "Channel")
	}
	var id ID
	if len(c.p) > 1 {
		id = c.id(1)
	}
	return created(g.in(c.srv.threadCreate(g, c.id(0), BotID, b.Name, id)))
}

func activeThreads(c *call) reply {
	return c.inGuild(func(g *guild) reply {
		out := []raw{}
		for _, r := range g.threads.list() {
			out = append(out, g.in(r))
		}
		return ok(obj{"threads": joinArray(out), "members": []any{}})
	})
}

func getThreadMember(c *call) reply {
	return ok(obj{"id": c.p[0], "user_id": c.p[1], "join_timestamp": "2024-01-02T03:04:05.000000+00:00", "flags": 0})
}

func createWebhook(c *call) reply {
	id := c.srv.world.ids.next()
	return ok(obj{
		"id": id, "type": 1, "channel_id": c.p[0], "name": c.fields()["name"], "avatar": nil, "application_id": BotID,
		"token": "hook-" + id.String(), "user": botUser,
	})
}

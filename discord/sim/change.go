package sim

import (
	"bytes"
	"slices"
)

// The changes below alter the true state and dispatch the event; the caller
// holds the world's lock. Their names are those of the events.

// in adds guild_id, which events carry and the state doesn't.
func (g *guild) in(r raw) raw { return splice(r, "guild_id", g.id.quoted()) }

func (s *Server) guildUpdate(g *guild, fields obj) {
	g.base = with(g.base, fields)
	s.emit(g.id, "GUILD_UPDATE", g.object())
}

func (s *Server) channelCreate(g *guild, kind int, name string, fields obj) ID {
	id := s.world.ids.next()
	r := with(channelObject(id, kind, name, len(g.channels.keys)), fields)
	g.channels.put(id, r)
	s.world.owner[id] = g
	s.emit(g.id, "CHANNEL_CREATE", g.in(r))
	return id
}

func (s *Server) channelUpdate(g *guild, id ID, fields obj) raw {
	r := with(g.channels.rows[id], fields)
	g.channels.put(id, r)
	s.emit(g.id, "CHANNEL_UPDATE", g.in(r))
	return r
}

// channelDelete also empties it: those in voice leave, its threads go with it.
// THREAD_DELETE for those is undocumented, hence a switch.
func (s *Server) channelDelete(g *guild, id ID) raw {
	r := g.channels.rows[id]
	for _, u := range sortedKeys(g.voice) {
		if decode(g.voice[u])["channel_id"] == id.String() {
			s.putVoice(g, u, 0, "", false, false)
		}
	}
	for _, t := range slices.Clone(g.threads.keys) {
		if decode(g.threads.rows[t])["parent_id"] == id.String() {
			s.threadDelete(g, t, s.opts.ThreadDeletes)
		}
	}
	g.channels.del(id)
	delete(s.world.owner, id)
	g.text = slices.DeleteFunc(g.text, func(x ID) bool { return x == id })
	s.emit(g.id, "CHANNEL_DELETE", g.in(r))
	return r
}

func (s *Server) threadCreate(g *guild, parent, owner ID, name string, id ID) raw {
	if id == 0 {
		id = s.world.ids.next()
	}
	r := threadObject(id, parent, owner, name)
	s.world.placeThread(g, id, r)
	s.emit(g.id, "THREAD_CREATE", splice(g.in(r), "newly_created", raw("true")))
	return r
}

func (s *Server) threadUpdate(g *guild, id ID, fields obj) raw {
	r := with(g.threads.rows[id], fields)
	g.threads.put(id, r)
	s.emit(g.id, "THREAD_UPDATE", g.in(r))
	return r
}

func (s *Server) threadDelete(g *guild, id ID, tell bool) raw {
	r := g.threads.rows[id]
	o := decode(r)
	g.threads.del(id)
	delete(s.world.owner, id)
	if tell {
		s.emit(g.id, "THREAD_DELETE", encode(obj{
			"id": id, "guild_id": g.id, "parent_id": o["parent_id"], "type": o["type"],
		}))
	}
	return r
}

func (s *Server) roleCreate(g *guild, name string, fields obj) raw {
	id := s.world.ids.next()
	r := with(roleObject(id, name, 1), fields)
	g.roles.put(id, r)
	s.emit(g.id, "GUILD_ROLE_CREATE", encode(obj{"guild_id": g.id, "role": r}))
	return r
}

func (s *Server) roleUpdate(g *guild, id ID, fields obj) raw {
	r := with(g.roles.rows[id], fields)
	g.roles.put(id, r)
	s.emit(g.id, "GUILD_ROLE_UPDATE", encode(obj{"guild_id": g.id, "role": r}))
	return r
}

// roleDelete takes the role from its members first, each with an event: whether
// Discord sends those isn't documented, but a cache that ignores the role's
// deletion is then still right.
func (s *Server) roleDelete(g *guild, id ID) {
	q := id.quoted()
	g.members.each(func(u ID, r raw) bool {
		if bytes.Contains(r, q) {
			roles, _ := decode(r)["roles"].([]any)
			s.memberUpdate(g, u, obj{"roles": slices.DeleteFunc(roles, func(x any) bool { return x == id.String() })})
		}
		return true
	})
	g.roles.del(id)
	s.emit(g.id, "GUILD_ROLE_DELETE", encode(obj{"guild_id": g.id, "role_id": id}))
}

func (s *Server) memberAdd(g *guild) ID {
	w := s.world
	id := userID(w.users)
	r := newMember(renderUser(id, w.users), nil, 2025, false)
	w.users++
	g.members.set(id, r)
	s.emit(g.id, "GUILD_MEMBER_ADD", g.in(r))
	return id
}

// memberRejoin sends GUILD_MEMBER_ADD for a member that is known, as Discord does
// at times (discord-api-docs issue 3377).
func (s *Server) memberRejoin(g *guild, id ID) {
	if r, ok := g.members.get(id); ok {
		s.emit(g.id, "GUILD_MEMBER_ADD", g.in(r))
	}
}

func (s *Server) memberUpdate(g *guild, id ID, fields obj) raw {
	old, ok := g.members.get(id)
	if !ok {
		return nil
	}
	r := with(old, fields)
	g.members.set(id, r)
	s.emit(g.id, "GUILD_MEMBER_UPDATE", g.in(r))
	return r
}

func (s *Server) memberRemove(g *guild, id ID) {
	r, ok := g.members.get(id)
	if !ok {
		return
	}
	if _, in := g.voice[id]; in {
		s.putVoice(g, id, 0, "", false, false)
	}
	delete(g.presences, id)
	user := encode(decode(r)["user"])
	g.members.del(id)
	s.emit(g.id, "GUILD_MEMBER_REMOVE", encode(obj{"guild_id": g.id, "user": user}))
}

func (s *Server) presenceUpdate(g *guild, id ID, status string) {
	r := presenceObject(id, status)
	if status == "offline" {
		delete(g.presences, id)
	} else {
		g.presences[id] = r
	}
	s.emit(g.id, "PRESENCE_UPDATE", g.in(r))
}

// putVoice puts a user in a voice channel; 0 takes it out.
func (s *Server) putVoice(g *guild, user, channel ID, session string, mute, deaf bool) {
	r := voiceObject(user, channel, session, mute, deaf)
	if channel == 0 {
		r = with(r, obj{"channel_id": nil})
		delete(g.voice, user)
	} else {
		g.voice[user] = r
	}
	member, _ := g.members.get(user)
	if member == nil {
		member = raw("null")
	}
	s.emit(g.id, "VOICE_STATE_UPDATE", splice(g.in(r), "member", member))
}

func (s *Server) emojisUpdate(g *guild) {
	s.emit(g.id, "GUILD_EMOJIS_UPDATE", encode(obj{"guild_id": g.id, "emojis": g.emojis.array()}))
}

// guildRemove is the bot being thrown out.
func (s *Server) guildRemove(g *guild) {
	delete(s.world.byID, g.id)
	for _, t := range []*table{&g.channels, &g.threads} {
		for _, id := range t.keys {
			delete(s.world.owner, id)
		}
	}
	s.emit(g.id, "GUILD_DELETE", encode(obj{"id": g.id}))
}

// guildAdd is the bot being invited: the sessions get GUILD_CREATE without
// having seen the guild as unavailable.
func (s *Server) guildAdd(members int) *guild {
	g := s.world.addGuild(&s.opts, members)
	for _, sess := range s.hub.live(-1) {
		if sess.wants(g.id, "GUILD_CREATE", false) {
			sess.push(g.id, "GUILD_CREATE", g.create(sess.view()))
		}
	}
	return g
}

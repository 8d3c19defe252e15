package sim

import (
	"fmt"
	"slices"
)

// mutations are the random changes by kind. Each is given a random guild and
// holds the world's lock.
var mutations = map[string]func(*Server, *guild){
	"member":   mutateMember,
	"join":     func(s *Server, g *guild) { s.memberAdd(g) },
	"leave":    func(s *Server, g *guild) { s.memberRemove(g, g.members.pick(s.world.rng)) },
	"rejoin":   func(s *Server, g *guild) { s.memberRejoin(g, g.members.pick(s.world.rng)) },
	"role":     mutateRole,
	"channel":  mutateChannel,
	"thread":   mutateThread,
	"presence": mutatePresence,
	"voice":    mutateVoice,
	"emoji":    mutateEmoji,
	"guild":    mutateGuild,
}

// mixed is the order from which "mixed" draws; guilds don't come and go in it.
var mixed = []string{"member", "join", "leave", "rejoin", "role", "channel", "thread", "presence", "voice", "emoji", "guild"}

// Mutate makes n random changes of a kind: member, join, leave, rejoin, role,
// channel, thread, presence, voice, emoji, guild, or mixed. Equal seeds and equal calls
// make equal changes, but for the ids of what is created.
func (s *Server) Mutate(kind string, n int) error {
	w := s.world
	for range n {
		w.mu.Lock()
		k := kind
		if k == "mixed" {
			k = mixed[w.rng.IntN(len(mixed))]
		}
		f, ok := mutations[k]
		if ok && len(w.guilds) > 0 {
			if g := w.at(w.rng.IntN(len(w.guilds))); g != nil {
				f(s, g)
			}
		}
		w.mu.Unlock()
		if !ok {
			return fmt.Errorf("%w: kind %q", ErrLoad, kind)
		}
	}
	return nil
}

func mutateMember(s *Server, g *guild) {
	rng := s.world.rng
	id := g.members.pick(rng)
	switch rng.IntN(3) {
	case 0:
		s.memberUpdate(g, id, obj{"nick": fmt.Sprintf("nick %d", rng.IntN(1000))})
	case 1:
		s.memberUpdate(g, id, obj{"nick": nil})
	default:
		roles := []ID{}
		for _, r := range g.roles.keys {
			if r != g.id && rng.IntN(3) == 0 {
				roles = append(roles, r)
			}
		}
		s.memberUpdate(g, id, obj{"roles": roles})
	}
}

func mutateRole(s *Server, g *guild) {
	rng := s.world.rng
	n := len(g.roles.keys)
	switch op := rng.IntN(4); {
	case op == 0 || n < 2:
		s.roleCreate(g, fmt.Sprintf("role %d", rng.IntN(1000)), obj{"color": rng.IntN(1 << 24)})
	case op == 1 && n > 3:
		s.roleDelete(g, g.roles.keys[1+rng.IntN(n-1)])
	default:
		s.roleUpdate(g, g.roles.keys[rng.IntN(n)], obj{"color": rng.IntN(1 << 24), "hoist": rng.IntN(2) == 0})
	}
}

// mutateChannel leaves the text channels that load uses in place.
func mutateChannel(s *Server, g *guild) {
	rng := s.world.rng
	n := len(g.channels.keys)
	switch op := rng.IntN(4); {
	case op == 0 || n == 0:
		s.channelCreate(g, 2*rng.IntN(2), fmt.Sprintf("channel-%d", rng.IntN(1000)), obj{"nsfw": rng.IntN(2) == 0})
	case op == 1:
		id := g.channels.keys[rng.IntN(n)]
		if !slices.Contains(g.text, id) && n > 2 {
			s.channelDelete(g, id)
		}
	default:
		s.channelUpdate(g, g.channels.keys[rng.IntN(n)], obj{"topic": fmt.Sprintf("topic %d", rng.IntN(1000))})
	}
}

func mutateThread(s *Server, g *guild) {
	rng := s.world.rng
	n := len(g.threads.keys)
	switch op := rng.IntN(4); {
	case op == 0 && len(g.text) > 0, n == 0 && len(g.text) > 0:
		s.threadCreate(g, g.text[rng.IntN(len(g.text))], g.members.pick(rng), fmt.Sprintf("thread %d", rng.IntN(1000)), 0)
	case n == 0:
	case op == 1:
		s.threadDelete(g, g.threads.keys[rng.IntN(n)], true)
	default:
		s.threadUpdate(g, g.threads.keys[rng.IntN(n)], obj{"name": fmt.Sprintf("thread %d", rng.IntN(1000))})
	}
}

func mutatePresence(s *Server, g *guild) {
	rng := s.world.rng
	if id := g.members.pick(rng); id != 0 {
		s.presenceUpdate(g, id, []string{"online", "idle", "dnd", "offline"}[rng.IntN(4)])
	}
}

// mutateVoice makes a voice channel if there is none: every change is an event.
func mutateVoice(s *Server, g *guild) {
	rng := s.world.rng
	id := g.members.pick(rng)
	var channels []ID
	for _, c := range g.channels.keys {
		if fmt.Sprint(decode(g.channels.rows[c])["type"]) == "2" {
			channels = append(channels, c)
		}
	}
	_, in := g.voice[id]
	switch {
	case id == 0:
	case in && rng.IntN(2) == 0:
		s.putVoice(g, id, 0, "", false, false)
	case len(channels) > 0:
		s.putVoice(g, id, channels[rng.IntN(len(channels))], fmt.Sprintf("%032x", uint64(id)), rng.IntN(2) == 0, false)
	default:
		s.channelCreate(g, 2, fmt.Sprintf("voice-%d", rng.IntN(1000)), obj{})
	}
}

func mutateEmoji(s *Server, g *guild) {
	rng := s.world.rng
	n := len(g.emojis.keys)
	if n > 1 && rng.IntN(2) == 0 {
		g.emojis.del(g.emojis.keys[rng.IntN(n)])
	} else {
		id := s.world.ids.next()
		g.emojis.put(id, emojiObject(id, fmt.Sprintf("emoji_%d", rng.IntN(1000))))
	}
	s.emojisUpdate(g)
}

func mutateGuild(s *Server, g *guild) {
	s.guildUpdate(g, obj{"name": fmt.Sprintf("Guild %d.%d", g.index, s.world.rng.IntN(1000))})
}

// AddGuild lets the bot be invited to a new guild and returns its id.
func (s *Server) AddGuild(members int) ID {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	return s.guildAdd(max(1, members)).id
}

// RemoveGuild lets the bot be thrown out of a guild.
func (s *Server) RemoveGuild(id ID) error {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	g := s.world.guildOf(id)
	if g == nil {
		return ErrUnknown
	}
	s.guildRemove(g)
	return nil
}

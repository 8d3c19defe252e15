package sim

import (
	"encoding/json"
	"maps"
)

// Truth is the true state of a guild. Objects have no guild_id, voice states no
// member: a cache that keeps those fields compares without them.
type Truth struct {
	// Guild is the guild's own fields, without the lists.
	Guild json.RawMessage `json:"guild"`
	// MemberCount is the number of members, whether or not they are listed.
	MemberCount int `json:"member_count"`
	// Unavailable says that the guild is in an outage.
	Unavailable bool                   `json:"unavailable"`
	Channels    map[ID]json.RawMessage `json:"channels"`
	Threads     map[ID]json.RawMessage `json:"threads"`
	Roles       map[ID]json.RawMessage `json:"roles"`
	Emojis      map[ID]json.RawMessage `json:"emojis"`
	// Members, VoiceStates and Presences are by user.
	Members     map[ID]json.RawMessage `json:"members"`
	VoiceStates map[ID]json.RawMessage `json:"voice_states"`
	Presences   map[ID]json.RawMessage `json:"presences"`
}

// Truth returns the true state of a guild, and false if there is no such guild.
func (s *Server) Truth(id ID) (Truth, bool) {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	g := s.world.guildOf(id)
	if g == nil {
		return Truth{}, false
	}
	members := make(map[ID]raw, g.members.count())
	g.members.each(func(u ID, r raw) bool { members[u] = r; return true })
	return Truth{
		Guild: g.base, MemberCount: g.members.count(), Unavailable: g.unavailable,
		Channels: maps.Clone(g.channels.rows), Threads: maps.Clone(g.threads.rows), Roles: maps.Clone(g.roles.rows),
		Emojis: maps.Clone(g.emojis.rows), Members: members, VoiceStates: maps.Clone(g.voice),
		Presences: maps.Clone(g.presences),
	}, true
}

// GuildIDs is the guilds that the bot is in, in the order of their creation.
func (s *Server) GuildIDs() []ID {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	var out []ID
	for _, g := range s.world.guilds {
		if s.world.byID[g.id] != nil {
			out = append(out, g.id)
		}
	}
	return out
}

// TextChannels is the text channels of a guild that load uses.
func (s *Server) TextChannels(id ID) []ID {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	if g := s.world.guildOf(id); g != nil {
		return append([]ID(nil), g.text...)
	}
	return nil
}

// ChannelGuild is the guild of a channel, and false if no guild has it.
func (s *Server) ChannelGuild(channel ID) (ID, bool) {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	if g := s.world.owner[channel]; g != nil {
		return g.id, true
	}
	return 0, false
}

// History is the messages that a channel shows: edited ones as they are now, and
// none that was deleted, the oldest first.
func (s *Server) History(channel ID) []json.RawMessage {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	h := s.world.msgs[channel]
	if h == nil {
		return nil
	}
	var out []json.RawMessage
	for _, id := range h.keys {
		if r, shown := h.rows[id]; shown {
			out = append(out, r)
		}
	}
	return out
}

// SessionState is a session as it is now.
type SessionState struct {
	ID        string   `json:"id"`
	Shard     [2]int64 `json:"shard"`
	Seq       int64    `json:"seq"`
	Connected bool     `json:"connected"`
	Remote    string   `json:"remote,omitempty"`
	Buffered  int      `json:"buffered"`
	Queued    int      `json:"queued"`
	// Pending is the number of guilds that aren't available to it yet.
	Pending int `json:"pending"`
	// Intents are those of its IDENTIFY.
	Intents int64 `json:"intents"`
}

// LiveSessions is the sessions that can still be used or resumed.
func (s *Server) LiveSessions() []SessionState {
	out := []SessionState{}
	for _, x := range s.hub.live(-1) {
		x.mu.Lock()
		st := SessionState{ID: x.id, Shard: x.shard, Seq: x.seq, Buffered: len(x.ring) - x.head, Pending: len(x.pending), Intents: x.intents}
		if x.conn != nil {
			st.Connected, st.Remote = true, x.conn.remote
			x.conn.mu.Lock()
			st.Queued = len(x.conn.q)
			x.conn.mu.Unlock()
		}
		x.mu.Unlock()
		out = append(out, st)
	}
	return out
}

package sim

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// command does what an identified client asks and returns the code to close
// with, or 0.
func (c *conn) command(op int, d json.RawMessage) int {
	s := c.sess.Load()
	switch op {
	case opPresence:
		return c.setPresence(s, d)
	case opVoice:
		return c.setVoice(s, d)
	case opMembers:
		return c.requestMembers(s, d)
	case opSounds:
		return c.requestSounds(s, d)
	}
	return c.requestChannelInfo(s, d)
}

// setPresence stores the bot's own presence; other sessions see it as an event.
func (c *conn) setPresence(s *session, d json.RawMessage) int {
	var p struct {
		Status     string `json:"status"`
		Activities []any  `json:"activities"`
	}
	if json.Unmarshal(d, &p) != nil || p.Status == "" {
		return 4002
	}
	s.log.note("presence", p.Status)
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range w.guilds {
		if w.byID[g.id] != nil && s.owns(g.id) {
			r := with(presenceObject(BotID, p.Status), obj{"activities": orEmpty(p.Activities)})
			g.presences[BotID] = r
			c.srv.emit(g.id, "PRESENCE_UPDATE", splice(r, "guild_id", g.id.quoted()))
		}
	}
	return 0
}

func orEmpty(a []any) []any {
	if a == nil {
		return []any{}
	}
	return a
}

// setVoice joins, moves or leaves: VOICE_STATE_UPDATE, then VOICE_SERVER_UPDATE
// when there is a channel.
func (c *conn) setVoice(s *session, d json.RawMessage) int {
	var p struct {
		GuildID   ID   `json:"guild_id"`
		ChannelID *ID  `json:"channel_id"`
		Mute      bool `json:"self_mute"`
		Deaf      bool `json:"self_deaf"`
	}
	if json.Unmarshal(d, &p) != nil {
		return 4002
	}
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.guildOf(p.GuildID)
	if g == nil || !s.owns(p.GuildID) {
		return 0
	}
	var channel ID
	if p.ChannelID != nil {
		channel = *p.ChannelID
	}
	if _, ok := g.channels.rows[channel]; channel != 0 && !ok {
		return 0
	}
	c.srv.putVoice(g, BotID, channel, s.id, p.Mute, p.Deaf)
	if channel != 0 {
		c.srv.emit(g.id, "VOICE_SERVER_UPDATE", encode(obj{
			"guild_id": g.id, "token": "voice-" + g.id.String(), "endpoint": "voice.invalid:443",
		}))
	}
	return 0
}

type memberRequest struct {
	GuildID   json.RawMessage `json:"guild_id"`
	Query     *string         `json:"query"`
	Limit     int             `json:"limit"`
	Presences bool            `json:"presences"`
	UserIDs   json.RawMessage `json:"user_ids"`
	Nonce     string          `json:"nonce"`
}

// oneOrMany reads an id or an array of ids.
func oneOrMany(r json.RawMessage) []ID {
	var one ID
	var many []ID
	if json.Unmarshal(r, &one) == nil {
		return []ID{one}
	}
	_ = json.Unmarshal(r, &many)
	return many
}

// chunkSize is the number of members of a chunk (events/gateway-events.mdx,
// "Request Guild Members").
const chunkSize = 1000

// requestMembers answers op 8.
func (c *conn) requestMembers(s *session, d json.RawMessage) int {
	var p memberRequest
	if json.Unmarshal(d, &p) != nil {
		return 4002
	}
	ids := oneOrMany(p.GuildID)
	if len(ids) != 1 || p.Query == nil && p.UserIDs == nil {
		return 4002
	}
	if len(p.Nonce) > 32 {
		p.Nonce = ""
	}
	w := c.srv.world
	w.mu.Lock()
	g := w.guildOf(ids[0])
	if g == nil || !s.owns(ids[0]) {
		w.mu.Unlock()
		return 0
	}
	whole := p.UserIDs == nil && *p.Query == "" && p.Limit == 0
	if whole && s.intents&intentMembers == 0 {
		w.mu.Unlock()
		return 0
	}
	if wait := c.memberWait(g, s, whole); wait > 0 {
		meta := obj{"guild_id": g.id}
		if p.Nonce != "" {
			meta["nonce"] = p.Nonce
		}
		s.push(g.id, "RATE_LIMITED", encode(obj{"opcode": opMembers, "retry_after": wait.Seconds(), "meta": meta}))
		w.mu.Unlock()
		return 0
	}
	found, missing := g.match(&p, whole)
	presences := p.Presences && s.intents&intentPresences != 0
	w.mu.Unlock()
	c.sendChunks(s, g, &p, found, missing, presences)
	return 0
}

// memberWait is how long a request for all members of the guild is too early.
func (c *conn) memberWait(g *guild, s *session, whole bool) time.Duration {
	if !whole {
		return 0
	}
	wait := c.srv.opts.MemberRequestWindow - time.Since(g.requested[s.id])
	if wait <= 0 {
		g.requested[s.id] = time.Now()
	}
	return wait
}

// match is the ids of the members asked for, and the ids that aren't members.
func (g *guild) match(p *memberRequest, whole bool) (found []ID, missing []string) {
	if p.UserIDs != nil {
		var asked []string
		for _, id := range oneOrMany(p.UserIDs) {
			asked = append(asked, id.String())
		}
		for _, a := range asked[:min(len(asked), 100)] {
			if _, ok := g.members.get(ParseID(a)); ok {
				found = append(found, ParseID(a))
			} else {
				missing = append(missing, a)
			}
		}
		return found, missing
	}
	if whole {
		return g.members.ids(), nil
	}
	limit := p.Limit
	if limit <= 0 || limit > 100 {
		limit = 100
	}
	prefix := strings.ToLower(*p.Query)
	g.members.each(func(id ID, r raw) bool {
		if prefix == "" || strings.HasPrefix(memberName(r), prefix) {
			found = append(found, id)
		}
		return len(found) < limit
	})
	return found, nil
}

func memberName(r raw) string {
	var m struct {
		User struct {
			Username string `json:"username"`
		} `json:"user"`
	}
	_ = json.Unmarshal(r, &m)
	return strings.ToLower(m.User.Username)
}

// sendChunks renders each chunk from the state of its own moment, between other
// events, and no faster than the socket takes them.
func (c *conn) sendChunks(s *session, g *guild, p *memberRequest, found []ID, missing []string, presences bool) {
	count := max(1, (len(found)+chunkSize-1)/chunkSize)
	for i := range count {
		if !c.waitRoom(loadAhead) {
			return
		}
		part := found[min(len(found), i*chunkSize):min(len(found), (i+1)*chunkSize)]
		c.srv.world.mu.Lock()
		s.push(g.id, "GUILD_MEMBERS_CHUNK", g.chunk(part, i, count, p.Nonce, missing, presences))
		c.srv.world.mu.Unlock()
	}
}

func (g *guild) chunk(part []ID, i, count int, nonce string, missing []string, presences bool) raw {
	var members, pres []raw
	for _, id := range part {
		if r, ok := g.members.get(id); ok {
			members = append(members, r)
			if pr, ok := g.presences[id]; ok && presences {
				pres = append(pres, pr)
			}
		}
	}
	b := fmt.Appendf(nil, `{"guild_id":"%d","chunk_index":%d,"chunk_count":%d,"members":`, g.id, i, count)
	b = append(b, joinArray(members)...)
	if presences {
		b = append(b, `,"presences":`...)
		b = append(b, joinArray(pres)...)
	}
	if len(missing) > 0 {
		b = append(b, `,"not_found":`...)
		b = append(b, encode(missing)...)
	}
	if nonce != "" {
		b = append(b, `,"nonce":`...)
		b = append(b, encode(nonce)...)
	}
	return append(b, '}')
}

func (c *conn) requestSounds(s *session, d json.RawMessage) int {
	var p struct {
		GuildIDs []ID `json:"guild_ids"`
	}
	if json.Unmarshal(d, &p) != nil {
		return 4002
	}
	for _, g := range p.GuildIDs {
		if s.owns(g) {
			s.push(g, "SOUNDBOARD_SOUNDS", encode(obj{"guild_id": g, "soundboard_sounds": []any{}}))
		}
	}
	return 0
}

func (c *conn) requestChannelInfo(s *session, d json.RawMessage) int {
	var p struct {
		GuildID ID `json:"guild_id"`
	}
	if json.Unmarshal(d, &p) != nil {
		return 4002
	}
	s.push(p.GuildID, "CHANNEL_INFO", encode(obj{"guild_id": p.GuildID, "channels": []any{}}))
	return 0
}

package sim

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// hub knows the connections and the sessions, and the budget of IDENTIFYs.
type hub struct {
	opts *Options

	mu       sync.Mutex // guards what follows
	closed   bool
	conns    map[*conn]struct{}
	sessions []*session
	nextID   int
	used     int               // IDENTIFYs of the day
	last     map[int]time.Time // by identify key
	token    string            // empty once it was reset
}

func newHub(o *Options) *hub {
	return &hub{
		opts: o, conns: map[*conn]struct{}{}, last: map[int]time.Time{},
		used: o.SessionStartsUsed, token: o.Token,
	}
}

func (h *hub) add(c *conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.conns[c] = struct{}{}
	return true
}

func (h *hub) remove(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

// close cuts every connection and refuses new ones.
func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	conns := h.connList()
	h.mu.Unlock()
	for _, c := range conns {
		c.cut()
	}
}

func (h *hub) connList() []*conn {
	out := make([]*conn, 0, len(h.conns))
	for c := range h.conns {
		out = append(out, c)
	}
	return out
}

// authentic says whether the token is the bot's, and wasn't reset.
func (h *hub) authentic(token string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.token != "" && token == h.token
}

// replaceToken makes another token the bot's and returns the connections.
func (h *hub) replaceToken(token string) []*conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.token = token
	return h.connList()
}

// budget is the rest of the session starts.
func (h *hub) budget() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(0, h.opts.SessionStarts-h.used)
}

// admit judges an IDENTIFY by budget and identify key (events/gateway.mdx,
// "Identifying" and "Max Concurrency"). Above the budget Discord ends all
// sessions and resets the token.
func (h *hub) admit(shard int64) (result string, evicted []*conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, key := time.Now(), int(shard)%max(1, h.opts.MaxConcurrency)
	limited := now.Sub(h.last[key]) < h.opts.IdentifyWindow
	if limited && h.opts.RefusedIdentifyFree {
		return "rate_limited", nil
	}
	if h.used >= h.opts.SessionStarts {
		if h.opts.NoTokenReset {
			return "budget", nil
		}
		h.token, h.sessions = "", nil
		return "token_reset", h.connList()
	}
	h.used++
	if limited {
		return "rate_limited", nil
	}
	h.last[key] = now
	return "ok", nil
}

// open makes a session.
func (h *hub) open(c *conn, shard [2]int64, intents int64, threshold, guilds int) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nextID++
	s := &session{
		id: fmt.Sprintf("%08x%024x", h.nextID, uint64(h.nextID)*0x9e3779b97f4a7c15), shard: shard, intents: intents,
		threshold: threshold, starter: c.remote, capacity: h.opts.replaySize(guilds), trim: h.opts.TrimOnHeartbeat,
		holes: h.opts.SeqHoles, repeats: h.opts.SeqRepeats, rng: newRand(h.opts.Seed + int64(h.nextID)), conn: c,
		pending: map[ID]bool{},
	}
	h.sessions = append(h.sessions, s)
	return s
}

// find returns a live session; those without a connection for too long are gone.
func (h *hub) find(id string) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweep()
	for _, s := range h.sessions {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (h *hub) sweep() {
	h.sessions = slices.DeleteFunc(h.sessions, func(s *session) bool { return s.expired(h.opts.ResumeWindow) })
}

// end removes a session.
func (h *hub) end(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sessions = slices.DeleteFunc(h.sessions, func(x *session) bool { return x == s })
}

// live is the sessions of a shard, or of all shards if it is negative.
func (h *hub) live(shard int) []*session {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweep()
	out := make([]*session, 0, len(h.sessions))
	for _, s := range h.sessions {
		if shard < 0 || s.shard[0] == int64(shard) {
			out = append(out, s)
		}
	}
	return out
}

// deliver pushes an event to every session that wants it. alt, if set, is the
// form for sessions without the message content intent. It returns how many
// sessions took it.
func (h *hub) deliver(g ID, kind string, data, alt raw, dm bool) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, expired := 0, false
	for _, s := range h.sessions {
		if !s.wants(g, kind, dm) {
			continue
		}
		if s.expired(h.opts.ResumeWindow) {
			expired = true
			continue
		}
		d := data
		if alt != nil && s.intents&intentContent == 0 {
			d = alt
		}
		if s.push(g, kind, d) {
			n++
		}
	}
	if expired {
		h.sweep()
	}
	return n
}

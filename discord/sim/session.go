package sim

import (
	"math/rand/v2"
	"sync"
	"time"
)

// event is one dispatch of a session.
type event struct {
	s    int64
	kind string
	data raw
}

// session is one gateway session: a numbered stream of events, the last of
// which are kept for replay. It outlives its connections.
type session struct {
	id        string
	shard     [2]int64
	intents   int64
	threshold int
	starter   string // remote address of the IDENTIFY
	capacity  int
	trim      bool // TrimOnHeartbeat
	holes     int
	repeats   int
	rng       *rand.Rand
	log       *sessionLog

	mu   sync.Mutex // guards what follows
	seq  int64
	ring []event // ring[head:] are kept
	head int
	// lost is the highest sequence that is no longer kept.
	lost int64
	conn *conn
	// detached is when the last connection went; it means something while conn is nil.
	detached time.Time
	// pending holds the guilds that haven't become available to this session: it
	// gets none of their events before their GUILD_CREATE.
	pending map[ID]bool
}

// wants says whether the session gets an event of a guild (0 for none).
func (s *session) wants(g ID, kind string, dm bool) bool {
	if n := needed(kind, dm); n != 0 && s.intents&n == 0 {
		return false
	}
	return s.owns(g)
}

// owns says whether the guild is dealt to the session's shard; what belongs to
// no guild goes to shard 0 (events/gateway.mdx, "Sharding").
func (s *session) owns(g ID) bool {
	if g == 0 {
		return s.shard[0] == 0
	}
	return int64(g>>22)%s.shard[1] == s.shard[0]
}

// push numbers an event, keeps it and queues it for the connection. It returns
// false when the guild isn't available to the session yet.
func (s *session) push(g ID, kind string, data raw) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[g] {
		return false
	}
	s.pushLocked(kind, data, true)
	return true
}

func (s *session) pushLocked(kind string, data raw, keep bool) {
	s.seq++
	if s.holes > 0 && s.rng.IntN(100) < s.holes {
		s.seq++
	}
	e := event{s: s.seq, kind: kind, data: data}
	s.log.made(e.s)
	if keep {
		s.keep(e)
	}
	if s.conn != nil {
		s.conn.enqueue(out{event: e})
		if s.repeats > 0 && s.rng.IntN(100) < s.repeats {
			s.conn.enqueue(out{event: e})
		}
	}
}

// keep stores an event for replay and forgets the oldest above the bound.
func (s *session) keep(e event) {
	s.ring = append(s.ring, e)
	for len(s.ring)-s.head > s.capacity {
		s.dropOldest()
	}
	if s.head > 64 && s.head > len(s.ring)/2 {
		n := copy(s.ring, s.ring[s.head:])
		clear(s.ring[n:])
		s.ring, s.head = s.ring[:n], 0
	}
}

func (s *session) dropOldest() {
	s.lost = s.ring[s.head].s
	s.ring[s.head] = event{}
	s.head++
}

// beat is told the sequence in a heartbeat.
func (s *session) beat(seq int64) {
	if !s.trim {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.head < len(s.ring) && s.ring[s.head].s <= seq {
		s.dropOldest()
	}
}

// available sends a guild's GUILD_CREATE and opens the session to its events.
func (s *session) available(g ID, data raw, unavailableFirst bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.pending[g] {
		return
	}
	delete(s.pending, g)
	if unavailableFirst {
		s.pushLocked("GUILD_CREATE", encode(obj{"id": g, "unavailable": true}), true)
	}
	s.pushLocked("GUILD_CREATE", data, true)
}

// resumeVerdict is what becomes of a RESUME.
type resumeVerdict int

const (
	resumeOK resumeVerdict = iota
	resumeBadSeq
	resumeLost
)

// resume moves the session to a connection and queues what it missed. The old
// connection is returned for closing.
func (s *session) resume(c *conn, seq int64, truncate, keepResumed bool) (v resumeVerdict, old *conn, replayed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq > s.seq || seq < 0 {
		return resumeBadSeq, nil, 0
	}
	if seq < s.lost && !truncate {
		return resumeLost, nil, 0
	}
	old, s.conn = s.conn, c
	for _, e := range s.ring[s.head:] {
		if e.s > seq {
			c.enqueue(out{event: e, replay: true})
			replayed++
		}
	}
	s.pushLocked("RESUMED", raw(`{"_trace":["[\"sim\"]"]}`), keepResumed)
	return resumeOK, old, replayed
}

// detach lets go of a connection, unless the session has another by now.
func (s *session) detach(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == c {
		s.conn, s.detached = nil, time.Now()
	}
}

// expired says whether the session has been without a connection for too long.
func (s *session) expired(window time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn == nil && time.Since(s.detached) > window
}

// current is the connection and the last sequence.
func (s *session) current() (*conn, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn, s.seq
}

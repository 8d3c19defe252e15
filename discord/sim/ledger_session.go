package sim

import (
	"slices"
	"sync"
	"time"
)

// Sent is one event that was written to a session's connection.
type Sent struct {
	S      int64     `json:"s"`
	T      string    `json:"t"`
	At     time.Time `json:"at"`
	Replay bool      `json:"replay,omitempty"`
}

// Made is when an event came into a session's stream, whether it was written to a
// connection or not.
type Made struct {
	S  int64
	At time.Time
}

// Note is something else that happened to a session.
type Note struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
	More string    `json:"more,omitempty"`
}

// Beat is one heartbeat; Seq is nil when the client sent null.
type Beat struct {
	At  time.Time `json:"at"`
	Seq *int64    `json:"seq"`
}

// SessionRecord is what the ledger knows of one session.
type SessionRecord struct {
	ID    string   `json:"id"`
	Shard [2]int64 `json:"shard"`
	// SentCount counts the events written, replays included; Sent lists them up
	// to Options.KeepSent.
	SentCount int    `json:"sent_count"`
	Replayed  int    `json:"replayed"`
	LastSeq   int64  `json:"last_seq"`
	Sent      []Sent `json:"sent,omitempty"`
	Beats     []Beat `json:"beats,omitempty"`
	Notes     []Note `json:"notes,omitempty"`
	// Made lists the events of the session's stream, up to Options.KeepSent.
	Made []Made `json:"-"`
}

// sessionLog is the part of the ledger that a connection's writer fills. It has
// its own lock: at 40,000 events a second the ledger's would be in the way.
type sessionLog struct {
	id    string
	shard [2]int64
	keep  int

	mu       sync.Mutex // guards what follows
	count    int
	replayed int
	last     int64
	sent     []Sent
	beats    []Beat
	notes    []Note
	stream   []Made
}

// made records that an event has come into the stream.
func (l *sessionLog) made(s int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.stream) < l.keep {
		l.stream = append(l.stream, Made{S: s, At: time.Now()})
	}
}

// wrote records a batch that the socket took.
func (l *sessionLog) wrote(batch []out, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range batch {
		o := &batch[i]
		if o.frame != nil {
			continue
		}
		l.count++
		l.last = max(l.last, o.event.s)
		if o.replay {
			l.replayed++
		}
		if len(l.sent) < l.keep {
			l.sent = append(l.sent, Sent{S: o.event.s, T: o.event.kind, At: now, Replay: o.replay})
		}
	}
}

func (l *sessionLog) beat(seq *int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.beats = append(l.beats, Beat{time.Now(), seq})
}

func (l *sessionLog) note(what, more string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, Note{time.Now(), what, more})
}

func (l *sessionLog) record() SessionRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	return SessionRecord{
		ID: l.id, Shard: l.shard, SentCount: l.count, Replayed: l.replayed, LastSeq: l.last,
		Sent: slices.Clone(l.sent), Beats: slices.Clone(l.beats), Notes: slices.Clone(l.notes),
		Made: slices.Clone(l.stream),
	}
}

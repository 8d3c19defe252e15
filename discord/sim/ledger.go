package sim

import (
	"slices"
	"sync"
	"time"
)

// Identify is one IDENTIFY as the server saw it.
type Identify struct {
	At      time.Time `json:"at"`
	Remote  string    `json:"remote"`
	Browser string    `json:"browser"`
	Shard   [2]int64  `json:"shard"`
	// Result is "ok", "rate_limited", "budget", "token_reset", or the reason of a close code.
	Result string `json:"result"`
	// Session is the session that began, if one did.
	Session string `json:"session,omitempty"`
}

// Resume is one RESUME as the server saw it.
type Resume struct {
	At      time.Time `json:"at"`
	Remote  string    `json:"remote"`
	Session string    `json:"session"`
	Shard   [2]int64  `json:"shard"`
	Seq     int64     `json:"seq"`
	// Result is "ok", "unknown_session", "bad_seq", "buffer_lost", "bad_token" or "refused".
	Result   string `json:"result"`
	Replayed int    `json:"replayed"`
	// Replaced is the address of the connection that the session had until now.
	Replaced string `json:"replaced,omitempty"`
	// ViaResumeURL says whether the client used the resume_gateway_url.
	ViaResumeURL bool `json:"via_resume_url"`
}

// Posted is one message that the bot posted, by whatever route.
type Posted struct {
	At        time.Time `json:"at"`
	Remote    string    `json:"remote"`
	UserAgent string    `json:"user_agent,omitempty"`
	ID        ID        `json:"id"`
	Channel   ID        `json:"channel"`
	Content   string    `json:"content"`
	Nonce     string    `json:"nonce,omitempty"`
	// Deduped says that the nonce was known and no message was created.
	Deduped bool `json:"deduped"`
	// Interaction is the interaction that it answers, if any.
	Interaction ID `json:"interaction,omitempty"`
}

// Request is one REST request.
type Request struct {
	At     time.Time `json:"at"`
	Remote string    `json:"remote"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Bucket string    `json:"bucket"`
	Status int       `json:"status"`
	Scope  string    `json:"scope,omitempty"`
}

// FaultRecord is one injected fault.
type FaultRecord struct {
	At time.Time `json:"at"`
	Fault
}

// keepRequests bounds the list of requests; counts go on above it.
const keepRequests = 1 << 17

// Ledger records what crossed the server. All methods may be called from any
// goroutine; what they return is a copy.
type Ledger struct {
	keepSent int

	mu         sync.Mutex // guards what follows
	changed    chan struct{}
	watched    bool
	identifies []Identify
	resumes    []Resume
	posted     []Posted
	requests   []Request
	statuses   map[int]int
	faults     []FaultRecord
	sessions   []*sessionLog
	pings      pings
	acts       actCounts
}

func newLedger(keep int) *Ledger {
	return &Ledger{keepSent: keep, changed: make(chan struct{}), statuses: map[int]int{}, pings: newPings()}
}

// wakeLocked tells waiters that something was recorded.
func (l *Ledger) wakeLocked() {
	if l.watched {
		close(l.changed)
		l.changed, l.watched = make(chan struct{}), false
	}
}

func (l *Ledger) identify(r Identify) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.At = time.Now()
	l.identifies = append(l.identifies, r)
	l.wakeLocked()
}

func (l *Ledger) resume(r Resume) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.At = time.Now()
	l.resumes = append(l.resumes, r)
	l.wakeLocked()
}

func (l *Ledger) post(p Posted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.At = time.Now()
	l.posted = append(l.posted, p)
	l.pings.answer(&p)
	l.wakeLocked()
}

func (l *Ledger) request(r Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.At = time.Now()
	l.statuses[r.Status]++
	if len(l.requests) < keepRequests {
		l.requests = append(l.requests, r)
	}
	l.wakeLocked()
}

func (l *Ledger) fault(f Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, FaultRecord{time.Now(), f})
	l.wakeLocked()
}

func (l *Ledger) session(s *session) *sessionLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	log := &sessionLog{id: s.id, shard: s.shard, keep: l.keepSent}
	l.sessions = append(l.sessions, log)
	return log
}

// Identifies is every IDENTIFY so far.
func (l *Ledger) Identifies() []Identify {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.identifies)
}

// Resumes is every RESUME so far.
func (l *Ledger) Resumes() []Resume {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.resumes)
}

// Posted is every message that the bot posted so far.
func (l *Ledger) Posted() []Posted {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.posted)
}

// PostedFrom is the messages that the bot posted, without the first n.
func (l *Ledger) PostedFrom(n int) []Posted {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.posted[min(n, len(l.posted)):])
}

// Requests is every REST request so far, up to a bound.
func (l *Ledger) Requests() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.requests)
}

// RequestsFrom is the REST requests, up to the bound, without the first n.
func (l *Ledger) RequestsFrom(n int) []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.requests[min(n, len(l.requests)):])
}

// Faults is every injected fault so far.
func (l *Ledger) Faults() []FaultRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.faults)
}

// Sessions is every session there ever was, with what was sent to it.
func (l *Ledger) Sessions() []SessionRecord {
	l.mu.Lock()
	logs := slices.Clone(l.sessions)
	l.mu.Unlock()
	out := make([]SessionRecord, len(logs))
	for i, s := range logs {
		out[i] = s.record()
	}
	return out
}

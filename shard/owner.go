package shard

import (
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/mutant"
)

// Time is an instant of this node's monotonic clock, counted from an
// arbitrary start. Instants of two nodes are never compared.
type Time = time.Duration

// View is what a node's applied state says of one shard.
type View struct {
	Generation uint64
	Epoch      uint64
	Owner      fsm.NodeRef
	SID        string
	URL        string
	C          int64
	Sessions   uint64  // that the shard has had
	Why        fsm.Why // why Owner got the shard, and from whom
	From       fsm.NodeRef
	Key        uint32 // the shard's identify key
	Permit     fsm.PermitHolder
	HasPermit  bool   // somebody holds Key
	ConfigRev  uint64 // of the bot's configuration
	Intents    uint64 // that the configuration asks for
}

// Phase is where an owner's connection is.
type Phase uint8

// The phases of an owner's connection.
const (
	Idle        Phase = iota // no connection
	Dialing                  // a dial is under way
	Hello                    // connected, HELLO read, nothing written but heartbeats
	Identifying              // IDENTIFY written, READY not applied yet
	Resuming                 // RESUME written, no event read yet
	Live                     // events flow
)

var phaseNames = [...]string{"idle", "dialing", "hello", "identifying", "resuming", "live"}

// String returns the phase's name.
func (p Phase) String() string { return phaseNames[p] }

// conn is an owner's connection: the epoch under which it may speak, its
// session, and the sequence read last on it.
type conn struct {
	id       uint64
	phase    Phase
	epoch    uint64 // of the Grant that it serves; one above the view's while prepared
	gen      uint64
	bound    bool   // RESUME or IDENTIFY was written
	sid      string // "" before READY
	prev     int64  // the last s read, or the seq sent in RESUME
	first    bool   // no event was read since RESUME
	after    uint64 // sessions that the shard had had when IDENTIFY was written
	intents  uint64 // of IDENTIFY
	since    Time   // when RESUME or IDENTIFY was written
	readying bool   // READY was read and is not applied yet
}

// Owner is a node's side of the protocol for one shard. It lives as long as
// the node, whoever owns the shard. One goroutine uses it.
type Owner struct {
	Bot    string
	Shard  fsm.ShardKey
	Self   fsm.NodeRef
	Timing Timing
	Mutant mutant.Set
	// Rand returns a number in [0,1), for jitter.
	Rand func() float64

	view       View
	freshUntil Time
	conn       conn
	dead       uint64 // never dial under an epoch up to this one again
	lostSID    string // the session that Discord has ended, until a Lost is applied
	lostEpoch  uint64 // that its connection served
	granted    Time   // when a planned Grant was seen, while its hand-over is awaited
	released   uint64 // the epoch for which the old owner said that it has dropped
	prepare    uint64 // the epoch that a planned move has announced
	prepareEnd Time

	buf      []bufEvent // read events above the committed sequence
	bufBytes int        // the sum of their sizes
	flight   *flight    // the proposal under way
	clear    *flight    // a Clear under way
	asks     []ask
	askSeq   uint64
	used     uint64 // the newest ask whose permit was spent

	connSeq  uint64
	propSeq  uint64
	failures int // dials and sessions failed in a row
	retryAt  Time
	doubt    Time // when a session was lost that had just been resumed
	dialled  Time // since when dials of the owner are under way or fail, 0 for not
	told     Time // when the leader was last told that those are in vain
	stopped  bool // Discord said that trying again is no use

	out []Action
}

type bufEvent struct {
	fsm.Event
	prev int64
	at   int64
	jump bool
}

// size is about what the event takes in a batch.
func (e *bufEvent) size() int { return len(e.Raw) + len(e.Slices) + 16 }

// flight is a proposal whose answer is awaited.
type flight struct {
	id      uint64
	cmd     fsm.Command
	gen     uint64
	last    int64 // of Events
	retryAt Time
	waiting bool // to be repeated at retryAt
}

type ask struct {
	n  uint64
	at Time
}

// Phase returns where the connection is.
func (o *Owner) Phase() Phase { return o.conn.phase }

// Mine reports whether the applied state says that this node owns the shard.
func (o *Owner) Mine() bool { return o.view.Owner == o.Self && o.view.Epoch > o.dead }

// BufferedEvents returns how many events wait to be committed.
func (o *Owner) BufferedEvents() int { return len(o.buf) }

// HeartbeatSeq returns the sequence for a heartbeat of connection id: the
// committed one; none before READY is applied (DESIGN: guarantee 1).
func (o *Owner) HeartbeatSeq(id uint64) (seq int64, ok bool) {
	if o.conn.id != id || o.conn.sid == "" || o.view.SID != o.conn.sid {
		return 0, false
	}
	if o.Mutant.Has(mutant.CommittedSeq) {
		return o.conn.prev, true
	}
	return o.view.C, true
}

func (o *Owner) fresh(now Time) bool {
	return now < o.freshUntil || o.Mutant.Has(mutant.Freshness)
}

// Step takes one input and returns what is to be done. The returned slice is
// valid until the next call.
func (o *Owner) Step(now Time, in Input) []Action {
	o.out = o.out[:0]
	in.step(o, now)
	o.decide(now)
	return o.out
}

func (o *Owner) do(a Action) { o.out = append(o.out, a) }

// decide brings the connection in line with the applied state. It is
// level-triggered: calling it once more changes nothing.
func (o *Owner) decide(now Time) {
	o.fence(now)
	o.giveUp(now)
	o.repeat(now)
	switch o.conn.phase {
	case Idle:
		o.decideIdle(now)
		o.finish()
	case Hello:
		o.decideHello(now)
	case Identifying, Resuming, Live:
		o.pump(o.conn.sid, o.conn.epoch)
	}
	o.proposeLost()
	o.tellStranded(now)
}

// fence drops a connection whose epoch, generation or session is over.
func (o *Owner) fence(now Time) {
	c := &o.conn
	if c.phase == Idle {
		return
	}
	switch {
	case c.gen != o.view.Generation, o.view.Epoch > c.epoch, c.bound && !o.Mine():
		if c.bound && c.gen == o.view.Generation {
			// An epoch of an older generation says nothing of this one's.
			o.dead = max(o.dead, c.epoch)
		}
		o.drop()
		if o.view.Owner != o.Self && !o.view.Owner.None() {
			o.do(Released{To: o.view.Owner, Epoch: o.view.Epoch})
		}
		o.retryAt, o.failures = now, 0
	case !c.bound && o.view.Epoch < c.epoch && now >= o.prepareEnd:
		o.drop() // the announced move did not come
	case !c.bound && o.view.Epoch == c.epoch && !o.Mine():
		o.drop() // it came for another node, or this one was declared dead
	case c.readying && o.view.SID != c.sid && o.view.Sessions > c.after,
		c.bound && !c.readying && c.phase != Identifying && o.view.SID != c.sid && o.lostSID != c.sid:
		// The session was ended by a command, which may have been applied together
		// with its READY, or never counted. Discord needn't keep it.
		o.do(Drop{Conn: c.id, End: true})
		o.reset()
	}
}

// giveUp drops a connection on which Discord doesn't answer RESUME or
// IDENTIFY: its heartbeats may go on for ever.
func (o *Owner) giveUp(now Time) {
	if !o.unanswered() || now < o.conn.since+o.Timing.Answer {
		return
	}
	o.drop()
	o.failures++
	o.retryAt = now + o.backoff()
}

func (o *Owner) unanswered() bool {
	c := &o.conn
	return o.Timing.Answer > 0 && (c.phase == Resuming || c.phase == Identifying && !c.readying)
}

// drop ends the connection without a close frame, which would end the session
// too, and forgets what was read of it: what isn't committed is replayed.
func (o *Owner) drop() {
	if o.conn.phase == Idle {
		return
	}
	o.do(Drop{Conn: o.conn.id})
	o.reset()
}

func (o *Owner) reset() {
	o.conn = conn{}
	o.buf, o.bufBytes = nil, 0
	if o.flight != nil {
		if _, lost := o.flight.cmd.(*fsm.Lost); !lost {
			o.flight = nil
		}
	}
}

func (o *Owner) decideIdle(now Time) {
	if o.stopped {
		return
	}
	epoch := o.view.Epoch
	switch {
	case o.Mine():
		if !o.fresh(now) || now < o.retryAt || o.lostSID != "" && o.view.SID == o.lostSID {
			return
		}
	case o.prepare > epoch && now < o.prepareEnd && now >= o.retryAt:
		epoch = o.prepare
	default:
		return
	}
	o.connSeq++
	o.conn = conn{id: o.connSeq, phase: Dialing, epoch: epoch, gen: o.view.Generation}
	url := o.view.URL
	if o.view.SID == "" || o.failures > 1 && o.failures%2 == 0 {
		url = "" // after a failure, every other attempt goes to the general address
	}
	o.do(Dial{Conn: o.conn.id, URL: url})
}

func (o *Owner) propose(cmd fsm.Command) *flight {
	o.propSeq++
	f := &flight{id: o.propSeq, cmd: cmd, gen: o.view.Generation}
	o.do(Propose{ID: f.id, Generation: f.gen, Cmd: cmd})
	return f
}

// repeat proposes again, with the same bytes, what had no definite answer.
func (o *Owner) repeat(now Time) {
	for _, f := range []*flight{o.flight, o.clear} {
		if f != nil && f.waiting && now >= f.retryAt {
			f.waiting = false
			o.do(Propose{ID: f.id, Generation: f.gen, Cmd: f.cmd})
		}
	}
}

// closed takes the end of the connection, and what it means for the session.
func (o *Owner) closed(now Time, v discord.Verdict) {
	if o.conn.bound && now < o.conn.since+o.Timing.Fresh {
		o.doubt = now
	}
	if v == discord.VerdictNewSession {
		o.lost()
	} else {
		o.reset()
	}
	o.failures++
	o.retryAt = now + o.backoff()
	if v == discord.VerdictFatal {
		o.stopped, o.dialled = true, 0
	}
}

// backoff grows with the failures in a row; the first is free, since a cut
// connection is usually resumed at once.
func (o *Owner) backoff() time.Duration {
	if o.failures <= 1 {
		return 0
	}
	d := 100 * time.Millisecond << min(o.failures-2, 12)
	d = min(d, o.Timing.BackoffMax)
	return d/2 + time.Duration(o.Rand()*float64(d/2))
}

// SetFresh says until when this node may act.
func (o *Owner) SetFresh(until Time) { o.freshUntil = until }

// BufferedBytes returns the size of the events that wait to be committed.
func (o *Owner) BufferedBytes() int { return o.bufBytes }

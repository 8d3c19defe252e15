package shard

import (
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// Input is something that an Owner is told.
type Input interface{ step(o *Owner, now Time) }

// The inputs of an Owner. Those with a Conn are ignored unless that
// connection is the current one.
type (
	// Tick is the passing of time.
	Tick struct{}
	// Applied brings the shard as the node's state has it now, and until when
	// the node is fresh.
	Applied struct {
		View       View
		FreshUntil Time
	}
	// Connected reports HELLO on a connection.
	Connected struct{ Conn uint64 }
	// ReadyRead reports READY, with the whole payload.
	ReadyRead struct {
		Conn     uint64
		SID, URL string
		S        int64
		At       int64
		Raw      []byte
	}
	// EventRead reports a dispatch event other than READY.
	EventRead struct {
		Conn  uint64
		At    int64
		Event fsm.Event
	}
	// Invalidated reports op 9.
	Invalidated struct {
		Conn      uint64
		Resumable bool
	}
	// ReconnectAsked reports op 7.
	ReconnectAsked struct{ Conn uint64 }
	// Closed reports the end of a connection that the owner did not drop
	// itself, or a dial that failed.
	Closed struct {
		Conn    uint64
		Verdict discord.Verdict
	}
	// Answered brings the outcome of a proposal; Unknown where none is known, TooLarge
	// where it never was and never will be taken.
	Answered struct {
		ID       uint64
		Unknown  bool
		TooLarge bool
		Result   fsm.Result
	}
	// Announced tells a planned target that it will get the shard under Epoch.
	Announced struct{ Epoch uint64 }
	// TriedAgain tells an owner that dials in vain that another node has its HELLO.
	TriedAgain struct{ Epoch uint64 }
	// HandedOver tells a planned target that the old owner has dropped its
	// connection on seeing Epoch.
	HandedOver struct{ Epoch uint64 }
	// Restart makes an owner that stopped for good try again, as after the
	// token was replaced.
	Restart struct{}
)

// Action is something that an Owner wants done.
type Action interface{ action() }

// The actions of an Owner.
type (
	// Dial opens a connection; URL is the session's, or "" for the general one.
	Dial struct {
		Conn uint64
		URL  string
	}
	// Drop ends a connection without a close frame, so that its session lives,
	// or with End the session, too.
	Drop struct {
		Conn uint64
		End  bool
	}
	// Resume writes RESUME.
	Resume struct {
		Conn uint64
		SID  string
		Seq  int64
	}
	// Identify writes IDENTIFY with these intents.
	Identify struct {
		Conn    uint64
		Intents uint64
	}
	// Propose proposes a command. A repeat has the same ID and bytes.
	Propose struct {
		ID         uint64
		Generation uint64
		Cmd        fsm.Command
	}
	// AskPermit asks the leader for an identify permit.
	AskPermit struct {
		Key   uint32
		Epoch uint64
		Ask   uint64
	}
	// Prepared tells the leader that a planned move's connection has its HELLO.
	Prepared struct{ Epoch uint64 }
	// Stranded tells the leader that this node has not come to a HELLO for a while;
	// Again that it was told before.
	Stranded struct {
		Epoch uint64
		Again bool
	}
	// Released tells the new owner that this node has dropped its connection.
	Released struct {
		To    fsm.NodeRef
		Epoch uint64
	}
)

func (Dial) action()      {}
func (Drop) action()      {}
func (Resume) action()    {}
func (Identify) action()  {}
func (Propose) action()   {}
func (AskPermit) action() {}
func (Prepared) action()  {}
func (Stranded) action()  {}
func (Released) action()  {}

func (Tick) step(*Owner, Time) {}

func (Restart) step(o *Owner, now Time) {
	if o.stopped {
		o.stopped, o.failures, o.retryAt = false, 0, now
	}
}

func (in Applied) step(o *Owner, now Time) {
	old := o.view
	o.view, o.freshUntil = in.View, in.FreshUntil
	if old.ConfigRev != in.View.ConfigRev || old.Epoch != in.View.Epoch {
		// What Discord refused for good may be allowed now, or an operator has
		// connected the shard again to see.
		Restart{}.step(o, now)
	}
	if old.Generation != in.View.Generation {
		o.dead, o.prepare, o.released, o.lostSID, o.clear = 0, 0, 0, "", nil
	}
	if o.clear != nil && (!o.view.HasPermit || o.view.Permit.Ask != o.clearAsk() || o.view.Permit.Shard != o.Shard) {
		o.clear = nil // it was applied, whatever became of its answer
	}
	c := &o.conn
	if c.readying && c.sid != "" && o.view.SID == c.sid {
		c.readying, c.phase = false, Live
		o.failures = 0
		o.flight = nil
	}
	if c.bound && o.view.SID == c.sid || o.lostSID != "" && o.view.SID == o.lostSID {
		o.trim(o.view.C)
	}
}

func (o *Owner) clearAsk() uint64 {
	c, _ := o.clear.cmd.(*fsm.Clear)
	return c.Ask
}

func (in Connected) step(o *Owner, _ Time) {
	if in.Conn != o.conn.id || o.conn.phase != Dialing {
		return
	}
	o.conn.phase, o.dialled = Hello, 0
	if o.conn.epoch > o.view.Epoch {
		o.do(Prepared{Epoch: o.conn.epoch})
	}
}

func (in ReadyRead) step(o *Owner, now Time) {
	c := &o.conn
	if in.Conn != c.id || c.phase != Identifying || c.readying {
		return
	}
	if in.SID == "" {
		o.drop() // a READY without a session can't be resumed: start again
		o.failures++
		o.retryAt = now + max(o.backoff(), time.Second)
		return
	}
	c.readying, c.sid, c.prev = true, in.SID, in.S
	o.flight = o.propose(&fsm.Ready{
		Bot: o.Bot, Shard: o.Shard, Epoch: c.epoch, SID: in.SID, URL: in.URL, S: in.S, At: in.At, Raw: in.Raw,
		After: c.after, Intents: c.intents,
	})
}

func (in EventRead) step(o *Owner, _ Time) {
	c := &o.conn
	if in.Conn != c.id || c.sid == "" || in.Event.S <= c.prev {
		return
	}
	ev := bufEvent{Event: in.Event, prev: c.prev, at: in.At}
	if c.first {
		ev.jump = in.Event.S > c.prev+1
		c.first = false
		if c.phase == Resuming {
			c.phase = Live
			o.failures = 0
		}
	}
	c.prev = in.Event.S
	o.buf = append(o.buf, ev)
	o.bufBytes += ev.size()
}

func (in Invalidated) step(o *Owner, now Time) {
	c := &o.conn
	if in.Conn != c.id || c.phase == Idle {
		return
	}
	o.do(Drop{Conn: c.id})
	if in.Resumable {
		o.reset()
	} else {
		o.lost()
	}
	// A random wait of 1 to 5 s, as events/gateway.mdx asks for.
	o.retryAt = now + time.Second + time.Duration(o.Rand()*4*float64(time.Second))
}

func (in ReconnectAsked) step(o *Owner, now Time) {
	if in.Conn != o.conn.id || o.conn.phase == Idle {
		return
	}
	o.drop()
	o.failures++ // a Discord that asks for it each time is not dialled in a tight loop
	o.retryAt = now + o.backoff()
}

func (in Closed) step(o *Owner, now Time) {
	if in.Conn == o.conn.id && o.conn.phase != Idle {
		o.closed(now, in.Verdict)
	}
}

func (in Announced) step(o *Owner, now Time) {
	if in.Epoch > o.view.Epoch {
		o.prepare, o.prepareEnd, o.granted = in.Epoch, now+o.Timing.Prepare, 0
		if c := &o.conn; c.phase != Idle && !c.bound && c.epoch > o.view.Epoch {
			// It was made for another announcement, perhaps of a leader that didn't
			// know of a restore yet. A connection up to HELLO does for any.
			c.epoch = in.Epoch
		}
		if o.conn.phase >= Hello && o.conn.epoch == in.Epoch {
			o.do(Prepared(in)) // the announcement was repeated
		}
	}
}

func (in HandedOver) step(o *Owner, _ Time) { o.released = max(o.released, in.Epoch) }

func (in Answered) step(o *Owner, now Time) {
	switch {
	case o.clear != nil && in.ID == o.clear.id:
		if in.Unknown {
			o.clear.again(now + o.Timing.Retry)
			return
		}
		// The applied state will show it. Until then there is nothing to propose:
		// on a node that lags that would be once a round trip.
		o.clear.again(now + o.Timing.Ask)
	case o.flight != nil && in.ID == o.flight.id:
		switch {
		case in.TooLarge && o.passOver():
			return
		case in.TooLarge:
			o.flight.again(now + largeRetry)
			return
		case in.Unknown:
			o.flight.again(now + o.Timing.Retry)
			return
		}
		o.answered(now, in.Result)
	}
}

func (f *flight) again(at Time) { f.waiting, f.retryAt = true, at }

// answered takes the definite answer to Ready, Events or Lost.
func (o *Owner) answered(now Time, r fsm.Result) {
	f := o.flight
	o.flight = nil
	switch r.Code {
	case fsm.OK, fsm.Old:
		switch f.cmd.(type) {
		case *fsm.Ready:
			// The applied state moves the connection on; keep the flight
			// occupied until then so that no events overtake it.
			if o.conn.readying {
				o.flight = f
			}
		case *fsm.Events:
			o.trim(r.C)
		case *fsm.Lost:
			f.again(now + o.Timing.Ask) // unless the applied state shows it before
			o.flight = f
		}
	case fsm.Gap:
		if !o.covers(r.C) {
			o.drop()
			o.forget(len(o.buf))
			o.retryAt = now
		}
	default: // Fenced, Refused, StaleGeneration: the state that says why will be applied here
		if _, lost := f.cmd.(*fsm.Lost); lost {
			f.again(now + o.Timing.Ask)
			o.flight = f
			return
		}
		if r.Code == fsm.Fenced && r.Epoch > o.conn.epoch {
			o.dead = max(o.dead, o.conn.epoch)
		}
		o.drop()
		o.forget(len(o.buf))
		o.retryAt = now + o.Timing.Retry
	}
}

// covers reports whether the buffer holds all events after c.
func (o *Owner) covers(c int64) bool { return len(o.buf) > 0 && o.buf[0].prev <= c }

// trim forgets events that are committed.
func (o *Owner) trim(c int64) {
	i := 0
	for i < len(o.buf) && o.buf[i].S <= c {
		i++
	}
	o.forget(i)
	if ev, ok := o.flightEvents(); ok && ev.last <= c {
		o.flight = nil
	}
}

// forget lets go of the first events of the buffer.
func (o *Owner) forget(n int) {
	if n == 0 {
		return
	}
	for i := range n {
		o.bufBytes -= o.buf[i].size()
	}
	// To the front: a window that slides through its array needs a new one
	// every few batches. What is cleared lets the payloads go.
	left := copy(o.buf, o.buf[n:])
	clear(o.buf[left:])
	o.buf = o.buf[:left]
}

func (o *Owner) flightEvents() (*flight, bool) {
	return eventsOf(o.flight)
}

func eventsOf(f *flight) (*flight, bool) {
	if f == nil {
		return nil, false
	}
	_, ok := f.cmd.(*fsm.Events)
	return f, ok
}

// pump proposes what was read, if nothing is in flight: the batch forms by
// itself while the last one is under way.
func (o *Owner) pump(sid string, epoch uint64) {
	if o.flight != nil || len(o.buf) == 0 || o.conn.readying || o.view.SID != sid {
		return
	}
	n, size := 0, 0
	for n < len(o.buf) && (n == 0 || size+o.buf[n].size() <= fsm.MaxBatch) {
		size += o.buf[n].size()
		n++
		if n < len(o.buf) && o.buf[n].jump {
			break
		}
	}
	first := &o.buf[0]
	cmd := &fsm.Events{
		Bot: o.Bot, Shard: o.Shard, Epoch: epoch, SID: sid,
		Prev: first.prev, At: first.at, Jump: first.jump, Evs: make([]fsm.Event, n),
	}
	for i := range n {
		cmd.Evs[i] = o.buf[i].Event
	}
	o.flight = o.propose(cmd)
	o.flight.last = cmd.Evs[n-1].S
}

package rest

import (
	"errors"
	"slices"
	"time"
)

// message is a message of a peer, taken apart.
type message struct {
	kind    byte
	view    stamp // of what it speaks; zero if it speaks of none
	acquire acquireMsg
	lane    laneMsg
	seq     uint64
	items   []item
}

// decodeMessage reads a message.
func decodeMessage(b []byte) (message, error) {
	r := &reader{b: b}
	m := message{kind: r.byte()}
	switch m.kind {
	case msgAcquire:
		m.acquire = r.acquire()
		m.view = m.acquire.view
	case msgLane:
		m.lane = r.lane()
		m.view = m.lane.view
	case msgTell:
		m.seq, m.items = r.tell()
		for _, it := range m.items {
			if it.kind == itemInform {
				m.view = it.inform.view
			}
		}
	default:
		r.fail()
	}
	return m, r.end()
}

// early is a message that came before the view that it speaks of.
type early struct {
	from  Member
	m     message
	reply func([]byte, error)
	timer *time.Timer
}

// errTooEarly has the sender try again.
var errTooEarly = errors.New("rest: this node doesn't see the cluster as the sender does yet")

// Handle takes in a message of another process's limiter. reply is called once,
// at once or later, and must not block. Messages of one process must be given
// in the order in which they came. msg is the limiter's from then on.
func (c *Cluster) Handle(from Member, msg []byte, reply func([]byte, error)) {
	m, err := decodeMessage(msg)
	if err != nil {
		reply(nil, err)
		return
	}
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	if c.here.closed {
		reply(nil, ErrClosed)
		return
	}
	if c.view.has(from) && !c.view.behind(m.view) {
		c.serve(from, m, reply)
		return
	}
	e := &early{from: from, m: m, reply: reply}
	e.timer = time.AfterFunc(earlyTime, func() { c.late(e) })
	c.early = append(c.early, e)
}

// late answers a message whose view hasn't come.
func (c *Cluster) late(e *early) {
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	i := slices.Index(c.early, e)
	if i < 0 {
		return
	}
	c.early = slices.Delete(c.early, i, i+1)
	c.refuse(e)
}

// refuse answers a message that this node can do nothing with.
func (c *Cluster) refuse(e *early) {
	switch e.m.kind {
	case msgAcquire:
		e.reply(acquireAns{code: ansMoved, view: c.view.stamp}.append(nil), nil)
	case msgLane:
		e.reply(laneAns{code: ansMoved, view: c.view.stamp}.append(nil), nil)
	default:
		e.reply(nil, errTooEarly)
	}
}

// flushEarly serves what came too early, as far as the view has it now.
func (c *Cluster) flushEarly() {
	waiting := c.early
	c.early = nil
	for _, e := range waiting {
		if !c.view.has(e.from) || c.view.behind(e.m.view) {
			c.early = append(c.early, e)
			continue
		}
		e.timer.Stop()
		c.serve(e.from, e.m, e.reply)
	}
}

// serve does what a message asks for. The caller holds the lock.
func (c *Cluster) serve(from Member, m message, reply func([]byte, error)) {
	now := time.Now()
	switch m.kind {
	case msgAcquire:
		c.serveAcquire(from, m.acquire, now, reply)
	case msgLane:
		c.serveLane(from, m.lane, now, func(a laneAns) { reply(a.append(nil), nil) })
	case msgTell:
		if p := c.peers[from.ID]; p != nil && m.seq > p.heard {
			p.heard = m.seq
			for _, it := range m.items {
				c.hear(from, it, now)
			}
		}
		reply([]byte{ansGranted}, nil)
	}
}

// serveAcquire queues another node's request.
func (c *Cluster) serveAcquire(from Member, q acquireMsg, now time.Time, reply func([]byte, error)) {
	if c.view.homeOf(q.req.Major, q.req.Identity) != c.o.Self {
		reply(acquireAns{code: ansMoved, view: c.view.stamp}.append(nil), nil)
		return
	}
	q.req.Since = now.Add(-q.age)
	var deadline time.Time
	if q.patience > 0 {
		deadline = now.Add(q.patience)
	}
	c.admit(guestKey{from, q.id}, q.req, deadline, now, func(err error) {
		var limited *RateLimitError
		switch {
		case err == nil:
			reply(acquireAns{code: ansGranted, view: c.view.stamp}.append(nil), nil)
		case errors.As(err, &limited):
			reply(acquireAns{code: ansRefused, wait: limited.RetryAfter, scope: limited.Scope}.append(nil), nil)
		case errors.Is(err, errMoved):
			reply(acquireAns{code: ansMoved, view: c.view.stamp}.append(nil), nil)
		default:
			reply(nil, err)
		}
	})
}

// hear takes in what another node tells.
func (c *Cluster) hear(from Member, it item, now time.Time) {
	switch it.kind {
	case itemReport:
		// One for a bucket that has moved on is told to its new home as in flight,
		// or was: the teller sees the change, too, and what it has heard goes along.
		if c.view.homeOf(it.req.Major, it.req.Identity) == c.o.Self {
			c.report(guestKey{from, it.id}, it.req, it.answer, now)
		}
	case itemCancel:
		c.dismiss(guestKey{from, it.id}, now)
	case itemInform:
		c.informed(from, it.inform, now)
	case itemPoke:
		c.leases[it.identity].poked = true
		c.lookAtLanes(now)
	case itemBlocked:
		a := Answer{Status: 429, Scope: ScopeGlobal, RetryAfter: it.wait}
		if it.edge {
			a.Scope = ScopeEdge
		}
		c.here.limited(c.here.lanes[it.identity], a, now)
	case itemInvalid:
		if p := c.peers[from.ID]; p != nil {
			p.bad = it.count
		}
	}
}

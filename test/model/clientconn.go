package model

import (
	"fmt"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/mutant"
)

// clientConn is a client's connection, with what the proxy of its node knows of
// it: it follows proxy's session, feed and events.
type clientConn struct {
	c      *client
	n      *node
	life   uint64
	number uint64 // that it drew

	sid    string
	attach uint64
	gen    uint64
	base   int64
	first  int64
	next   uint64
	lastS  int64
	replay bool
	upTo   uint64
	view   int // entries that were applied when it was resumed

	live    bool // the session is its own
	pumping bool
	touched Time
	missed  int
	fifo    Time
}

// serves reports whether a node may serve clients.
func (n *node) serves() (yes bool) {
	n.view(func(s *fsm.State, _ *fsm.Bot) { yes = s.IsUp(n.ref) })
	return yes && n.local() < n.freshUntil
}

// toClient delivers a message in order, if the connection lasts until then.
func (x *clientConn) toClient(fn func()) {
	s := x.c.s
	x.fifo = max(x.fifo, s.now+s.between(100*time.Microsecond, 3*time.Millisecond))
	s.push(event{at: x.fifo, fn: func() {
		if x.c.conn == x {
			fn()
		}
	}})
}

// away is op 7, or an end that says as little: the session may be resumed.
func (x *clientConn) away() {
	x.live = false
	x.toClient(x.c.drop)
}

// invalid is op 9 false.
func (x *clientConn) invalid() {
	x.live = false
	x.toClient(x.c.anew)
}

// awaitLog goes on once the node has applied the log up to an index, as whoever
// proposes waits for its own command.
func (x *clientConn) awaitLog(index, tries int, then func()) {
	switch {
	case x.n.applied >= index:
		then()
	case tries == 0:
		x.away()
	default:
		x.n.s.on(x.n, 5*time.Millisecond, func() { x.awaitLog(index, tries-1, then) })
	}
}

// identify opens a session and begins it from the state after that.
func (x *clientConn) identify() {
	n, c := x.n, x.c
	c.s.sids++
	cs := fsm.ClientSession{
		SID: fmt.Sprintf("client-%d", c.s.sids), Key: clientKey, Shard: uint32(c.i), Shards: uint32(c.n), Intents: uint64(c.intents),
		Node: n.ref, Conn: x.number, Until: n.wall() + clientLife.Milliseconds(),
	}
	var early uint64
	var gaps uint64
	n.view(func(_ *fsm.State, b *fsm.Bot) { early, gaps = b.LastPos, b.OpenMark() })
	index := n.applied
	n.propose(&fsm.OpenClient{Bot: botName, Session: cs, Room: 4, Gaps: gaps}, n.generation(), func(r fsm.Result, unknown bool) {
		if unknown || r.Code != fsm.OK {
			x.away()
			return
		}
		x.sid, x.attach = cs.SID, r.Version
		x.awaitLog(len(c.s.raft.log), 400, func() {
			if !c.s.knobs.EarlyView {
				n.view(func(_ *fsm.State, b *fsm.Bot) { early, index = b.LastPos, n.applied })
			}
			x.begin(early, index)
		})
	})
}

// begin sends READY and the guilds as of a view, whose last position was last.
func (x *clientConn) begin(last uint64, index int) {
	ok := false
	x.n.view(func(s *fsm.State, b *fsm.Bot) {
		var cs fsm.ClientSession
		if cs, ok = b.ClientSession(x.sid); ok {
			x.take(&cs, s.Generation)
		}
	})
	if !ok {
		x.away()
		return
	}
	c, o := x.c, x.c.s.oracle
	sid, gen, at := x.sid, x.gen, o.committed(index)
	x.next, x.lastS, x.live = last+1, int64(last)-x.base, true
	s := x.lastS
	c.s.tracef("%s begins %s at %s after position %d", c, sid, x.n.ref, last)
	x.toClient(func() { c.begun(sid, 1, gen, at) })
	x.toClient(func() { c.begun(sid, s, gen, at) })
	c.beats(x)
	x.pump()
}

func (x *clientConn) take(cs *fsm.ClientSession, gen uint64) {
	x.gen, x.base, x.first = gen, cs.Base, int64(cs.First)-cs.Base
}

// resume attaches a session to this connection.
func (x *clientConn) resume(sid string, seq int64, tries int) {
	n := x.n
	cmd := &fsm.AttachClient{Bot: botName, SID: sid, Conn: x.number, Node: n.ref, Until: n.wall() + clientLife.Milliseconds()}
	n.view(func(_ *fsm.State, b *fsm.Bot) {
		if cs, ok := b.ClientSession(sid); ok {
			cmd.Attach = cs.Attach
		}
	})
	n.propose(cmd, n.generation(), func(r fsm.Result, unknown bool) {
		switch {
		case !unknown && r.Code == fsm.Old:
			x.invalid()
		case !unknown && r.Code == fsm.Conflict && tries < 5:
			n.s.on(n, 5*time.Millisecond, func() { x.resume(sid, seq, tries+1) })
		case unknown || r.Code != fsm.OK:
			x.away()
		default:
			x.sid, x.attach = sid, r.Version
			x.awaitLog(len(n.s.raft.log), 400, func() { x.resumed(seq) })
		}
	})
}

// resumed goes on after a number, if nothing of what follows is gone.
func (x *clientConn) resumed(seq int64) {
	place := fsm.ResumeLost
	x.n.view(func(s *fsm.State, b *fsm.Bot) {
		cs, ok := b.ClientSession(x.sid)
		if !ok {
			return
		}
		x.take(&cs, s.Generation)
		if x.n.s.mutant.Has(mutant.ClientConfirmed) {
			cs.Seq = 0
		}
		if x.next, place = b.ResumeClient(&cs, seq); place == fsm.ResumeLost && x.n.s.mutant.Has(mutant.ClientFloor) && seq >= x.first {
			x.next, place = uint64(x.base+seq)+1, fsm.ResumeGoesOn
		}
		x.replay, x.upTo, x.lastS = true, b.LastPos, seq
	})
	if place != fsm.ResumeGoesOn {
		x.invalid()
		return
	}
	x.view, x.live = x.n.applied, true
	x.c.s.stats.Resumed++
	x.c.beats(x)
	x.pump()
}

// pumpClients sends a node's clients what has come.
func (n *node) pumpClients() {
	for _, c := range n.s.clients {
		if x := c.conn; x != nil && x.n == n && x.life == n.life && !x.pumping {
			x.pump()
		}
	}
}

// clientPage is how many events a client is sent at a time.
const clientPage = 4

// pump sends a page of what the client has still to get.
func (x *clientConn) pump() {
	x.pumping = false
	if x.c.conn != x || !x.live {
		return
	}
	more := false
	x.n.view(func(s *fsm.State, b *fsm.Bot) {
		cs, ok := b.ClientSession(x.sid)
		switch {
		case s.Generation != x.gen || !ok:
			x.invalid()
			return
		case cs.Attach != x.attach:
			x.away()
			return
		}
		if x.replay && x.next > x.upTo {
			x.replay = false
			x.lastS = max(x.lastS, int64(x.next-1)-x.base)
			last, index, gen := x.lastS, x.view, x.gen
			x.toClient(func() { x.c.hasResumed(last, index, gen) })
		}
		if !b.HasFrom(x.next) && !x.n.s.mutant.Has(mutant.ClientFloor) {
			x.invalid()
			return
		}
		sent := 0
		for e := range b.RetainedFrom(x.next) {
			if more = sent == clientPage || x.replay && e.Pos > x.upTo; more {
				break
			}
			x.next = e.Pos + 1
			sent++
			x.send(e)
		}
		more = more || x.replay && x.next > x.upTo
	})
	if more && x.live {
		x.pumping = true
		x.n.s.on(x.n, x.n.s.between(100*time.Microsecond, x.n.s.slowness()), x.pump)
	}
}

// slowness is how long a client takes for a page, at most.
func (s *Sim) slowness() Time {
	if s.faults {
		return s.knobs.Slow
	}
	return 2 * time.Millisecond
}

// send sends an event if the session gets it.
func (x *clientConn) send(e *fsm.Entry) {
	c := x.c
	if e.Type == discord.EventReady || e.Type == discord.EventResumed || e.Type == fsm.EventTick ||
		discord.ShardOf(e.Guild, c.n) != c.i || !c.intents.Brings(e.Type, e.Guild != 0) {
		return
	}
	x.lastS = int64(e.Pos) - x.base
	s := x.lastS
	x.toClient(func() { c.got(e, s) })
}

// heartbeat answers a heartbeat, and tells the cluster of it now and then.
func (x *clientConn) heartbeat(seq int64) {
	n, c := x.n, x.c
	if c.conn != x || !x.live {
		return
	}
	if !n.serves() {
		x.away()
		return
	}
	x.toClient(func() { x.missed = 0 })
	if n.s.now < x.touched {
		return
	}
	x.touched = n.s.now + 500*time.Millisecond
	t := &fsm.TouchClient{Bot: botName, SID: x.sid, Attach: x.attach, Until: n.wall() + clientLife.Milliseconds()}
	if seq > 0 && seq <= x.lastS && !x.replay {
		t.Seq = seq
		if seq == x.lastS && seq >= x.first {
			t.Through = int64(x.next-1) - x.base
		}
	}
	n.propose(t, x.gen, func(fsm.Result, bool) {})
}

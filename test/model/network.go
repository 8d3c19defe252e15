package model

import (
	"time"

	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/shard"
)

// delay draws how long a message takes.
func (s *Sim) delay() Time {
	d := s.between(50*time.Microsecond, s.knobs.Latency)
	if s.fault(0.01) {
		d += s.between(0, 500*time.Millisecond)
	}
	return d
}

// tell delivers a message to another node, or loses it.
func (n *node) tell(to *node, f func(to *node)) {
	switch {
	case to == nil:
	case to == n:
		n.s.on(n, 0, func() { f(n) })
	case n.isolated || to.isolated || !to.alive || n.s.fault(n.s.knobs.Loss):
	default:
		n.s.on(to, n.s.delay(), func() { f(to) })
	}
}

// call is a proposal on its way; answer is called once.
type call struct {
	over   bool
	answer func(r fsm.Result, unknown bool)
}

func (c *call) end(r fsm.Result, unknown bool) {
	if !c.over {
		c.over = true
		c.answer(r, unknown)
	}
}

// propose sends a command to the leader and calls back once, on this node,
// with its result or with the news that nothing is known.
func (n *node) propose(cmd fsm.Command, gen uint64, back func(r fsm.Result, unknown bool)) {
	c := &call{answer: back}
	p := command{bytes: fsm.Encode(gen, cmd), gen: gen, cmd: cmd, by: n.ref, decided: n.s.now, age: n.s.raft.restored[n.applied]}
	n.s.on(n, n.s.between(150*time.Millisecond, 500*time.Millisecond), func() { c.end(fsm.Result{}, true) })
	n.send(p, c, n.s.fault(n.s.knobs.Loss), n.s.delay())
	if n.s.fault(n.s.knobs.Dup) {
		n.send(p, nil, false, n.s.delay()+n.s.between(0, 300*time.Millisecond))
	}
	if n.s.fault(n.s.knobs.Limbo) {
		n.send(p, nil, false, n.s.between(300*time.Millisecond, 8*time.Second))
	}
}

// send carries one copy of a proposal to whom the node takes for the leader
// when it arrives; c is nil for copies whose answer nobody awaits.
func (n *node) send(p command, c *call, lost bool, delay Time) {
	if lost || n.isolated {
		return
	}
	life := n.life
	n.s.after(delay, func() {
		to := n.s.raft.leader
		if c != nil {
			to = n.believes
		}
		if to == nil || !to.alive || to.isolated && to != n {
			return
		}
		n.s.on(to, 0, func() { n.arrive(p, c, to, life) })
	})
}

func (n *node) arrive(p command, c *call, to *node, life uint64) {
	var answer func(fsm.Result)
	if c != nil {
		answer = func(r fsm.Result) {
			if to != n && (to.isolated || n.isolated || n.s.fault(n.s.knobs.Loss)) {
				return
			}
			d := n.s.delay()
			if to == n {
				d = 0
			}
			n.s.push(event{at: n.s.now + d, node: n, life: life, fn: func() { c.end(r, false) }})
		}
	}
	if !n.s.raft.append(to, proposal{command: p, answer: answer}) && c != nil {
		n.s.push(event{at: n.s.now + n.s.delay(), node: n, life: life, fn: func() { c.end(fsm.Result{}, true) }})
	}
}

// proposeFor carries out an owner's Propose.
func (n *node) proposeFor(b *ownerBox, a shard.Propose) {
	back := func(r fsm.Result, unknown bool) {
		if r.Code == fsm.Fenced {
			n.s.stats.Fenced++
		}
		n.step(b, shard.Answered{ID: a.ID, Unknown: unknown, Result: r})
	}
	if ev, ok := a.Cmd.(*fsm.Events); ok && len(ev.Evs) > 1 && n.s.fault(n.s.knobs.Split) {
		n.proposeSplit(ev, a.Generation, back)
		return
	}
	n.propose(a.Cmd, a.Generation, back)
}

// proposeSplit sends a batch as two that may overtake each other, as a node
// would that has several in flight.
func (n *node) proposeSplit(ev *fsm.Events, gen uint64, back func(fsm.Result, bool)) {
	at := 1 + n.s.rng.IntN(len(ev.Evs)-1)
	one, two := *ev, *ev
	one.Evs, two.Evs = ev.Evs[:at], ev.Evs[at:]
	two.Prev, two.Jump = one.Evs[at-1].S, false
	left, unknown := 2, false
	var worst fsm.Result
	join := func(r fsm.Result, unk bool) {
		left--
		unknown = unknown || unk
		if r.Code > worst.Code || r.Code == worst.Code && r.C > worst.C {
			worst = r
		}
		if left == 0 {
			back(worst, unknown)
		}
	}
	n.propose(&one, gen, join)
	n.propose(&two, gen, join)
}

// pingLoop asks the leader whether it leads, five times per Fresh.
func (n *node) pingLoop() {
	n.ping()
	n.s.on(n, n.s.timing.Fresh/5, n.pingLoop)
}

func (n *node) ping() {
	sent, sentTrue, ref, leaving := n.local(), n.s.now, n.ref, n.leaving
	n.tell(n.believes, func(to *node) {
		to.verified(ref, leaving, func(at Time, term uint64, index int) {
			to.tell(n, func(*node) {
				if n.ref == ref {
					n.refreshed(answer{sent, sentTrue, at, term, index})
				}
			})
		})
	})
}

// answer is a leader's answer to a node's question whether it leads.
type answer struct {
	sent, sentTrue Time   // when the question was sent, by both clocks
	at             Time   // when leadership was verified
	term           uint64 // of the leader
	index          int    // what was committed then
}

// refreshed takes an answer. For a node that is not fresh it counts once the
// node's state holds what was committed when leadership was verified: one that
// comes back would else act on what it knew before it was cut off.
func (n *node) refreshed(a answer) {
	if n.applied < a.index && n.local() >= n.freshUntil && !n.s.knobs.NoIndex {
		if n.s.now < a.sentTrue+n.s.timing.Fresh {
			n.s.on(n, time.Millisecond, func() { n.refreshed(a) })
		}
		return
	}
	if n.applied >= a.index || n.local() >= n.freshUntil {
		n.knows = a.at
	}
	if lease := a.sentTrue + n.s.timing.Fresh; lease > n.lease {
		n.lease, n.leaseAt, n.leaseTerm = lease, a.at, a.term
	}
	was := n.local() < n.freshUntil
	n.freshUntil = max(n.freshUntil, a.sent+n.s.timing.Fresh)
	if !was {
		for _, b := range n.owners {
			b.moved = true
		}
		n.react()
	}
}

// verified answers a node's question whether this one leads, if a round that
// begins after the question came confirms it.
func (n *node) verified(ref fsm.NodeRef, leaving bool, answer func(at Time, term uint64, index int)) {
	led := n.lead
	if led == nil {
		return
	}
	n.s.after(n.s.between(100*time.Microsecond, 5*time.Millisecond), func() {
		if !n.s.raft.leads(n) {
			return
		}
		at, term, index := n.s.now, n.leadTerm, len(n.s.raft.log)
		n.s.on(n, 0, func() {
			if n.lead != led {
				return
			}
			led.Answered(ref, n.local(), leaving)
			answer(at, term, index)
		})
	})
}

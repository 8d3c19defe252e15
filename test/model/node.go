package model

import (
	"bytes"
	"time"

	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/mutant"
	"github.com/botnode/botnode/shard"
)

const botName = "default"

// node is one machine of the cluster and the process that runs on it.
type node struct {
	s    *Sim
	ref  fsm.NodeRef
	life uint64 // counts processes; events of an earlier one are void

	alive       bool
	frozenUntil Time
	parked      []event // what has happened to it since it froze, in order
	isolated    bool    // no other node can be reached, Discord can
	offline     Time    // until when Discord can't be reached, the other nodes can
	offset      Time    // of this process's clock

	m        *fsm.Machine
	applied  int // entries of the log
	applying bool

	owners []*ownerBox
	lanes  *shard.Lanes
	runs   map[uint64]*run // by position
	jobs   uint64

	believes *node // whom it takes for the leader
	lead     *shard.Leader
	leadTerm uint64
	planning bool
	replan   bool // the applied state may want another plan
	killed   map[fsm.NodeRef]bool
	leaving  bool

	freshUntil  Time // by its own clock, as it believes
	lease       Time // by the model's clock, as the oracle works it out
	leaseAt     Time // when leadership was verified for it
	leaseTerm   uint64
	knows       Time // when an answer was given whose index it has applied, or should have
	registering bool

	skew  Time   // of its clock on the wall
	fence uint64 // of the lock, that it has used last
	using bool   // it writes under the lock
}

// ownerBox is an Owner with what its runner would keep.
type ownerBox struct {
	k      int
	o      *shard.Owner
	moved  bool // the applied state of the shard may have changed
	tickAt Time // of the earliest Tick that is scheduled
	conn   *dconn
}

func newNode(s *Sim, i int) *node {
	n := &node{s: s, ref: fsm.NodeRef{ID: string(rune('a' + i))}, killed: make(map[fsm.NodeRef]bool)}
	n.m = n.machine()
	return n
}

func (n *node) machine() *fsm.Machine {
	m := fsm.NewMachine()
	m.Strict = n.s.knobs.Strict
	m.View(func(_ uint64, st *fsm.State) {
		if st.Mutant = n.s.mutant; n.ref.ID != "a" {
			st.Mutant &^= mutant.Rules // one node runs a newer version than the others
		}
	})
	m.Observe(n)
	return m
}

// boot starts a new process.
func (n *node) boot() {
	n.ref.Inc++
	n.life++
	n.alive, n.frozenUntil = true, 0
	n.offset = n.s.between(time.Hour, 3*time.Hour)
	n.freshUntil, n.lease, n.knows = 0, 0, 0
	n.believes, n.lead, n.leaving = n.s.raft.leader, nil, false
	n.applying, n.planning, n.registering = false, false, false
	n.skew, n.using, n.fence = n.s.between(0, time.Second), false, 0
	n.runs = make(map[uint64]*run)
	n.lanes = shard.NewLanes(n.ref)
	n.owners = nil
	for k := range n.s.knobs.Shards {
		n.owners = append(n.owners, &ownerBox{k: k, moved: true, o: &shard.Owner{
			Bot: botName, Shard: n.s.key(k), Self: n.ref, Timing: n.s.timing,
			Mutant: n.s.mutant & (mutant.CommittedSeq | mutant.Freshness), Rand: n.s.rng.Float64,
		}})
	}
	if snap := n.s.oracle.snapshot; snap != nil && n.s.knobs.Snapshots && n.s.chance(0.5) && n.applied >= snap.index {
		n.m = n.machine()
		if err := n.m.Restore(bytes.NewReader(snap.bytes)); err != nil {
			n.s.fail("I8", "a snapshot can't be restored: %v", err)
			return
		}
		n.applied = snap.index
	}
	n.Restored(0)
	n.s.tracef("%s starts, applied %d of %d", n.ref, n.applied, len(n.s.raft.log))
	n.applySoon()
	n.pingLoop()
	if n.s.knobs.Store {
		n.workLoop()
	}
}

func (s *Sim) key(k int) fsm.ShardKey {
	return fsm.ShardKey{Layout: uint32(s.knobs.Shards), Index: uint32(k)}
}

func (n *node) local() Time { return n.s.now + n.offset }

// kill ends the process, and with it every connection and handler.
func (n *node) kill() {
	n.s.tracef("%s dies", n.ref)
	n.s.stats.Kills++
	n.alive, n.parked = false, nil
	n.s.clientsOf(n, n.life)
	n.life++
	for _, b := range n.owners {
		if b.conn != nil {
			b.conn.drop()
		}
	}
	if n.s.raft.leader == n {
		n.s.raft.leader = nil
	}
	n.lead = nil
}

// Applied implements fsm.Observer.
func (n *node) Applied(_ uint64, c fsm.Changes) {
	n.replan = n.replan || c.Topology || c.Sweep // as the manager has it
	for _, ref := range c.Shards {
		n.owners[ref.Shard.Index].moved = true
	}
	n.cancel(n.lanes.Apply(c))
}

// Restored implements fsm.Observer. The state is locked only for those who
// come from another goroutine: here there is one.
func (n *node) Restored(uint64) {
	n.replan = true
	for _, b := range n.owners {
		b.moved = true
	}
	n.jobs++
	job := n.jobs
	n.s.on(n, 0, func() {
		if job == n.jobs {
			n.resetLanes()
			n.react()
		}
	})
}

func (n *node) resetLanes() {
	var all []*fsm.Entry
	n.view(func(_ *fsm.State, b *fsm.Bot) {
		if b != nil {
			for e := range b.PendingEntries() {
				all = append(all, e)
			}
		}
	})
	n.cancel(n.lanes.Reset(n.generation(), all))
}

func (n *node) view(f func(s *fsm.State, b *fsm.Bot)) {
	n.m.View(func(_ uint64, s *fsm.State) { f(s, s.Bot(botName)) })
}

// applySoon has the node apply what is committed, after its lag.
func (n *node) applySoon() {
	if n.applying || !n.alive || n.applied >= len(n.s.raft.log) {
		return
	}
	n.applying = true
	lag := n.s.between(100*time.Microsecond, n.s.knobs.Lag)
	if n.s.fault(0.02) {
		lag *= 10
	}
	n.s.on(n, lag, func() {
		n.applying = false
		if n.isolated {
			return // heal starts it again
		}
		n.applyTo(min(len(n.s.raft.log), n.applied+1+n.s.rng.IntN(8)))
		n.applySoon()
	})
}

// applyTo applies the log up to an index and reacts to what changed.
func (n *node) applyTo(index int) {
	if n.applied >= index {
		return
	}
	for n.applied < index && n.s.failure == nil {
		e := n.s.raft.log[n.applied]
		n.applied++
		if e.restore != nil {
			if err := n.m.Restore(bytes.NewReader(e.restore)); err != nil {
				n.s.fail("I8", "a snapshot can't be restored: %v", err)
				return
			}
		} else {
			n.m.Apply(uint64(n.applied), e.data)
		}
		n.s.oracle.checkDigest(n)
	}
	n.react()
}

// react brings owners, handlers, registration and the leader's plan in line
// with the applied state, as the loops of package shard do when poked.
func (n *node) react() {
	for _, b := range n.owners {
		if b.moved {
			n.step(b, shard.Tick{})
		}
	}
	n.register()
	n.dispatch()
	n.pumpClients()
	if n.replan {
		n.planSoon(0)
	}
}

// register makes the process known, again after a restore.
func (n *node) register() {
	known := false
	n.view(func(s *fsm.State, _ *fsm.Bot) { known = s.IsUp(n.ref) })
	if known || n.registering {
		return
	}
	n.registering = true
	again := func() {
		n.s.on(n, 50*time.Millisecond, func() {
			n.registering = false
			n.register()
		})
	}
	gen := n.generation()
	up := func() {
		n.propose(&fsm.Up{Node: n.ref, Weight: n.weight()}, gen, func(fsm.Result, bool) { again() })
	}
	if !n.s.knobs.Programs {
		up()
		return
	}
	n.propose(&fsm.Program{Node: n.ref, Bots: []fsm.BotProgram{{Bot: botName, Handlers: handlersOf(n.ref.Inc)}}}, gen, func(r fsm.Result, unknown bool) {
		if unknown || r.Code != fsm.OK {
			again()
			return
		}
		up()
	})
}

// weight is the node's share of the shards.
func (n *node) weight() uint32 {
	if n.s.knobs.Idle && n.ref.ID == "c" {
		return 0
	}
	return 1
}

func (n *node) generation() (g uint64) {
	n.view(func(s *fsm.State, _ *fsm.Bot) { g = s.Generation })
	return g
}

func (s *Sim) node(id string) *node {
	for _, n := range s.nodes {
		if n.ref.ID == id {
			return n
		}
	}
	return nil
}

// park keeps what happens to a frozen node until it goes on, in order.
func (n *node) park(e event) {
	n.parked = append(n.parked, e)
	if len(n.parked) == 1 {
		n.s.push(event{at: n.frozenUntil, fn: n.thaw})
	}
}

func (n *node) thaw() {
	if n.frozenUntil > n.s.now {
		n.s.push(event{at: n.frozenUntil, fn: n.thaw})
		return
	}
	parked := n.parked
	n.parked = nil
	for _, e := range parked {
		e.at = n.s.now
		n.s.push(e)
	}
}

// freeze stops the process as SIGSTOP does: sockets stay open.
func (n *node) freeze(d Time) {
	n.s.tracef("%s freezes for %v", n.ref, d)
	n.frozenUntil = max(n.frozenUntil, n.s.now+d)
	n.s.raft.check()
}

package model

import (
	"time"

	"github.com/botnode/botnode/fsm"
)

// logEntry is one committed entry. Exactly one of its fields is set.
type logEntry struct {
	data    []byte
	restore []byte // a snapshot that replaces the state, as raft's Restore does
}

// command is a proposed command with what the oracle needs to judge it.
type command struct {
	bytes   []byte
	gen     uint64
	cmd     fsm.Command
	by      fsm.NodeRef // whose decision it is
	term    uint64      // of the leader that decided; 0 for others
	decided Time
	age     int // restores that the state had seen on which it was decided
}

// proposal is a command at a leader; answer is nil where nobody waits.
type proposal struct {
	command
	answer func(fsm.Result)
}

// raft is a model of the log: one leader a term appends, a quorum commits in
// order, and what a deposed leader had appended is committed or lost, from
// some point on.
type raft struct {
	s       *Sim
	log     []logEntry // index i holds entry i+1
	term    uint64
	leader  *node // of this term; it may not know that it is deposed
	pending []proposal
	busy    bool // a commit is under way
	// undecided led before a vote was split; what it had appended waits for a leader.
	undecided *node
	voting    bool // an election is under way

	restored []int // restores up to each length of the log
}

func newRaft(s *Sim) *raft { return &raft{s: s, restored: []int{0}} }

// reach reports whether a node can take part in a quorum now.
func (r *raft) reach(n *node) bool {
	return n != nil && n.alive && !n.isolated && n.frozenUntil <= r.s.now
}

func (r *raft) quorum() bool {
	have := 0
	for _, n := range r.s.nodes {
		if r.reach(n) {
			have++
		}
	}
	return have > len(r.s.nodes)/2
}

// leads reports whether n would win a verification round that began now.
func (r *raft) leads(n *node) bool { return r.leader == n && r.reach(n) && r.quorum() }

// append takes a proposal at a node. It reports false if the node knows that
// it doesn't lead.
func (r *raft) append(n *node, p proposal) bool {
	if r.leader != n {
		return n.lead != nil // it believes that it leads: the proposal is lost, sooner or later
	}
	r.pending = append(r.pending, p)
	r.commitSoon(n)
	return true
}

func (r *raft) commitSoon(n *node) {
	if r.busy {
		return
	}
	r.busy = true
	term := r.term
	r.s.on(n, r.s.between(200*time.Microsecond, 4*time.Millisecond), func() { r.commit(n, term) })
}

func (r *raft) commit(n *node, term uint64) {
	if r.leader != n || r.term != term {
		return
	}
	r.busy = false
	if len(r.pending) == 0 {
		return
	}
	if !r.leads(n) {
		r.busy = true
		r.s.on(n, 20*time.Millisecond, func() { r.commit(n, term) })
		return
	}
	batch := r.pending
	r.pending = nil
	results := r.write(batch)
	n.applyTo(len(r.log))
	for i, p := range batch {
		if p.answer != nil {
			p.answer(results[i])
		}
	}
}

// write appends a committed entry and has the oracle judge it.
func (r *raft) write(batch []proposal) []fsm.Result {
	results := make([]fsm.Result, len(batch))
	bytes := make([][]byte, len(batch))
	for i, p := range batch {
		bytes[i] = p.bytes
		results[i] = r.s.oracle.apply(p.command)
	}
	r.log = append(r.log, logEntry{data: fsm.EncodeBatch(bytes)})
	r.restored = append(r.restored, r.restored[len(r.restored)-1])
	r.s.oracle.noteDigest(len(r.log))
	for _, n := range r.s.nodes {
		n.applySoon()
	}
	return results
}

// check starts an election if the leader can't be reached.
func (r *raft) check() {
	if r.voting || r.leader != nil && r.reach(r.leader) {
		return
	}
	r.voting = true
	r.s.after(r.s.between(20*time.Millisecond, 800*time.Millisecond), func() {
		r.voting = false
		r.elect(nil)
	})
}

// elect makes a node that can be reached the leader of a new term.
func (r *raft) elect(want *node) {
	if !r.quorum() {
		r.s.after(100*time.Millisecond, r.check)
		return
	}
	var able []*node
	for _, n := range r.s.nodes {
		if r.reach(n) && (want == nil || n == want) {
			able = append(able, n)
		}
	}
	if len(able) == 0 {
		return
	}
	n := able[r.s.rng.IntN(len(able))]
	old := r.leader
	r.term++
	if r.s.fault(r.s.knobs.SplitVote) {
		// The term has no leader. Whoever led before is deposed, and doesn't know.
		r.s.tracef("election: the votes of term %d are split", r.term)
		r.leader, r.busy, r.undecided = nil, false, old
		r.check()
		return
	}
	if old == nil {
		old = r.undecided
	}
	r.undecided = nil
	r.leader, r.busy = n, false
	r.s.stats.Elections++
	r.s.tracef("election: %s leads term %d", n.ref, r.term)
	// What the old leader had appended survives up to some point, if the new
	// one has it; nobody is told.
	kept := 0
	if len(r.pending) > 0 {
		kept = r.s.rng.IntN(len(r.pending) + 1)
	}
	if kept > 0 {
		r.write(r.pending[:kept])
	}
	r.pending = nil
	r.announce(old, n)
}

// announce lets the nodes learn of a new leader, each at its time, and the new
// leader act once its Barrier is through.
func (r *raft) announce(old, n *node) {
	term := r.term
	if old != nil && old != n {
		r.s.on(old, r.s.between(0, 1500*time.Millisecond), func() {
			if old.lead != nil && old.leadTerm < r.term {
				r.s.tracef("%s learns that it is deposed", old.ref)
				old.lead = nil
			}
		})
	}
	n.lead = nil
	for _, m := range r.s.nodes {
		d := r.s.between(0, 300*time.Millisecond)
		if m == n {
			d = 0
		}
		r.s.on(m, d, func() {
			if r.term == term {
				m.believes = n
			}
		})
	}
	r.barrier(n, term)
}

// barrier establishes the leader when its state has everything that was
// committed before its term.
func (r *raft) barrier(n *node, term uint64) {
	r.s.on(n, r.s.between(time.Millisecond, 30*time.Millisecond), func() {
		if r.term != term || r.leader != n {
			return
		}
		if !r.leads(n) {
			r.barrier(n, term)
			return
		}
		n.applyTo(len(r.log))
		n.establish(term)
	})
}

// restore replaces every state by a snapshot's, as an operator's restore does.
func (r *raft) restore(snapshot []byte) {
	r.log = append(r.log, logEntry{restore: snapshot})
	r.restored = append(r.restored, r.restored[len(r.restored)-1]+1)
	r.pending = nil
	for _, n := range r.s.nodes {
		n.applySoon()
	}
}

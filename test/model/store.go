package model

import (
	"strconv"
	"time"

	"github.com/botnode/botnode/fsm"
)

// What is replicated besides events: the key-value store as programs outside of
// handlers write it, named locks, and schedules.

const (
	lockName  = "lock"
	tickName  = "tick"
	clientKey = "key"
	// tickEvery is the time between two ticks, in milliseconds.
	tickEvery = 400
)

// wall is a process's clock on the wall, in Unix milliseconds. Those of two
// processes differ.
func (n *node) wall() int64 { return (n.s.now + n.skew).Milliseconds() + 1 }

// workLoop has a process write to the store, with and without a lock.
func (n *node) workLoop() {
	if !n.s.faults {
		return
	}
	if n.serves() || n.s.chance(0.3) && n.applied > 0 {
		n.work()
	}
	n.s.on(n, n.s.between(50*time.Millisecond, 400*time.Millisecond), n.workLoop)
}

// work follows the rules of package shard's table of locks: what the applied
// state says counts, a fence is used once, and a lock that nobody here wants is
// given back.
func (n *node) work() {
	var l fsm.LockState
	var held bool
	var item fsm.KVItem
	n.view(func(_ *fsm.State, b *fsm.Bot) {
		l, held = b.LockHolder(lockName)
		item, _ = b.KVGet("outside")
	})
	switch mine := held && l.Holder == n.ref; {
	case n.using:
	case mine && l.Fence > n.fence:
		n.fence, n.using = l.Fence, true
		n.useLock(l.Fence, 1+n.s.rng.IntN(3))
	case mine:
		n.propose(&fsm.Unlock{Bot: botName, Name: lockName, Fence: l.Fence}, n.generation(), func(fsm.Result, bool) {})
	case !held || n.s.chance(0.2):
		n.propose(&fsm.Lock{Bot: botName, Name: lockName, Node: n.ref}, n.generation(), func(fsm.Result, bool) {})
	}
	// Beside the lock: a plain addition, and a write on condition.
	n.write(&fsm.KVWrite{Bot: botName, ID: n.s.rng.Uint64() | 1, Change: fsm.KVChange{Key: "sum", Add: 1}}, n.generation(), 3, nil)
	n.write(&fsm.KVWrite{
		Bot: botName, ID: n.s.rng.Uint64() | 1, Conditional: true, IfVersion: item.Version,
		Change: fsm.KVChange{Key: "outside", Value: []byte(n.ref.String()), Delete: n.s.chance(0.3)},
	}, n.generation(), 3, nil)
}

// useLock writes under a lock so many times, and gives it back. A process that
// was frozen meanwhile doesn't know that the lock is another's.
func (n *node) useLock(fence uint64, writes int) {
	if writes == 0 {
		n.using = false
		n.propose(&fsm.Unlock{Bot: botName, Name: lockName, Fence: fence}, n.generation(), func(fsm.Result, bool) {})
		return
	}
	if n.s.fault(n.s.knobs.Freeze) {
		n.freeze(n.s.between(100*time.Millisecond, 3*time.Second))
	}
	n.s.on(n, n.s.between(0, 100*time.Millisecond), func() {
		w := &fsm.KVWrite{
			Bot: botName, ID: n.s.rng.Uint64() | 1, Change: fsm.KVChange{Key: "guarded", Value: []byte(strconv.FormatUint(fence, 10))},
			Lock: lockName, Fence: fence,
		}
		n.write(w, n.generation(), 5, func() { n.useLock(fence, writes-1) })
	})
}

// write proposes a write until its outcome is known, or it is given up.
func (n *node) write(w *fsm.KVWrite, gen uint64, tries int, then func()) {
	n.propose(w, gen, func(_ fsm.Result, unknown bool) {
		if unknown && tries > 0 {
			n.s.on(n, n.s.timing.Retry, func() { n.write(w, gen, tries-1, then) })
		} else if then != nil {
			then()
		}
	})
}

// chores is what a leader does by its clock on the wall: see package shard's.
func (n *node) chores() {
	if n.s.faults && n.s.knobs.Rules && n.s.now > n.s.knobs.RulesAt {
		n.view(func(s *fsm.State, _ *fsm.Bot) {
			if s.Rules < fsm.KnownRules {
				n.proposeAsLeader(&fsm.Rules{N: fsm.KnownRules}, s.Generation, nil)
			}
		})
	}
	now := n.wall()
	n.view(func(s *fsm.State, b *fsm.Bot) {
		if b == nil {
			return
		}
		if at, ok := b.NextClientExpiry(); ok && at <= now {
			n.proposeAsLeader(&fsm.ExpireClients{Bot: botName, Now: now}, s.Generation, nil)
		}
		last, known := b.LastTick(tickName)
		if n.s.knobs.Ticks && n.s.faults && (!known || now-last >= tickEvery) {
			due := now / tickEvery * tickEvery
			tick := &fsm.Tick{Bot: botName, Name: tickName, Due: due, At: now}
			n.proposeAsLeader(tick, s.Generation, nil)
			if n.s.fault(n.s.knobs.Dup) { // a repeat, or another leader's
				n.s.on(n, n.s.between(0, time.Second), func() { n.proposeAsLeader(tick, s.Generation, nil) })
			}
		}
	})
}

package model

import (
	"bytes"
	"time"

	"github.com/botnode/botnode/fsm"
)

// epochKey is a shard in a generation.
type epochKey struct {
	generation uint64
	shard      fsm.ShardKey
}

func (m *oracleMachine) rules() (n uint64) {
	m.View(func(_ uint64, s *fsm.State) { n = s.Rules })
	return n
}

// Restore puts what an operator has saved in force, as a new generation. The same
// file may be restored more than once.
func (s *Sim) Restore() {
	file := s.oracle.file
	if file == nil || !s.faults || s.raft.leader == nil || !s.raft.leads(s.raft.leader) {
		return
	}
	s.stats.Restores++
	keep := s.chance(0.5)
	next := s.oracle.m.generation() + 1
	s.tracef("the backup of entry %d is restored as generation %d, sessions kept: %v", file.index, next, keep)
	m := s.oracle.scratch()
	if err := m.Restore(bytes.NewReader(file.bytes)); err != nil {
		s.fail("I8", "a backup can't be restored: %v", err)
		return
	}
	renew := &fsm.Renew{Generation: next, KeepSessions: keep}
	if s.knobs.LateRenew {
		s.renewLater(renew)
	} else {
		// The new generation is part of what is restored: were it a command of its
		// own, old proposals could come between the two.
		before := shardsOf(m)
		m.Apply(1, fsm.EncodeBatch([][]byte{fsm.Encode(next, renew)}))
		s.oracle.judgeRenewed(m, before, keep)
	}
	renewed := capture(m)
	s.oracle.restored(file, renewed)
	s.raft.restore(renewed)
	s.oracle.noteDigest(len(s.raft.log))
}

// renewLater has the leader begin the generation by a command, as a restore that
// is no more than raft's would.
func (s *Sim) renewLater(renew *fsm.Renew) {
	s.after(s.between(0, 50*time.Millisecond), func() {
		if n := s.raft.leader; n != nil {
			s.on(n, 0, func() { n.proposeAsLeader(renew, renew.Generation, nil) })
		}
	})
}

func shardsOf(m *fsm.Machine) (list []fsm.Shard) {
	m.View(func(_ uint64, s *fsm.State) { list = s.Bot(botName).Shards() })
	return list
}

// judgeRenewed: a new generation leaves nothing with a process or a client of the
// one before, and sessions as the operator has asked (I4).
func (o *oracle) judgeRenewed(m *fsm.Machine, before []fsm.Shard, keep bool) {
	for i, sh := range shardsOf(m) {
		was := before[i]
		sid, c := was.SID, was.C
		if !keep {
			sid = ""
		}
		if sh.SID != sid || sh.C != c || !sh.Owner.None() || sh.Epoch < was.Epoch || sh.Sessions != was.Sessions {
			o.s.fail("I4", "sessions kept: %v, and %+v became %+v", keep, was, sh)
		}
	}
	m.View(func(_ uint64, s *fsm.State) {
		b := s.Bot(botName)
		if _, held := b.LockHolder(lockName); held {
			o.s.fail("I11", "a lock of before a restore is held after it")
		}
		for e := range b.PendingEntries() {
			if !e.Runner.None() {
				o.s.fail("I4", "entry %d is with %s after a restore", e.Pos, e.Runner)
			}
		}
	})
}

// judgeAge: what was decided on a state of before a restore changes nothing after
// it, and epochs never fall within a generation (I4).
func (o *oracle) judgeAge(c command, post sight) {
	if _, renew := c.cmd.(*fsm.Renew); !renew && !c.by.None() && c.age < o.s.raft.restores() {
		o.s.fail("I4", "%T, decided before a restore, took effect after it", c.cmd)
	}
	if post.known {
		key := epochKey{post.gen, post.sh.Key}
		if post.sh.Epoch < o.epochs[key] {
			o.s.fail("I4", "epoch %d of %v in generation %d, after %d", post.sh.Epoch, post.sh.Key, post.gen, o.epochs[key])
		}
		o.epochs[key] = post.sh.Epoch
	}
}

// restores counts the restores in the log.
func (r *raft) restores() int { return r.restored[len(r.restored)-1] }

package model

import (
	"testing"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// scenarioSeeds is how many histories a scenario makes.
const scenarioSeeds = 200

// TestScenarios makes histories in which one kind of trouble is much more
// frequent than a seed would have it. Each has shown a fault of the protocol's
// code once.
func TestScenarios(t *testing.T) {
	for name, o := range scenarios() {
		t.Run(name, func(t *testing.T) {
			n := scenarioSeeds
			if testing.Short() || raceEnabled {
				n /= 6
			}
			if v, _ := search(1, n, o); v != nil {
				o.Seed = v.Seed
				replay(t, o)
			}
		})
	}
}

// cutReadies has connections break right after READY.
func (s *Sim) cutReadies(p float64) {
	seen := 0
	var look func()
	look = func() {
		if !s.faults {
			return
		}
		if n := len(s.discord.sessions); n > seen {
			seen = n
			for _, c := range s.discord.conns {
				if c.up && c.sess != nil && len(c.sess.stream) < 12 && s.chance(p) {
					s.after(s.between(4*time.Millisecond, 30*time.Millisecond), func() { c.close(discord.VerdictResume) })
				}
			}
		}
		s.after(2*time.Millisecond, look)
	}
	look()
}

// disconnectOften has operators disconnect shards again and again.
func (s *Sim) disconnectOften(every Time) {
	if !s.faults {
		return
	}
	s.Disconnect(s.rng.IntN(s.knobs.Shards), s.between(0, every))
	s.after(s.between(every/2, every*3/2), func() { s.disconnectOften(every) })
}

// cutOften has connections break again and again.
func (s *Sim) cutOften(every Time) {
	if !s.faults {
		return
	}
	for _, c := range s.discord.conns {
		if c.up && s.chance(0.7) {
			c.close(discord.VerdictResume)
		}
	}
	s.after(s.between(every/2, every*3/2), func() { s.cutOften(every) })
}

// electOften has followers stand against a leader that lives, as when its links break.
func (s *Sim) electOften(every Time) {
	if !s.faults {
		return
	}
	s.raft.elect(nil)
	s.after(s.between(every/4, every*2), func() { s.electOften(every) })
}

// rekeyOften takes the clients' right to events and gives it back again and again.
func (s *Sim) rekeyOften(every Time) {
	if !s.faults {
		s.putKey(fsm.RightEvents | fsm.RightREST)
		return
	}
	s.putKey(fsm.RightREST)
	s.after(s.between(0, every/4), func() { s.putKey(fsm.RightEvents | fsm.RightREST) })
	s.after(s.between(every/2, every*3/2), func() { s.rekeyOften(every) })
}

// restoreOften restores a backup of a while ago again and again.
func (s *Sim) restoreOften(every Time) {
	s.after(s.between(every/4, every), func() {
		if !s.faults {
			return
		}
		if s.chance(0.5) {
			s.oracle.takeBackup()
		}
		s.after(s.between(0, every), s.Restore)
		s.restoreOften(every)
	})
}

// scenarios are the kinds of trouble, by name.
func scenarios() map[string]Options {
	return map[string]Options{
		// The READY of a session whose connection broke at once is committed
		// after that of the next session, under the same epoch: it must not
		// bring the first one back, whose events the second has reported.
		"late ready": {
			Tune: func(k *Knobs) {
				k.Limbo, k.Loss, k.Window, k.Faults, k.Refuse, k.Freeze = 1, 0.5, 30*time.Second, 0, 0, 0
			},
			Script: func(s *Sim) { s.cutReadies(0.5) },
		},
		// Discord withholds events of a replay while a batch that was read
		// before is still on its way.
		"withheld replay": {
			Tune:   func(k *Knobs) { k.Truncate, k.Limbo, k.Latency = 0.9, 0.5, 100*time.Millisecond },
			Script: func(s *Sim) { s.cutOften(300 * time.Millisecond) },
		},
		// Everything is restored again and again, so that epochs, positions
		// and permits rewind under what is on its way.
		"restores": {
			Tune:   func(k *Knobs) { k.Restore, k.Limbo = true, 0.3 },
			Script: func(s *Sim) { s.restoreOften(1500 * time.Millisecond) },
		},
		// No identifies are left when a session is lost; Discord gives new
		// ones later.
		"exhausted": {Tune: func(k *Knobs) { k.Budget, k.Window = 1, 500*time.Millisecond }},
		// One node never reaches Discord again, whatever else happens: the shards
		// come to rest on the others.
		"unplugged": {
			Tune: func(k *Knobs) { k.Unplugged, k.Idle = "b", false },
			Script: func(s *Sim) {
				s.after(s.between(0, s.knobs.Chaos), func() { s.Unplug("b", time.Hour) })
			},
		},
		// Every second RESUME or IDENTIFY is never answered.
		"no answer": {Tune: func(k *Knobs) { k.Swallow = 0.5 }},
		// Nodes freeze between a decision and what they write.
		"freezes": {Tune: func(k *Knobs) { k.Freeze, k.Faults = 0.2, 10 }},
		// An operator disconnects and connects again and again, while nodes die
		// in the middle of handlers.
		"by hand": {
			Tune:   func(k *Knobs) { k.Run, k.Faults, k.Limbo = 400*time.Millisecond, 8, 0.2 },
			Script: func(s *Sim) { s.disconnectOften(700 * time.Millisecond) },
		},
		// Clients of the proxy whose connections break, and whose sessions the
		// journal, a gap, a restore or an operator ends.
		"clients": {
			Tune: func(k *Knobs) { k.Clients, k.Slow, k.Faults, k.Restore = 2, 300*time.Millisecond, 8, true },
			Script: func(s *Sim) {
				s.restoreOften(2 * time.Second)
				s.disconnectOften(1500 * time.Millisecond)
			},
		},
		// Clients' sessions end by the rights of their key, while what opened
		// them is still on its way once more.
		"late open": {
			Tune: func(k *Knobs) {
				k.Clients, k.Dup, k.Limbo, k.Rules = 2, 0.7, 0.7, false
			},
			Script: func(s *Sim) { s.rekeyOften(400 * time.Millisecond) },
		},
		// Holders of a lock freeze and die, and everything that they have written is
		// on its way for long.
		"locks": {Tune: func(k *Knobs) {
			k.Store, k.Limbo, k.Freeze, k.Dup, k.Faults, k.Loss = true, 0.5, 0.2, 0.3, 8, 0.2
		}},
		// The rules are raised in the middle of everything.
		"rules": {Tune: func(k *Knobs) { k.Rules, k.Clients, k.Ticks, k.Store, k.Restore = true, 1, true, true, true }},
		// Votes split, and leaders are deposed that go on proposing.
		"elections": {
			Tune:   func(k *Knobs) { k.SplitVote, k.Ticks, k.Faults = 0.5, true, 3 },
			Script: func(s *Sim) { s.electOften(500 * time.Millisecond) },
		},
		// Handlers fail and fight for one key while shards move.
		"contention": {Tune: func(k *Knobs) { k.FailRate, k.KVRate, k.TwoRate, k.Faults = 0.3, 0.9, 0.5, 10 }},
	}
}

package shard

import (
	"fmt"
	"time"

	"github.com/botnode/botnode/fsm"
)

// Schedule is a handler that is run at times instead of for events.
type Schedule struct {
	// Name of the handler, and of the schedule in the cluster.
	Name string
	// Due returns the latest time of the schedule that is after one and not
	// after the other, if there is any: what was missed is not made up for.
	Due func(after, until time.Time) (time.Time, bool)
}

// chores plans what a leader does by the clock on the wall: ticks of schedules,
// and the removal of keys and of clients' sessions whose time has come. The lock is held.
func (l *leaderLoop) chores(wall time.Time) {
	l.m.o.Machine.View(func(_ uint64, s *fsm.State) {
		for _, name := range s.BotNames() {
			b := s.Bot(name)
			if at, ok := b.NextExpiry(); ok && at <= wall.UnixMilli() {
				// Another key for each step: of many keys one command removes a part.
				step := fmt.Sprintf("expire %s %d %d", name, at, b.KVLen())
				l.leader.propose(l.m.now(), s, step, &fsm.Expire{Bot: name, Now: wall.UnixMilli()})
			}
			if at, ok := b.NextClientExpiry(); ok && at <= wall.UnixMilli() {
				step := fmt.Sprintf("expire clients %s %d", name, at)
				l.leader.propose(l.m.now(), s, step, &fsm.ExpireClients{Bot: name, Now: wall.UnixMilli()})
			}
			if bot := l.m.bots[name]; bot != nil && b.Serves() {
				for _, sched := range bot.Schedules {
					l.leader.tick(l.m.now(), wall, s, b, sched)
				}
			}
		}
	})
}

// tick proposes the newest time of a schedule, if that has not had its entry.
func (l *Leader) tick(now Time, wall time.Time, s *fsm.State, b *fsm.Bot, sched Schedule) {
	cmd := &fsm.Tick{Bot: b.Name, Name: sched.Name, Due: wall.UnixMilli(), At: wall.UnixMilli()}
	if last, known := b.LastTick(sched.Name); known {
		due, ok := sched.Due(time.UnixMilli(last), wall)
		if !ok {
			return
		}
		cmd.Due = due.UnixMilli()
	}
	// The first tick only marks where the schedule begins: see fsm.Tick.
	l.propose(now, s, "tick "+b.Name+"/"+sched.Name, cmd)
}

// planLocks takes locks from processes that are silent. One that is dead has
// lost them by its Down.
func (l *Leader) planLocks(now Time, s *fsm.State, b *fsm.Bot, live map[string]liveNode) {
	b.Locks(func(name string, lock fsm.LockState) {
		n, ok := live[lock.Holder.ID]
		if (!ok || n.ref != lock.Holder) && l.silent(lock.Holder, now) {
			l.propose(now, s, "unlock "+b.Name+"/"+name, &fsm.Unlock{Bot: b.Name, Name: name, Fence: lock.Fence})
		}
	})
}

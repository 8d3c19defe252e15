package shard

import (
	"maps"

	"github.com/botnode/botnode/fsm"
)

// maxRescues bounds the planned moves under way of a bot's shards that leave nodes
// which don't reach Discord. Each is a connection of the target, which is not limited
// as IDENTIFYs are.
const maxRescues = 16

// maxRelapses bounds how often the time for which a node is avoided is doubled.
const maxRelapses = 2

// stranding is an owner's word that it comes to no HELLO.
type stranding struct {
	by    fsm.NodeRef
	epoch uint64
	at    Time
}

// avoider is a node as a bot's shards find it: another bot may have another
// address, or no token there.
type avoider struct {
	bot string
	ref fsm.NodeRef
}

// avoidance is the time for which a node gets no shards where there is a choice.
type avoidance struct {
	failed Time // until then since it came to no HELLO as a target
	lost   Time // until then since shards were taken from it
	times  int  // that shards were taken from it because it didn't reach Discord
}

// Stranded takes an owner's word that it doesn't reach Discord for a shard. The
// shard is moved as by plan, so only after another node has come to HELLO: in an
// outage of Discord everything stays where it is.
func (l *Leader) Stranded(now Time, by fsm.NodeRef, bot string, k fsm.ShardKey, epoch uint64) {
	l.stranded[shardID{bot, k}] = stranding{by: by, epoch: epoch, at: now}
}

// isStranded reports whether a shard's owner says so and another node may do
// better. One that has stopped saying it is connected: nothing begins for its
// last word, which it is avoided for a while longer.
func (l *Leader) isStranded(b *fsm.Bot, sh fsm.Shard) bool {
	return l.detours && l.says(b, sh) && l.planned < l.stranded[shardID{b.Name, sh.Key}].at+l.Timing.Ask*3/2
}

// says reports whether the word of a shard's owner is in force.
func (l *Leader) says(b *fsm.Bot, sh fsm.Shard) bool {
	w, ok := l.stranded[shardID{b.Name, sh.Key}]
	return ok && w.by == sh.Owner && w.epoch == sh.Epoch
}

// triedAgain has an owner dial once more, however long it would wait for that, and
// reports whether it has said since that it doesn't reach Discord.
func (l *Leader) triedAgain(now Time, b *fsm.Bot, sh fsm.Shard, m *move) bool {
	if m.tried == 0 {
		m.tried = max(now, 1)
		l.out = append(l.out, TryAgain{Bot: b.Name, Shard: sh.Key, Epoch: sh.Epoch, To: sh.Owner})
	}
	return l.stranded[shardID{b.Name, sh.Key}].at >= m.tried+2*l.Timing.Ask
}

// forget drops words that are void and times that are long over.
func (l *Leader) forget(now Time) {
	for id, w := range l.stranded {
		if now >= w.at+4*l.Timing.Ask {
			delete(l.stranded, id)
		}
	}
	for k, a := range l.avoid {
		if now >= max(a.failed, a.lost)+settled {
			delete(l.avoid, k)
		}
	}
}

// planAvoided works out which targets are avoided for a bot's shards: those that
// have just shown that they don't connect them, and those that have lost some, as
// long as there are others. If no target is left the fault is Discord's.
func (l *Leader) planAvoided(now Time, bot string, live map[string]liveNode) {
	failing, lost := make(map[string]bool), make(map[string]bool)
	note := func(in map[string]bool, ref fsm.NodeRef) {
		if live[ref.ID].ref == ref {
			in[ref.ID] = true
		}
	}
	for id, w := range l.stranded {
		if id.bot == bot {
			note(failing, w.by)
		}
	}
	for k, a := range l.avoid {
		if k.bot == bot && now < a.failed {
			note(failing, k.ref)
		}
		if k.bot == bot && now < a.lost {
			note(lost, k.ref)
		}
	}
	maps.Copy(lost, failing)
	l.avoided, l.detours = make(map[string]bool), false
	for _, avoided := range []map[string]bool{failing, lost} {
		for id, n := range live {
			if n.target && !avoided[id] {
				l.avoided, l.detours = avoided, true
			}
		}
	}
}

// capped bounds what avoided targets may have to what they have, and what an
// operator wants them to have.
func (l *Leader) capped(placed []Placed, targets []Target) []Target {
	for i, t := range targets {
		if !l.avoided[t.ID] {
			continue
		}
		has := 0
		for _, p := range placed {
			if p.Node == t.ID || p.Pin == t.ID {
				has++
			}
		}
		if t.Room < 0 || t.Room > has {
			targets[i].Room = has
		}
	}
	return targets
}

// leftOver gives what want has no node for to avoided ones: better than none.
func leftOver(placed []Placed, want []string, targets []Target, keep bool) {
	var left []Placed
	var at []int
	for i, id := range want {
		if id == "" {
			left, at = append(left, placed[i]), append(at, i)
		}
	}
	for i, t := range targets {
		for _, id := range want {
			if id == t.ID && t.Room >= 0 {
				targets[i].Room = max(targets[i].Room-1, 0)
			}
		}
	}
	for i, id := range Place(left, targets, keep) {
		want[at[i]] = id
	}
}

// moved notes that a planned move was granted. One away from a node that didn't
// reach Discord shows that another one does.
func (l *Leader) moved(now Time, bot string, m *move) {
	if !m.rescue {
		return
	}
	a := l.avoid[avoider{bot, m.from}]
	if now >= a.lost {
		a.times++ // shards of one outage count once
	}
	a.lost = now + l.Timing.Avoid<<min(a.times-1, maxRelapses)
	l.avoid[avoider{bot, m.from}] = a
}

// failed notes that the target of a planned move did not come to HELLO in time.
func (l *Leader) failed(now Time, bot string, m *move) {
	if m.phase != announced {
		return // the owner's permit was waited for
	}
	a := l.avoid[avoider{bot, m.to}]
	a.failed = now + l.Timing.Avoid
	l.avoid[avoider{bot, m.to}] = a
}

package shard

import (
	"github.com/botnode/botnode/fsm"
)

// maxRescues bounds the planned moves under way while shards leave nodes that
// don't reach Discord. Each is a connection of the target, which is not limited
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

// avoidance is the time for which a node gets no shards where there is a choice.
type avoidance struct {
	until Time
	times int // that shards were taken from it because it didn't reach Discord
}

// Stranded takes an owner's word that it doesn't reach Discord for a shard. The
// shard is moved as by plan, so only after another node has come to HELLO: in an
// outage of Discord everything stays where it is.
func (l *Leader) Stranded(now Time, by fsm.NodeRef, bot string, k fsm.ShardKey, epoch uint64) {
	l.stranded[shardID{bot, k}] = stranding{by: by, epoch: epoch, at: now}
}

// isStranded reports whether a shard's owner has said so of late, and another
// node may do better.
func (l *Leader) isStranded(b *fsm.Bot, sh fsm.Shard) bool {
	w, ok := l.stranded[shardID{b.Name, sh.Key}]
	return l.detours && ok && w.by == sh.Owner && w.epoch == sh.Epoch
}

// planAvoided works out which targets are avoided. If that are all of them, the
// fault is Discord's.
func (l *Leader) planAvoided(now Time, live map[string]liveNode) {
	l.avoided = make(map[string]bool)
	note := func(ref fsm.NodeRef) {
		if live[ref.ID].ref == ref {
			l.avoided[ref.ID] = true
		}
	}
	for id, w := range l.stranded {
		if now >= w.at+4*l.Timing.Ask {
			delete(l.stranded, id)
			continue
		}
		note(w.by)
	}
	for ref, a := range l.avoid {
		switch {
		case now >= a.until+settled:
			delete(l.avoid, ref)
		case now < a.until:
			note(ref)
		}
	}
	l.detours = false
	for id, n := range live {
		l.detours = l.detours || n.target && !l.avoided[id]
	}
	if !l.detours {
		clear(l.avoided)
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

// moved notes that a planned move was granted. One away from a node that didn't
// reach Discord shows that another one does.
func (l *Leader) moved(now Time, m *move) {
	if m.why != fsm.WhyFailover {
		return
	}
	a := l.avoid[m.from]
	if now >= a.until || a.times == 0 {
		a.times++ // shards of one outage count once
	}
	a.until = now + l.Timing.Avoid<<min(a.times-1, maxRelapses)
	l.avoid[m.from] = a
}

// failed notes that the target of a planned move did not come to HELLO in time.
func (l *Leader) failed(now Time, m *move) {
	if m.phase != announced {
		return // the owner's permit was waited for
	}
	a := l.avoid[m.to]
	a.until = max(a.until, now+l.Timing.Avoid)
	l.avoid[m.to] = a
}

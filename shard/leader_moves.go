package shard

import (
	"errors"

	"github.com/botnode/botnode/fsm"
)

// ErrUnknownShard means that the bot has no such shard.
var ErrUnknownShard = errors.New("no such shard")

// movePhase is how far a planned move has come.
type movePhase uint8

const (
	announced movePhase = iota // the target connects up to HELLO
	granting                   // the Grant is proposed
	draining                   // the old owner finishes its entries
)

// move is a planned move of one shard.
type move struct {
	to    fsm.NodeRef
	from  fsm.NodeRef
	epoch uint64 // that the Grant brings
	why   fsm.Why
	phase movePhase
	since Time
	told  Time // when it was last announced

	rescue bool // the owner doesn't reach Discord
	tried  Time // when it was asked to dial once more, 0 for not yet
}

// start begins a planned move. It is done when the applied state says so.
func (l *Leader) start(now Time, b *fsm.Bot, sh fsm.Shard, to fsm.NodeRef, why fsm.Why, rescue bool) {
	l.moves[shardID{b.Name, sh.Key}] = &move{
		to: to, from: sh.Owner, epoch: sh.Epoch + 1, why: why, since: now, told: now, rescue: rescue,
	}
	l.out = append(l.out, Announce{Bot: b.Name, Shard: sh.Key, Epoch: sh.Epoch + 1, To: to})
}

// Moving reports whether a planned move of a shard has not been granted yet.
func (l *Leader) Moving(bot string, k fsm.ShardKey) bool {
	m := l.moves[shardID{bot, k}]
	return m != nil && m.phase != draining
}

// Prepared takes a target's word that its connection has its HELLO.
func (l *Leader) Prepared(bot string, k fsm.ShardKey, epoch uint64) {
	if m := l.moves[shardID{bot, k}]; m != nil && m.epoch == epoch && m.phase == announced {
		m.phase = granting
	}
}

// planMoves drives the planned moves of a bot on.
func (l *Leader) planMoves(now Time, s *fsm.State, b *fsm.Bot, live map[string]liveNode) {
	for _, sh := range b.Shards() {
		id := shardID{b.Name, sh.Key}
		m := l.moves[id]
		if m == nil {
			continue
		}
		l.planMove(now, s, b, sh, m, live)
	}
}

func (l *Leader) planMove(now Time, s *fsm.State, b *fsm.Bot, sh fsm.Shard, m *move, live map[string]liveNode) {
	id := shardID{b.Name, sh.Key}
	target, alive := live[m.to.ID]
	switch {
	case sh.Epoch >= m.epoch && sh.Owner != m.to:
		delete(l.moves, id) // something else happened to the shard
	case sh.Epoch >= m.epoch && m.phase != draining:
		m.phase, m.since = draining, now
		l.moved(now, b.Name, m)
	case m.phase == draining:
		if e := sh.Oldest(); e == nil || e.Runner == sh.Owner {
			delete(l.moves, id)
		}
	case !alive || target.ref != m.to:
		delete(l.moves, id)
	case m.rescue && !l.says(b, sh):
		delete(l.moves, id) // it has come to a connection
	case now >= m.since+l.Timing.Prepare:
		delete(l.moves, id) // the target can't connect: the shard stays where it is
		l.failed(now, b.Name, m)
	case m.phase == granting && identifies(b, sh):
		// Its READY would be of an epoch that is over, and what came in the session
		// lost with it. It takes a moment.
	case m.phase == granting && m.rescue && !l.triedAgain(now, b, sh, m):
		// Discord is reached. At the end of an outage the owner reaches it, too, once
		// it dials, and keeps its shard.
	case m.phase == granting:
		l.propose(now, s, shardTask("move", b, sh), &fsm.Grant{
			Bot: b.Name, Shard: sh.Key, Epoch: m.epoch - 1, To: m.to, Why: m.why, From: m.from,
		})
	case now >= m.told+l.Timing.Ask:
		m.told = now
		l.out = append(l.out, Announce{Bot: b.Name, Shard: sh.Key, Epoch: m.epoch, To: m.to})
	}
}

// identifies reports whether a shard's owner has a permit that it has not
// reported back: it may have begun a session that isn't committed yet.
func identifies(b *fsm.Bot, sh fsm.Shard) bool {
	for _, key := range b.PermitKeys() {
		if p, held := b.Permit(key); held && p.Shard == sh.Key && p.Epoch == sh.Epoch {
			return true
		}
	}
	return false
}

package shard

import (
	"errors"

	"github.com/botnode/botnode/fsm"
)

// Errors of a planned move.
var (
	// ErrUnknownShard means that the bot has no such shard.
	ErrUnknownShard = errors.New("no such shard")
	// ErrNoTarget means that the target node is not up, or is draining.
	ErrNoTarget = errors.New("the target node is not alive, or is draining")
	// ErrNoOwner means that the shard has no owner to move it from.
	ErrNoOwner = errors.New("the shard has no owner yet; it will be placed by itself")
	// ErrDisconnected means that an operator has disconnected the shard.
	ErrDisconnected = errors.New("the shard is disconnected: `botnode shard connect` says where it goes")
)

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
}

// Move begins a planned move. It is done when the applied state says so.
func (l *Leader) Move(now Time, s *fsm.State, bot string, k fsm.ShardKey, to string, why fsm.Why) error {
	b := s.Bot(bot)
	if b == nil {
		return ErrUnknownShard
	}
	sh, ok := b.Shard(k)
	if !ok {
		return ErrUnknownShard
	}
	n, ok := s.Node(to)
	ref := fsm.NodeRef{ID: to, Inc: n.Inc}
	if !ok || !n.Up || n.Draining || l.killed[ref] || l.leaving[ref] || l.silent(ref, now) {
		return ErrNoTarget
	}
	if sh.Parked {
		return ErrDisconnected
	}
	if sh.Owner.None() {
		return ErrNoOwner
	}
	if sh.Owner == ref {
		return nil
	}
	l.start(now, b, sh, ref, why)
	return nil
}

func (l *Leader) start(now Time, b *fsm.Bot, sh fsm.Shard, to fsm.NodeRef, why fsm.Why) {
	l.moves[shardID{b.Name, sh.Key}] = &move{
		to: to, from: sh.Owner, epoch: sh.Epoch + 1, why: why, since: now, told: now,
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

// even starts a move that evens the load or empties a draining node, unless
// enough are under way.
func (l *Leader) even(now Time, b *fsm.Bot, sh fsm.Shard, from, to liveNode) {
	id := shardID{b.Name, sh.Key}
	if l.moves[id] != nil && l.moves[id].phase != draining {
		return
	}
	if sh.SID == "" && from.target {
		return // let it get its session where it is
	}
	if from.target && !to.stable {
		return // a node that has only just come may go again
	}
	active := 0
	for _, m := range l.moves {
		if m.phase != draining {
			active++
		}
	}
	if active < l.MaxMoves {
		l.start(now, b, sh, to.ref, fsm.WhyHandoff)
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
	case m.phase == draining:
		if e := sh.Oldest(); e == nil || e.Runner == sh.Owner {
			delete(l.moves, id)
		}
	case !alive || target.ref != m.to || now >= m.since+l.Timing.Prepare:
		delete(l.moves, id) // the target can't connect: the shard stays where it is
	case m.phase == granting:
		l.propose(now, s, shardTask("move", b, sh), &fsm.Grant{
			Bot: b.Name, Shard: sh.Key, Epoch: m.epoch - 1, To: m.to, Why: m.why, From: m.from,
		})
	case now >= m.told+l.Timing.Ask:
		m.told = now
		l.out = append(l.out, Announce{Bot: b.Name, Shard: sh.Key, Epoch: m.epoch, To: m.to})
	}
}

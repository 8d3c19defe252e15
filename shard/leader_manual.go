package shard

import "github.com/botnode/botnode/fsm"

// byHand reports whether a bot's shards are connected by an operator.
func byHand(b *fsm.Bot) bool { return b.Config.Shards == "manual" }

// planParked looks after the entries of a shard that an operator has
// disconnected: they end where they run. Those whose runner is gone go to another
// node, since nothing says when the shard is connected again.
func (l *Leader) planParked(now Time, s *fsm.State, b *fsm.Bot, sh fsm.Shard, where fsm.Placement, live map[string]liveNode) {
	delete(l.moves, shardID{b.Name, sh.Key})
	e := sh.Oldest()
	if e == nil {
		return
	}
	if n, ok := live[e.Runner.ID]; ok && n.ref == e.Runner {
		return
	}
	to := Place([]Placed{{Bot: b.Name, Index: sh.Key.Index}}, l.targets(b, where, live), false)[0]
	if to == "" {
		return
	}
	l.propose(now, s, shardTask("entries", b, sh), &fsm.Grant{
		Bot: b.Name, Shard: sh.Key, Epoch: sh.Epoch, To: live[to].ref, Adopt: true, Why: fsm.WhyFailover, From: e.Runner,
	})
}

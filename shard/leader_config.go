package shard

import (
	"fmt"

	"github.com/botnode/botnode/fsm"
)

// planSessions carries a change of intents out: Discord takes intents with
// IDENTIFY alone, so every session that was begun with others is replaced, one
// at a time. The next one waits until the one before has its READY, so that
// intents which Discord refuses cost one shard its session and not all.
func (l *Leader) planSessions(now Time, s *fsm.State, b *fsm.Bot, live map[string]liveNode) {
	var next fsm.Shard
	for _, sh := range b.Shards() {
		switch {
		case sh.Parked: // its session is another's business
		case sh.Planned, sh.SID == "" && !sh.Owner.None():
			return // that one first
		case sh.SID == "" || sh.Intents == b.Config.Intents || next.SID != "":
		case l.moves[shardID{b.Name, sh.Key}] != nil || live[sh.Owner.ID].ref != sh.Owner:
		default:
			next = sh
		}
	}
	if next.SID != "" && l.mayIdentify(now, s, b, next.Key) {
		l.propose(now, s, shardTask("reidentify", b, next)+" "+next.SID, &fsm.Reidentify{
			Bot: b.Name, Shard: next.Key, Epoch: next.Epoch, SID: next.SID,
		})
	}
}

// mayIdentify reports whether a shard that asks for a permit gets it at once: a
// session that is ended on purpose is not to wait for its successor.
func (l *Leader) mayIdentify(now Time, s *fsm.State, b *fsm.Bot, k fsm.ShardKey) bool {
	key := identifyKey(b, k)
	ks := l.key(permitKey{b.Name, key})
	if _, held := b.Permit(key); held || ks.used || len(ks.asks) > 0 || now < l.freeAt(s, b, key, ks) {
		return false
	}
	return l.withinBudget(now, b)
}

// withinBudget reports whether session starts are left for use, and has the
// budget read where that isn't known.
func (l *Leader) withinBudget(now Time, b *fsm.Bot) bool {
	if !l.budgets[b.Name] {
		l.WantBudget(now, b.Name)
		return false
	}
	if b.Budget.Remaining > b.Config.IdentifyReserve {
		return true
	}
	// Discord gives new ones once a day, which nothing but its answer tells.
	if now >= l.asked[b.Name]+exhaustedEvery {
		l.WantBudget(now, b.Name)
	}
	return false
}

// sweepObjects is how many cached objects one command looks at after a change of
// cache policies: a few milliseconds of each node's time.
const sweepObjects = 1000

// planSweep has the next step of a change of cache policies taken.
func (l *Leader) planSweep(now Time, s *fsm.State, b *fsm.Bot) {
	if b.Cache().Sweeping() {
		l.propose(now, s, fmt.Sprintf("sweep %s %d", b.Name, b.Sweeps), &fsm.Sweep{Bot: b.Name, Step: b.Sweeps, Most: sweepObjects})
	}
}

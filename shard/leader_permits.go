package shard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/botnode/botnode/fsm"
)

// keyState is what a leader knows of one identify key.
type keyState struct {
	free   Time             // the next permit not before; moves on with every use seen
	holder fsm.PermitHolder // as last seen
	since  Time             // when the holder was first seen
	used   bool             // it was not seen cleared yet
	asks   []permitAsk
}

type permitAsk struct {
	shard fsm.ShardKey
	epoch uint64
	ask   uint64
	at    Time
}

// budgetEvery is how long an unused answer about the budget stands before
// it is read again.
const budgetEvery = 2 * time.Second

// exhaustedEvery is how often the budget is read while it is used up.
const exhaustedEvery = 20 * time.Second

// sharedEvery is how long the budget stands of a bot that others identify, too.
const sharedEvery = 30 * time.Second

// shared reports whether other clusters may have shards of the bot, and so may
// use up its session starts: all have one budget at Discord.
func shared(b *fsm.Bot) bool { return byHand(b) || strings.Contains(b.Config.Shards, "/") }

// AskedPermit takes an owner's request for an identify permit.
func (l *Leader) AskedPermit(now Time, bot string, key uint32, k fsm.ShardKey, epoch, ask uint64) {
	ks := l.key(permitKey{bot, key})
	ks.asks = slices.DeleteFunc(ks.asks, func(a permitAsk) bool { return a.shard == k })
	ks.asks = append(ks.asks, permitAsk{shard: k, epoch: epoch, ask: ask, at: now})
}

// BudgetRead says that the bot's session start limit was read in this term
// and is being proposed.
func (l *Leader) BudgetRead(bot string) { l.budgets[bot] = true }

func (l *Leader) key(k permitKey) *keyState {
	ks := l.keys[k]
	if ks == nil {
		// At the beginning of a term every key counts as just used.
		ks = &keyState{free: l.Established + l.Timing.Identify}
		l.keys[k] = ks
	}
	return ks
}

// planPermits paces the identifies of a bot: one permit a key, the next one
// the identify interval after the last was seen cleared.
func (l *Leader) planPermits(now Time, s *fsm.State, b *fsm.Bot) {
	for _, key := range b.PermitKeys() {
		holder, held := b.Permit(key)
		ks := l.key(permitKey{b.Name, key})
		if ks.holder != holder {
			ks.holder, ks.since, ks.used = holder, now, true
		}
		if held && now >= ks.since+l.Timing.Permit+l.Timing.Identify {
			l.propose(now, s, fmt.Sprintf("clear %s %d %d", b.Name, key, holder.Ask), &fsm.Clear{
				Bot: b.Name, Shard: holder.Shard, Epoch: holder.Epoch, Key: key, Ask: holder.Ask,
			})
		}
	}
	for _, key := range l.askedKeys(b.Name) {
		l.planKey(now, s, b, key, l.keys[permitKey{b.Name, key}])
	}
}

// turn orders the shards of a key from the one after its last holder on, so
// that one which never gets its session doesn't keep the others from theirs.
func turn(k fsm.ShardKey, last fsm.PermitHolder) uint32 {
	if last.Epoch > 0 && k.Index <= last.Shard.Index {
		return k.Index + fsm.MaxShards
	}
	return k.Index
}

// freeAt returns when a key may be permitted again.
func (l *Leader) freeAt(s *fsm.State, b *fsm.Bot, key uint32, ks *keyState) Time {
	if s.Generation > 1 {
		// What was restored may not know of the last permit, and a node that
		// has not applied the restore may yet use it.
		return max(ks.free, max(l.Established, l.renewed)+l.Timing.Permit+l.Timing.Identify)
	}
	if !slices.Contains(b.PermitKeys(), key) {
		return 0 // a key that was never permitted can't have been used
	}
	return ks.free
}

// askedKeys lists the keys of a bot that somebody waits for, in order.
func (l *Leader) askedKeys(bot string) []uint32 {
	var keys []uint32
	for id, ks := range l.keys {
		if id.bot == bot && (len(ks.asks) > 0 || ks.used) {
			keys = append(keys, id.key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (l *Leader) planKey(now Time, s *fsm.State, b *fsm.Bot, key uint32, ks *keyState) {
	if _, held := b.Permit(key); held {
		return
	}
	if ks.used {
		ks.used, ks.free = false, now+l.Timing.Identify
	}
	ks.asks = slices.DeleteFunc(ks.asks, func(a permitAsk) bool {
		sh, ok := b.Shard(a.shard)
		return !ok || sh.Epoch != a.epoch || sh.SID != "" || now >= a.at+l.Timing.Permit ||
			identifyKey(b, a.shard) != key
	})
	if len(ks.asks) == 0 {
		return
	}
	if shared(b) && now >= l.asked[b.Name]+sharedEvery {
		delete(l.budgets, b.Name)
	}
	if !l.withinBudget(now, b) {
		return
	}
	if now < l.freeAt(s, b, key, ks) {
		return
	}
	first := slices.MinFunc(ks.asks, func(x, y permitAsk) int {
		return cmp.Compare(turn(x.shard, ks.holder), turn(y.shard, ks.holder))
	})
	l.propose(now, s, fmt.Sprintf("permit %s %d", b.Name, key), &fsm.Permit{
		Bot: b.Name, Shard: first.shard, Epoch: first.epoch, Key: key, Ask: first.ask,
	})
}

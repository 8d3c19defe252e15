package shard

import (
	"testing"
	"time"

	"github.com/botnode/botnode/fsm"
)

// newRunningBench is a bench of two nodes that are on record as running the bot.
func newRunningBench(t *testing.T, shards uint32) *leaderBench {
	b := newLeaderBench(t, shards, "a", "b")
	b.settle()
	b.pass(200 * time.Millisecond)
	b.settle()
	return b
}

// disconnect applies an operator's disconnect of a shard.
func (b *leaderBench) disconnect(k uint32) {
	sh := b.shard(k)
	b.apply(&fsm.Disconnect{Bot: testBot, Shard: sh.Key, Epoch: sh.Epoch})
}

// connect applies an operator's connect.
func (b *leaderBench) connect(k uint32, to fsm.NodeRef) {
	sh := b.shard(k)
	b.apply(&fsm.Connect{Bot: testBot, Shard: sh.Key, Epoch: sh.Epoch, To: to})
}

func TestLeaderLeavesParkedShardsAlone(t *testing.T) {
	b := newRunningBench(t, 2)
	b.disconnect(0)
	for range 20 {
		b.pass(200 * time.Millisecond)
		if out := b.settle(); len(out) > 0 {
			t.Fatalf("a parked shard makes the leader do %v", out)
		}
	}
	b.pin(0, "a")
	if out := b.settle(); len(out) > 0 {
		t.Errorf("a parked shard is moved: %v", out)
	}
	// The next leader and one after the death of a node don't either.
	b.l = NewLeader(b.l.Timing, b.now)
	b.l.Killed(b.nodes[0])
	b.settle()
	if sh := b.shard(0); !sh.Parked || !sh.Owner.None() {
		t.Fatalf("after a death it is %+v", sh)
	}
	b.connect(0, fsm.NodeRef{})
	g := proposals[*fsm.Grant](b.settle())
	if len(g) != 1 || g[0].To != b.nodes[1] || g[0].Why != fsm.WhyNormal || b.shard(0).Owner != b.nodes[1] {
		t.Fatalf("connected, it is granted %+v", g)
	}
}

// A parked shard counts for nobody's share of the load.
func TestLeaderPlacesWithoutParkedShards(t *testing.T) {
	b := newRunningBench(t, 2)
	for k := range uint32(2) {
		if sh := b.shard(k); sh.Owner.ID == "a" {
			b.disconnect(k)
		}
	}
	b.pass(10 * time.Second)
	if out := b.settle(); len(out) > 0 {
		t.Errorf("one shard on two nodes: %v", out)
	}
}

func TestLeaderGivesEntriesOfParkedShardsAway(t *testing.T) {
	b := newRunningBench(t, 1)
	b.session(0)
	runner := b.shard(0).Owner
	b.disconnect(0)
	for range 40 * 5 { // longer than a planned move may drain
		b.pass(200 * time.Millisecond)
		if out := b.settle(); len(out) > 0 {
			t.Fatalf("its runner lives and has the entry, and the leader does %v", out)
		}
	}
	b.l.Killed(runner)
	g := proposals[*fsm.Grant](b.settle())
	to := other(b, runner)
	sh := b.shard(0)
	if len(g) != 1 || !sh.Parked || !sh.Owner.None() || b.oldest(0) != to {
		t.Fatalf("after the death of the runner: %+v; parked %v, owner %v, runner %v", g, sh.Parked, sh.Owner, b.oldest(0))
	}
}

// TestLeaderConnectLeavesRunningEntries connects a shard while the node that
// had it is still in the middle of a handler.
func TestLeaderConnectLeavesRunningEntries(t *testing.T) {
	b := newRunningBench(t, 1)
	b.session(0)
	runner := b.shard(0).Owner
	b.disconnect(0)
	b.connect(0, other(b, runner))
	b.settle()
	if b.oldest(0) != runner {
		t.Errorf("the entry is with %v, it ran at %v", b.oldest(0), runner)
	}
	b.connectAgain(0)
	if b.oldest(0) != runner {
		t.Errorf("without a target, the entry is with %v, it ran at %v", b.oldest(0), runner)
	}
}

func (b *leaderBench) connectAgain(k uint32) {
	b.t.Helper()
	b.disconnect(k)
	b.connect(k, fsm.NodeRef{})
	if g := proposals[*fsm.Grant](b.settle()); len(g) != 1 {
		b.t.Fatalf("granted %d times", len(g))
	}
}

func TestLeaderDisconnectEndsAMove(t *testing.T) {
	b := newRunningBench(t, 1)
	b.session(0)
	from := b.shard(0).Owner
	b.pin(0, other(b, from).ID)
	b.settle()
	epoch := b.shard(0).Epoch + 1
	b.disconnect(0)
	b.l.Prepared(testBot, b.shard(0).Key, epoch)
	if g := proposals[*fsm.Grant](b.settle()); len(g) > 0 {
		t.Errorf("the move goes on: %+v", g)
	}
	if b.l.Moving(testBot, b.shard(0).Key) {
		t.Error("a parked shard is moving")
	}
}

// TestLeaderByHand: with shards that an operator connects, nothing is evened,
// but a death and a drain are still answered.
func TestLeaderByHand(t *testing.T) {
	b := newLeaderBench(t, 2, "a", "b")
	b.apply(&fsm.Configure{Bot: "m", Config: []byte(`{"shards":"manual","identify_reserve":0}`)})
	a := b.nodes[0]
	for k := range uint32(2) {
		b.apply(&fsm.Connect{Bot: "m", Shard: fsm.ShardKey{Layout: 4, Index: k}, To: a})
	}
	owners := func() (out []string) {
		b.m.View(func(_ uint64, s *fsm.State) {
			for _, sh := range s.Bot("m").Shards() {
				out = append(out, sh.Owner.ID)
			}
		})
		return out
	}
	for range 30 {
		b.pass(200 * time.Millisecond)
		for _, a := range b.settle() {
			if an, ok := a.(Announce); ok && an.Bot == "m" {
				t.Fatalf("a shard that was placed by hand is moved: %+v", an)
			}
		}
	}
	b.l.Killed(a)
	if b.settle(); len(owners()) != 2 || owners()[0] != "b" || owners()[1] != "b" {
		t.Errorf("after the death of a: %v", owners())
	}
}

func TestLeaderReadsASharedBudgetAgain(t *testing.T) {
	for setting, want := range map[string]int{"manual": 1, "0-1/4": 1, "4": 0} {
		b := newLeaderBench(t, 1, "a")
		b.apply(&fsm.Configure{Bot: "m", Config: []byte(`{"shards":"` + setting + `","identify_reserve":0}`)},
			&fsm.Budget{Bot: "m", Budget: fsm.IdentifyBudget{Remaining: 5, Limit: 5, MaxConcurrency: 1}},
			&fsm.Connect{Bot: "m", Shard: fsm.ShardKey{Layout: 4}, To: b.nodes[0]})
		b.l.WantBudget(b.now, "m")
		b.l.BudgetRead("m")
		b.now += sharedEvery
		b.l.AskedPermit(b.now, "m", 0, fsm.ShardKey{Layout: 4}, 1, 1)
		reads := 0
		for _, a := range b.plan() {
			if r, ok := a.(ReadBudget); ok && r.Bot == "m" {
				reads++
			}
		}
		if reads != want {
			t.Errorf("%s: the budget is read again %d times before a permit, want %d", setting, reads, want)
		}
	}
}

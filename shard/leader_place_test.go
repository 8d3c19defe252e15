package shard

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/botnode/botnode/fsm"
)

// configure replaces the bot's configuration.
func (b *leaderBench) configure(json string) {
	b.t.Helper()
	var rev uint64
	b.m.View(func(_ uint64, s *fsm.State) { rev = s.Bot(testBot).ConfigRev })
	b.apply(&fsm.Configure{Bot: testBot, Rev: rev, Config: []byte(json)})
}

// boot starts a process of a node, again if it has run before.
func (b *leaderBench) boot(id string, weight, most uint32) fsm.NodeRef {
	b.t.Helper()
	i := slices.IndexFunc(b.nodes, func(ref fsm.NodeRef) bool { return ref.ID == id })
	if i < 0 {
		i = len(b.nodes)
		b.nodes = append(b.nodes, fsm.NodeRef{ID: id})
	}
	b.nodes[i].Inc++
	b.apply(&fsm.Up{Node: b.nodes[i], Weight: weight, MaxShards: most})
	return b.nodes[i]
}

// run lets time pass while every node is answered, targets of moves connect
// and new owners get sessions. It returns what the leader granted.
func (b *leaderBench) run(d time.Duration) (grants []*fsm.Grant) {
	b.t.Helper()
	for end := b.now + d; b.now < end; {
		b.pass(200 * time.Millisecond)
		acts := b.settle()
		for _, a := range acts {
			if a, ok := a.(Announce); ok {
				b.l.Prepared(a.Bot, a.Shard, a.Epoch)
			}
		}
		grants = append(grants, proposals[*fsm.Grant](append(acts, b.settle()...))...)
		b.sessions()
	}
	return grants
}

// sessions gives every shard that has none a session, and has every entry done.
func (b *leaderBench) sessions() {
	var done []fsm.Command
	b.m.View(func(_ uint64, s *fsm.State) {
		for e := range s.Bot(testBot).PendingEntries() {
			if !e.Runner.None() {
				done = append(done, &fsm.Done{Bot: testBot, Shard: e.Shard, Pos: e.Pos, Handler: "h", Runner: e.Runner})
			}
		}
	})
	b.apply(done...)
	var shards []fsm.Shard
	b.m.View(func(_ uint64, s *fsm.State) { shards = s.Bot(testBot).Shards() })
	for _, sh := range shards {
		if sh.SID == "" && !sh.Owner.None() {
			b.session(sh.Key.Index)
		}
	}
}

// owners returns who has each shard.
func (b *leaderBench) owners() (ids []string) {
	b.m.View(func(_ uint64, s *fsm.State) {
		for _, sh := range s.Bot(testBot).Shards() {
			ids = append(ids, sh.Owner.ID)
		}
	})
	return ids
}

func (b *leaderBench) wantOwners(what string, want ...string) {
	b.t.Helper()
	if got := b.owners(); !slices.Equal(got, want) {
		b.t.Errorf("%s: the shards are with %v, want %v", what, got, want)
	}
}

func TestLeaderLeavesAPinnedShardAlone(t *testing.T) {
	b := newLeaderBench(t, 2, "a", "b")
	b.run(time.Second)
	var away uint32
	for k := range uint32(2) {
		if b.shard(k).Owner.ID == "b" {
			away = k
		}
	}
	b.pin(away, "a")
	b.pin(1-away, "a")
	g := b.run(time.Second)
	b.wantOwners("pinned", "a", "a")
	if len(g) != 1 || g[0].Adopt || g[0].Why != fsm.WhyTakeover || g[0].From.ID != "b" {
		t.Errorf("%+v", g)
	}
	if g := b.run(time.Minute); len(g) > 0 {
		t.Errorf("what is pinned is moved: %+v", g[0])
	}
	b.pin(away, "")
	b.run(time.Minute)
	if l := loads(b.owners()); l["a"] != 1 || l["b"] != 1 {
		t.Errorf("freed, and not evened: %v", b.owners())
	}
}

// A pin holds for a process: the next one of that node gets nothing by it.
func TestLeaderForgetsThePinOfADeadProcess(t *testing.T) {
	b := newLeaderBench(t, 1, "a", "b")
	b.run(time.Second)
	from := b.shard(0).Owner
	to := other(b, from)
	b.pin(0, to.ID)
	b.run(time.Second)
	b.l.Killed(to)
	b.run(time.Second)
	b.wantOwners("its node is dead", from.ID)
	b.boot(to.ID, 1, 0)
	b.run(time.Minute)
	b.wantOwners("its node is back", from.ID)
}

func preferBench(t *testing.T, shards uint32, more string) *leaderBench {
	b := newLeaderBench(t, shards, "mike", "robert", "joe", "anna")
	b.configure(`{"identify_reserve":0,"placement":"prefer:joe,mike+robert"` + more + `}`)
	return b
}

func TestLeaderPrefersAndKeeps(t *testing.T) {
	b := preferBench(t, 4, "")
	b.run(time.Second)
	b.wantOwners("all live", "joe", "joe", "joe", "joe")
	b.l.Killed(b.nodes[2])
	for _, g := range b.run(time.Second) {
		if g.Why != fsm.WhyFailover || g.From.ID != "joe" || !g.Adopt {
			t.Errorf("%+v", g)
		}
	}
	if l := loads(b.owners()); l["mike"] != 2 || l["robert"] != 2 {
		t.Errorf("joe is dead: %v", b.owners())
	}
	b.boot("joe", 1, 0)
	if g := b.run(time.Minute); len(g) > 0 {
		t.Errorf("joe is back, without fail-back: %+v", g)
	}
	b.l.Killed(b.nodes[0])
	b.l.Killed(b.nodes[1])
	b.l.Killed(b.nodes[2])
	b.run(time.Second)
	b.wantOwners("none of those named lives", "anna", "anna", "anna", "anna")
}

func TestLeaderFailsBackWhenTheNodeIsStable(t *testing.T) {
	b := preferBench(t, 3, `,"failback":true,"failback_after_ms":10000`)
	b.run(time.Second)
	for i, after := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second} {
		b.l.Killed(b.nodes[2])
		b.run(time.Second)
		b.boot("joe", 1, 0)
		if g := b.run(after - time.Second); len(g) > 0 {
			t.Fatalf("fall %d: shards go back too early: %+v", i, g)
		}
		g := b.run(5 * time.Second)
		if len(g) != 3 {
			t.Fatalf("fall %d: %d grants after %v", i, len(g), after)
		}
		for _, g := range g {
			if g.Why != fsm.WhyTakeover || g.Adopt || g.To.ID != "joe" || g.From.ID != "mike" && g.From.ID != "robert" {
				t.Errorf("%+v", g)
			}
		}
		b.wantOwners("joe is back", "joe", "joe", "joe")
	}
	b.run(2 * settled)
	b.l.Killed(b.nodes[2])
	b.run(time.Second)
	b.boot("joe", 1, 0)
	b.run(15 * time.Second)
	b.wantOwners("after a long time, the damping is that of the first fall", "joe", "joe", "joe")
}

// A node that is silent for a moment has to be stable anew.
func TestLeaderFailsBackOnlyAfterAnUnbrokenTime(t *testing.T) {
	b := preferBench(t, 1, `,"failback":true,"failback_after_ms":4000`)
	b.l.Killed(b.nodes[2])
	b.run(time.Second)
	b.boot("joe", 1, 0)
	b.run(3 * time.Second)
	for range 10 {
		b.pass(200*time.Millisecond, "joe")
		b.settle()
	}
	if g := b.run(3 * time.Second); len(g) > 0 {
		t.Errorf("%+v", g)
	}
	b.run(10 * time.Second)
	b.wantOwners("stable", "joe")
}

func TestLeaderMovesTwoAtATime(t *testing.T) {
	b := newLeaderBench(t, 8, "a")
	b.run(time.Second)
	b.boot("b", 1, 0)
	most, begun := 0, 0
	for range 200 {
		b.pass(200 * time.Millisecond)
		for _, a := range b.settle() {
			if _, ok := a.(Announce); ok {
				begun++
			}
		}
		moving := 0
		for k := range uint32(8) {
			if b.l.Moving(testBot, b.shard(k).Key) {
				moving++
			}
		}
		most = max(most, moving)
		if moving == 2 {
			for k := range uint32(8) {
				b.l.Prepared(testBot, b.shard(k).Key, b.shard(k).Epoch+1)
			}
		}
		b.sessions()
	}
	if most != 2 || begun < 4 {
		t.Errorf("%d moves at a time, %d begun", most, begun)
	}
	if l := loads(b.owners()); l["a"] != 4 || l["b"] != 4 {
		t.Errorf("%v", b.owners())
	}
}

func TestLeaderWeightsAndLimits(t *testing.T) {
	b := newLeaderBench(t, 8)
	b.boot("big", 3, 0)
	b.boot("small", 1, 0)
	b.boot("idle", 0, 0)
	b.run(time.Second)
	if l := loads(b.owners()); l["big"] != 6 || l["small"] != 2 {
		t.Errorf("weights 3, 1 and 0: %v", b.owners())
	}
	b = newLeaderBench(t, 5)
	b.boot("a", 1, 1)
	b.boot("b", 1, 2)
	b.run(time.Second)
	if l := loads(b.owners()); l["a"] != 1 || l["b"] != 2 || l[""] != 2 {
		t.Errorf("limits 1 and 2: %v", b.owners())
	}
	b.boot("c", 1, 0)
	b.run(time.Second)
	if l := loads(b.owners()); l["a"] != 1 || l["b"] != 2 || l["c"] != 2 {
		t.Errorf("a third node has room: %v", b.owners())
	}
}

// A limit counts the shards of all bots.
func TestLeaderLimitIsSharedByBots(t *testing.T) {
	b := newLeaderBench(t, 2)
	b.apply(&fsm.Configure{Bot: "two", Config: []byte(`{}`)}, &fsm.Layout{Bot: "two", Total: 2, To: 1})
	b.boot("a", 1, 3)
	b.run(time.Second)
	n := 0
	b.m.View(func(_ uint64, s *fsm.State) {
		for _, name := range s.BotNames() {
			for _, sh := range s.Bot(name).Shards() {
				if !sh.Owner.None() {
					n++
				}
			}
		}
	})
	if n != 3 {
		t.Errorf("%d shards of two bots on a node for three", n)
	}
}

func TestLeaderDrainsAndFillsAgain(t *testing.T) {
	b := newLeaderBench(t, 4, "a", "b")
	b.run(time.Second)
	b.apply(&fsm.Drain{ID: "a", On: true})
	for _, g := range b.run(5 * time.Second) {
		if g.Why != fsm.WhyHandoff || g.Adopt {
			t.Errorf("%+v", g)
		}
	}
	b.wantOwners("a is draining", "b", "b", "b", "b")
	b.apply(&fsm.Drain{ID: "a"})
	b.run(10 * time.Second)
	if l := loads(b.owners()); l["a"] != 2 || l["b"] != 2 {
		t.Errorf("a is not draining any more: %v", b.owners())
	}
}

// awaiting gives the bench a leader of a new process that waits for nodes.
func (b *leaderBench) awaiting(self fsm.NodeRef, ids ...string) {
	b.l = NewLeader(DefaultTiming(), b.now)
	b.l.Self, b.l.Await, b.l.AwaitUntil = self, ids, b.now+30*time.Second
}

func TestLeaderWaitsForNodesAtTheStart(t *testing.T) {
	b := newLeaderBench(t, 1, "joe")
	b.awaiting(b.nodes[0], "mike", "robert")
	if g := b.run(5 * time.Second); len(g) > 0 || !slices.Equal(b.l.Waiting(), []string{"mike", "robert"}) {
		t.Fatalf("%v, waiting for %v", g, b.l.Waiting())
	}
	b.boot("mike", 1, 0)
	if g := b.run(5 * time.Second); len(g) > 0 || !slices.Equal(b.l.Waiting(), []string{"robert"}) {
		t.Fatalf("%v, waiting for %v", g, b.l.Waiting())
	}
	b.boot("robert", 1, 0)
	if g := b.run(time.Second); len(g) != 1 || len(b.l.Waiting()) > 0 {
		t.Fatalf("%v, waiting for %v", g, b.l.Waiting())
	}
}

func TestLeaderStartsWithoutThemAfterTheTimeout(t *testing.T) {
	b := newLeaderBench(t, 1, "joe")
	b.awaiting(b.nodes[0], "mike")
	begun := b.now
	for len(b.run(200*time.Millisecond)) == 0 {
		if b.now > begun+time.Minute {
			t.Fatal("it never starts")
		}
	}
	if took := b.now - begun; took < 30*time.Second || took > 31*time.Second {
		t.Errorf("it starts after %v", took)
	}
}

// A leader that has only just started, and whose flags say to wait, doesn't
// wait with a take-over: a process that was in the run lives, be it its own.
func TestLeaderNeverWaitsWithATakeOver(t *testing.T) {
	for _, self := range []string{"mike", "robert"} {
		b := newLeaderBench(t, 3, "joe", "mike", "robert")
		b.run(time.Second)
		b.l.Killed(b.nodes[0])
		b.awaiting(b.nodes[slices.IndexFunc(b.nodes, func(r fsm.NodeRef) bool { return r.ID == self })], "joe", "anna")
		b.l.Killed(b.nodes[0])
		if g := proposals[*fsm.Grant](b.settle()); len(g) != 1 || g[0].From.ID != "joe" {
			t.Errorf("at %s's Barrier: %+v", self, g)
		}
	}
}

// What the log says of processes that ended with the machines is no run: the
// new ones wait, though the third is up and owns a shard as far as they know.
func TestLeaderWaitsAfterAllHaveEnded(t *testing.T) {
	b := newLeaderBench(t, 3, "joe", "mike", "robert")
	b.run(time.Second)
	joe := b.boot("joe", 1, 0)
	b.boot("mike", 1, 0)
	b.awaiting(joe, "robert")
	for range 20 {
		b.pass(200*time.Millisecond, "robert")
		if g := proposals[*fsm.Grant](b.settle()); len(g) > 0 {
			t.Fatalf("%+v", g)
		}
	}
	b.boot("robert", 1, 0)
	if g := b.run(time.Second); len(g) != 3 {
		t.Errorf("%+v", g)
	}
}

func ExampleLeader_Waiting() {
	l := NewLeader(DefaultTiming(), 0)
	l.Await, l.AwaitUntil = []string{"mike"}, Time(30*time.Second)
	l.Plan(Time(time.Second), fsm.NewState())
	fmt.Println(l.Waiting())
	// Output: [mike]
}

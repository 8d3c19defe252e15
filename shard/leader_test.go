package shard

import (
	"testing"
	"time"

	"github.com/botnode/botnode/fsm"
)

const testBot = "default"

// leaderBench is a Leader over a real state.
type leaderBench struct {
	t     *testing.T
	m     *fsm.Machine
	l     *Leader
	now   Time
	index uint64
	nodes []fsm.NodeRef
}

func newLeaderBench(t *testing.T, shards uint32, nodes ...string) *leaderBench {
	b := &leaderBench{t: t, m: fsm.NewMachine(), now: time.Hour}
	b.apply(
		&fsm.Init{ClusterID: "c"},
		&fsm.Configure{Bot: testBot, Config: []byte(`{"identify_reserve":0}`)},
		&fsm.Layout{Bot: testBot, Total: shards, To: shards - 1},
		&fsm.Interests{Bot: testBot, List: []fsm.Interest{{Type: "READY", Handlers: []string{"h"}}}},
	)
	for _, id := range nodes {
		ref := fsm.NodeRef{ID: id, Inc: 1}
		b.apply(&fsm.Up{Node: ref, Weight: 1})
		b.nodes = append(b.nodes, ref)
	}
	b.l = NewLeader(DefaultTiming(), b.now)
	return b
}

func (b *leaderBench) generation() (g uint64) {
	b.m.View(func(_ uint64, s *fsm.State) { g = s.Generation })
	return g
}

func (b *leaderBench) apply(cmds ...fsm.Command) {
	b.t.Helper()
	for _, c := range cmds {
		b.index++
		r := b.m.Apply(b.index, fsm.EncodeBatch([][]byte{fsm.Encode(b.generation(), c)})).([]fsm.Result)
		if r[0].Code != fsm.OK {
			b.t.Fatalf("%T: %+v", c, r[0])
		}
	}
}

func (b *leaderBench) shard(k uint32) (sh fsm.Shard) {
	b.m.View(func(_ uint64, s *fsm.State) {
		bot := s.Bot(testBot)
		sh, _ = bot.Shard(fsm.ShardKey{Layout: bot.Layout, Index: k})
	})
	return sh
}

// oldest returns who runs the shard's oldest entry.
func (b *leaderBench) oldest(k uint32) fsm.NodeRef {
	sh := b.shard(k)
	return sh.Oldest().Runner
}

// pass lets time pass while every node but the silent ones is answered.
func (b *leaderBench) pass(d time.Duration, silent ...string) {
	for end := b.now + d; b.now < end; b.now += 200 * time.Millisecond {
		for _, ref := range b.nodes {
			quiet := false
			for _, id := range silent {
				quiet = quiet || id == ref.ID
			}
			if !quiet {
				b.l.Answered(ref, b.now, false)
			}
		}
	}
}

// plan returns what the leader does now, and applies what it proposes.
func (b *leaderBench) plan() []LeaderAction {
	b.t.Helper()
	var out []LeaderAction
	b.m.View(func(_ uint64, s *fsm.State) { out = append(out, b.l.Plan(b.now, s)...) })
	for _, a := range out {
		if p, ok := a.(LeaderPropose); ok {
			b.apply(p.Cmd)
		}
	}
	return out
}

// settle plans until nothing is left to do at this instant.
func (b *leaderBench) settle() (all []LeaderAction) {
	b.t.Helper()
	for range 20 {
		out := b.plan()
		if len(out) == 0 {
			return all
		}
		all = append(all, out...)
	}
	b.t.Fatalf("the leader doesn't come to rest: %v", all)
	return nil
}

func proposals[C fsm.Command](actions []LeaderAction) (out []C) {
	for _, a := range actions {
		if p, ok := a.(LeaderPropose); ok {
			if c, ok := p.Cmd.(C); ok {
				out = append(out, c)
			}
		}
	}
	return out
}

func TestLeaderGrantsWhatHasNoOwner(t *testing.T) {
	b := newLeaderBench(t, 6, "a", "b", "c")
	b.settle()
	load := map[string]int{}
	for k := range uint32(6) {
		load[b.shard(k).Owner.ID]++
	}
	if load["a"] != 2 || load["b"] != 2 || load["c"] != 2 {
		t.Errorf("six shards on three nodes: %v", load)
	}
}

func TestLeaderWaitsForSilence(t *testing.T) {
	b := newLeaderBench(t, 1, "a", "b")
	b.settle()
	owner := b.shard(0).Owner.ID
	for range 15 {
		b.pass(200 * time.Millisecond)
		b.settle()
	}
	quiet := b.now - 200*time.Millisecond // the last answer
	var g []*fsm.Grant
	for len(g) == 0 && b.now < quiet+time.Minute {
		b.pass(200*time.Millisecond, owner)
		g = proposals[*fsm.Grant](b.settle())
	}
	if len(g) != 1 || !g[0].Adopt || g[0].To.ID == owner || g[0].Why != fsm.WhyFailover {
		t.Fatalf("after the silence: %+v", g)
	}
	if took, limit := b.now-quiet, b.l.Timing.Fresh*5/4; took <= limit || took > limit+400*time.Millisecond {
		t.Errorf("granted after %v of silence", took)
	}
}

// A leader that stood still has heard of nobody, and that says nothing of them.
func TestLeaderThatStoodStill(t *testing.T) {
	b := newLeaderBench(t, 1, "a", "b")
	b.settle()
	owner := b.shard(0).Owner
	b.pass(400 * time.Millisecond)
	b.settle()
	b.now += 10 * time.Second
	if out := b.settle(); len(out) > 0 {
		t.Fatalf("the first thing that it does is %v", out)
	}
	b.pass(400 * time.Millisecond)
	if b.settle(); b.shard(0).Owner != owner {
		t.Error("the shard has moved")
	}
}

func TestLeaderNewTermCountsEveryoneAsAnswered(t *testing.T) {
	b := newLeaderBench(t, 1, "a", "b")
	b.settle()
	owner := b.shard(0).Owner
	b.now += time.Minute // an election took its time
	b.l = NewLeader(b.l.Timing, b.now)
	b.now += b.l.Timing.Fresh
	if out := b.plan(); len(out) != 0 {
		t.Fatalf("within 1.25 F of the Barrier: %v", out)
	}
	b.pass(400*time.Millisecond, owner.ID)
	if g := proposals[*fsm.Grant](b.settle()); len(g) != 1 {
		t.Fatalf("grants %v", g)
	}
}

func TestLeaderTakesConfirmedDeathAtOnce(t *testing.T) {
	b := newLeaderBench(t, 1, "a", "b")
	b.settle()
	owner := b.shard(0).Owner
	b.l.Killed(owner)
	out := b.settle()
	if len(proposals[*fsm.Down](out)) != 1 || b.shard(0).Owner == owner || b.shard(0).Owner.None() {
		t.Fatalf("%v; the owner is %v", out, b.shard(0).Owner)
	}
}

// session gives a shard a session and an entry that its owner runs.
func (b *leaderBench) session(k uint32) {
	sh := b.shard(k)
	b.apply(&fsm.Ready{Bot: testBot, Shard: sh.Key, Epoch: sh.Epoch, SID: "s", URL: "u", S: 1, Raw: []byte(`{}`)})
}

func other(b *leaderBench, owner fsm.NodeRef) fsm.NodeRef {
	for _, ref := range b.nodes {
		if ref != owner {
			return ref
		}
	}
	return owner
}

// pin has an operator want a shard on a node.
func (b *leaderBench) pin(k uint32, to string) {
	b.t.Helper()
	var rev uint64
	b.m.View(func(_ uint64, s *fsm.State) { rev = s.Bot(testBot).PinRev })
	b.apply(&fsm.Pin{Bot: testBot, Rev: rev, To: to, Why: fsm.WhyTakeover, Layout: b.shard(k).Key.Layout, Shards: []uint32{k}})
}

func TestLeaderPlannedMoveLeavesEntriesAndAdoptsLateOnes(t *testing.T) {
	b := newLeaderBench(t, 1, "a", "b")
	b.settle()
	b.session(0)
	from := b.shard(0).Owner
	to := other(b, from)
	b.pin(0, to.ID)
	if b.settle(); b.shard(0).Owner != from {
		t.Fatal("moved before the target was prepared")
	}
	b.l.Prepared(testBot, b.shard(0).Key, b.shard(0).Epoch+1)
	g := proposals[*fsm.Grant](b.settle())
	if len(g) != 1 || g[0].Adopt || b.shard(0).Owner != to || b.oldest(0) != from {
		t.Fatalf("%+v; the oldest entry is with %v", g, b.oldest(0))
	}
	moved := b.now
	for b.oldest(0) != to {
		b.pass(200 * time.Millisecond)
		b.settle()
		if b.now > moved+2*b.l.Timing.Drain {
			t.Fatal("what the old owner doesn't finish is never adopted")
		}
	}
	if took := b.now - moved; took < b.l.Timing.Drain {
		t.Errorf("adopted after %v", took)
	}
}

// A shard whose owner has a permit stays until that is reported back: the session
// that it begins would be lost with what comes in it.
func TestLeaderMovesNoShardThatIdentifies(t *testing.T) {
	b := newLeaderBench(t, 1, "a", "b")
	b.settle()
	sh := b.shard(0)
	b.apply(
		&fsm.Budget{Bot: testBot, Budget: fsm.IdentifyBudget{Remaining: 900, Limit: 1000, MaxConcurrency: 1}},
		&fsm.Permit{Bot: testBot, Shard: sh.Key, Epoch: sh.Epoch, Key: 0, Ask: 1},
	)
	to := other(b, sh.Owner)
	b.pin(0, to.ID)
	b.settle()
	b.l.Prepared(testBot, sh.Key, sh.Epoch+1)
	if b.settle(); b.shard(0).Owner != sh.Owner {
		t.Fatal("moved while its owner identifies")
	}
	b.session(0)
	b.apply(&fsm.Clear{Bot: testBot, Shard: sh.Key, Epoch: sh.Epoch, Key: 0, Ask: 1})
	if b.settle(); b.shard(0).Owner != to {
		t.Errorf("the owner is %v once it has identified", b.shard(0).Owner)
	}
}

// A target that can't connect is announced to again, and the shard stays where
// it is meanwhile.
func TestLeaderGivesUpAMoveWhoseTargetCannotConnect(t *testing.T) {
	b := newLeaderBench(t, 1, "a", "b")
	b.settle()
	b.session(0)
	from := b.shard(0).Owner
	b.pin(0, other(b, from).ID)
	var begun int
	for range 100 {
		b.pass(200 * time.Millisecond)
		moving := b.l.Moving(testBot, b.shard(0).Key)
		if b.settle(); !moving && b.l.Moving(testBot, b.shard(0).Key) {
			begun++
		}
	}
	if b.shard(0).Owner != from || begun < 2 {
		t.Errorf("the owner is %v; the move began %d times", b.shard(0).Owner, begun)
	}
	b.pin(0, "")
	for range 100 {
		b.pass(200 * time.Millisecond)
		b.settle()
	}
	if b.l.Moving(testBot, b.shard(0).Key) || b.shard(0).Owner != from {
		t.Errorf("moving %v, owner %v", b.l.Moving(testBot, b.shard(0).Key), b.shard(0).Owner)
	}
}

func TestLeaderHearsThatANodeStays(t *testing.T) {
	b := newLeaderBench(t, 1, "a")
	b.l.Answered(b.nodes[0], b.now, true)
	if out := proposals[*fsm.Grant](b.settle()); len(out) > 0 {
		t.Fatalf("a leaving node gets %v", out)
	}
	b.l.Answered(b.nodes[0], b.now, false)
	if b.settle(); b.shard(0).Owner != b.nodes[0] {
		t.Error("it stays, and gets nothing")
	}
}

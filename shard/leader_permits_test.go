package shard

import (
	"testing"
	"time"

	"github.com/botnode/botnode/fsm"
)

// budget answers the leader's question for identifies.
func (b *leaderBench) budget(out []LeaderAction, remaining int) int {
	b.t.Helper()
	asked := 0
	for _, a := range out {
		if _, ok := a.(ReadBudget); ok {
			asked++
			b.apply(&fsm.Budget{Bot: testBot, Budget: fsm.IdentifyBudget{Remaining: remaining, MaxConcurrency: 1}})
			b.l.BudgetRead(testBot)
		}
	}
	return asked
}

func (b *leaderBench) ask(k uint32, n uint64) {
	sh := b.shard(k)
	b.l.AskedPermit(b.now, testBot, 0, sh.Key, sh.Epoch, n)
}

func TestLeaderPacesPermits(t *testing.T) {
	b := newLeaderBench(t, 3, "a")
	b.settle()
	b.ask(2, 1)
	b.budget(b.settle(), 100)
	var order []uint32
	last := Time(0)
	for n := uint64(2); n < 400 && len(order) < 6; n++ {
		for k := range uint32(3) {
			b.ask(k, n) // none of them ever gets its session
		}
		for _, p := range proposals[*fsm.Permit](b.settle()) {
			if last > 0 && b.now-last < b.l.Timing.Identify {
				t.Errorf("two permits %v apart", b.now-last)
			}
			last = b.now
			order = append(order, p.Shard.Index)
			b.apply(&fsm.Clear{Bot: testBot, Shard: p.Shard, Epoch: p.Epoch, Key: p.Key, Ask: p.Ask})
		}
		b.pass(200 * time.Millisecond)
	}
	seen := map[uint32]int{}
	for _, k := range order {
		seen[k]++
	}
	if len(order) != 6 || seen[0] != 2 || seen[1] != 2 || seen[2] != 2 {
		t.Errorf("permits went to %v", order)
	}
}

func TestLeaderClearsWhatIsNotReported(t *testing.T) {
	b := newLeaderBench(t, 1, "a")
	b.settle()
	b.ask(0, 1)
	b.budget(b.settle(), 100)
	if len(proposals[*fsm.Permit](b.settle())) != 1 {
		t.Fatal("no permit")
	}
	began := b.now
	for {
		b.pass(200 * time.Millisecond)
		if len(proposals[*fsm.Clear](b.settle())) > 0 {
			break
		}
		if b.now > began+time.Minute {
			t.Fatal("the key is never free again")
		}
	}
	if took := b.now - began; took < b.l.Timing.Permit+b.l.Timing.Identify {
		t.Errorf("cleared after %v", took)
	}
}

func TestLeaderReadsAnExhaustedBudgetAgain(t *testing.T) {
	b := newLeaderBench(t, 1, "a")
	b.settle()
	b.ask(0, 1)
	b.budget(b.settle(), 0)
	asked, n := 0, uint64(2)
	for range 300 {
		b.ask(0, n)
		n++
		out := b.settle()
		if len(proposals[*fsm.Permit](out)) > 0 {
			t.Fatal("a permit without an identify left")
		}
		asked += b.budget(out, 0)
		b.pass(200 * time.Millisecond)
	}
	if asked < 2 || asked > 5 {
		t.Errorf("asked %d times in a minute", asked)
	}
	for range 300 {
		b.ask(0, n)
		n++
		out := b.settle()
		b.budget(out, 1000)
		if len(proposals[*fsm.Permit](out)) > 0 {
			return
		}
		b.pass(200 * time.Millisecond)
	}
	t.Error("no permit although there are identifies again")
}

func TestLeaderKeysCountAsUsedAfterARestore(t *testing.T) {
	b := newLeaderBench(t, 1, "a")
	b.settle()
	b.index++
	renew := fsm.Encode(1, &fsm.Renew{Generation: 2})
	b.m.Apply(b.index, fsm.EncodeBatch([][]byte{renew}))
	b.apply(&fsm.Up{Node: b.nodes[0]})
	restored := b.now
	b.settle()
	for n := uint64(1); ; n++ {
		b.ask(0, n)
		out := b.settle()
		b.budget(out, 100)
		if len(proposals[*fsm.Permit](out)) > 0 {
			break
		}
		b.pass(200 * time.Millisecond)
		if b.now > restored+time.Minute {
			t.Fatal("no permit")
		}
	}
	if took := b.now - restored; took < b.l.Timing.Permit+b.l.Timing.Identify {
		t.Errorf("a permit %v after a restore", took)
	}
}

package shard

import (
	"slices"
	"testing"
	"time"

	"github.com/botnode/botnode/fsm"
)

const secondBot = "second"

// second gives the bench another bot, with shards that have no sessions, and
// returns who has them.
func (b *leaderBench) second(shards uint32) (owners []string) {
	b.t.Helper()
	b.apply(
		&fsm.Configure{Bot: secondBot, Config: []byte(`{"identify_reserve":0}`)},
		&fsm.Layout{Bot: secondBot, Total: shards, To: shards - 1},
	)
	b.settle()
	b.m.View(func(_ uint64, s *fsm.State) {
		for _, sh := range s.Bot(secondBot).Shards() {
			owners = append(owners, sh.Owner.ID)
		}
	})
	return owners
}

// failing lets time pass while no shard of the second bot connects anywhere and
// everything of the first one does, but for what lost says of nodes that are cut off.
func (b *leaderBench) failing(d time.Duration, off []string, lost ...uint32) (announced []Announce) {
	b.t.Helper()
	for end := b.now + d; b.now < end; {
		b.m.View(func(_ uint64, s *fsm.State) {
			for _, sh := range s.Bot(secondBot).Shards() {
				b.l.Stranded(b.now, sh.Owner, secondBot, sh.Key, sh.Epoch)
			}
		})
		announced = append(announced, b.cutOff(200*time.Millisecond, off, lost...)...)
	}
	return announced
}

// TestStrandedBotLeavesOthersAlone: a bot that connects nowhere, as without a
// token, says nothing of the nodes' way to Discord for another bot.
func TestStrandedBotLeavesOthersAlone(t *testing.T) {
	b := strandedBench(t, "a", "b", "c")
	if got := b.second(3); len(slices.Compact(slices.Sorted(slices.Values(got)))) != 3 {
		t.Fatalf("the second bot's shards are with %v", got)
	}
	k := b.of("a")
	b.failing(time.Minute, nil)
	b.failing(2*time.Second, []string{"a"}, k)
	if got := b.shard(k).Owner.ID; got == "a" {
		t.Error("the first bot's shard stays with a node that doesn't reach Discord")
	}
}

// TestRescuesLeaveRoomForOtherMoves: a drain goes on while shards of another bot
// are tried in vain on node after node.
func TestRescuesLeaveRoomForOtherMoves(t *testing.T) {
	b := strandedBench(t, "a", "b", "c")
	b.second(2) // one node has none, and is tried
	k := b.of("b")
	if tries := b.failing(2*time.Second, nil); len(tries) == 0 {
		t.Fatal("nothing is tried")
	}
	b.apply(&fsm.Drain{ID: "b", On: true})
	b.failing(time.Second, nil)
	if got := b.shard(k).Owner.ID; got == "b" {
		t.Error("the drain waits for shards that connect nowhere")
	}
}

// TestRescueGoesWhereTheOperatorWants, unless that node doesn't connect, either.
func TestRescueGoesWhereTheOperatorWants(t *testing.T) {
	for _, want := range []string{"b", "c", "d"} {
		b := strandedBench(t, "a", "b", "c", "d")
		k := b.of("a")
		b.pin(k, want)
		b.cutOff(rescued, []string{"a"}, k)
		if sh := b.shard(k); sh.Owner.ID != want || sh.Pin != want {
			t.Errorf("pinned to %s: it is with %v, pinned to %q", want, sh.Owner, sh.Pin)
		}

		b = strandedBench(t, "a", "b", "c", "d")
		k = b.of("a")
		b.pin(k, want)
		b.cutOff(2*b.l.Timing.Prepare, []string{"a", want}, k)
		if sh := b.shard(k); sh.Owner.ID == "a" {
			t.Errorf("pinned to %s, which doesn't reach Discord: it stays stranded", want)
		}
	}
}

// TestRescueUsesTheRoomThereIs: not all stranded shards find room, and those that do move.
func TestRescueUsesTheRoomThereIs(t *testing.T) {
	for _, room := range []uint32{1, 2, 3} {
		b := newLeaderBench(t, 5)
		b.boot("a", 1, 0)
		b.run(3 * time.Second)
		b.boot("b", 1, room)
		b.cutOff(3*time.Second, []string{"a"}, 0, 1, 2, 3, 4)
		if got := loads(b.owners()); got["b"] != int(room) || got["a"] != 5-int(room) {
			t.Errorf("b has room for %d: %v", room, got)
		}
	}
}

// TestRescueGoesBackToANodeThatHasRecovered: that a node was cut off a while ago
// doesn't keep shards from it that are connected nowhere.
func TestRescueGoesBackToANodeThatHasRecovered(t *testing.T) {
	b := strandedBench(t, "a", "b")
	k := b.of("a")
	b.cutOff(rescued, []string{"a"}, k)
	b.wantOwners("a is cut off", "b", "b")
	b.cutOff(5*time.Second, nil)
	b.wantOwners("a is avoided", "b", "b")
	b.cutOff(rescued, []string{"b"}, 0, 1)
	b.wantOwners("now b is", "a", "a")
}

// TestShardsStayAtTheEndOfAnOutage: a standby that tries them comes to HELLO while
// their owners wait for their next dial. They get another try, and their shards stay.
func TestShardsStayAtTheEndOfAnOutage(t *testing.T) {
	b := newLeaderBench(t, 2)
	b.configure(`{"identify_reserve":0,"placement":"prefer:a+b,c"}`)
	for _, id := range []string{"a", "b", "c"} {
		b.boot(id, 1, 0)
	}
	b.run(10 * time.Second)
	was := b.owners()
	if slices.Contains(was, "c") {
		t.Fatal(was)
	}
	b.cutOff(2*time.Minute, []string{"a", "b", "c"}, 0, 1)
	for end, told := b.now+time.Minute, map[string]bool{}; b.now < end; {
		b.pass(200 * time.Millisecond)
		for k := range uint32(2) {
			if sh := b.shard(k); !told[sh.Owner.ID] {
				b.l.Stranded(b.now, sh.Owner, testBot, sh.Key, sh.Epoch)
			}
		}
		for _, a := range b.settle() {
			switch a := a.(type) {
			case Announce:
				b.l.Prepared(a.Bot, a.Shard, a.Epoch)
			case TryAgain:
				told[a.To.ID] = true // and it comes to HELLO
			}
		}
		for _, a := range b.settle() {
			if a, ok := a.(TryAgain); ok {
				told[a.To.ID] = true
			}
		}
		b.sessions()
		if len(told) == 2 {
			b.run(4*b.l.Timing.Ask + 200*time.Millisecond)
			b.wantOwners("after the outage", was...)
			if b.l.Moving(testBot, b.shard(0).Key) || b.l.Moving(testBot, b.shard(1).Key) {
				t.Error("a move goes on whose shard is connected where it is")
			}
			b.run(time.Minute)
			b.wantOwners("a minute later", was...)
			return
		}
	}
	t.Error("the owners don't get another try")
}

// TestNoRescueOnAnOldWord: at the end of an outage the last words of the nodes
// become void one after the other, and all are connected by then.
func TestNoRescueOnAnOldWord(t *testing.T) {
	b := strandedBench(t, "a", "b", "c")
	was := b.owners()
	b.cutOff(10*time.Second, []string{"a", "b", "c"}, 0, 1, 2)
	b.cutOff(200*time.Millisecond, []string{"b", "c"}, 1, 2)
	b.cutOff(200*time.Millisecond, []string{"c"}, 0, 1, 2)
	if tries := b.cutOff(time.Minute, nil); len(tries) > 0 {
		t.Errorf("connected shards are moved: %+v", tries)
	}
	b.wantOwners("after the outage", was...)
}

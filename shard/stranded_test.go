package shard

import (
	"slices"
	"testing"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// inVain has every dial fail for d.
func (b *ownerBench) inVain(d time.Duration) {
	b.t.Helper()
	for end := b.now + d; b.now < end; b.now += 100 * time.Millisecond {
		b.step(Tick{})
		if b.o.Phase() == Dialing {
			b.step(Closed{Conn: b.conn(), Verdict: discord.VerdictResume})
		}
	}
}

// unreached lets the time pass after which the leader is told for the first time.
func (b *ownerBench) unreached() {
	for end := b.now + b.o.Timing.Unreached + b.o.Timing.Ask/2; b.now < end; b.now += b.o.Timing.Ask / 10 {
		b.step(Tick{})
	}
}

func (b *ownerBench) told() (out []Stranded) {
	for _, a := range b.seen {
		if a, ok := a.(Stranded); ok {
			out = append(out, a)
		}
	}
	b.seen = nil
	return out
}

// TestOwnerTellsThatItIsStranded: an owner that dials in vain says so after a
// while, at intervals, and no more once it has come to HELLO.
func TestOwnerTellsThatItIsStranded(t *testing.T) {
	b := newOwnerBench(t)
	b.live()
	b.step(Closed{Conn: b.conn(), Verdict: discord.VerdictResume})
	if b.inVain(b.o.Timing.Unreached - time.Second); len(b.told()) > 0 {
		t.Fatal("told too early")
	}
	b.inVain(3 * time.Second)
	if got := b.told(); len(got) < 3 || len(got) > 5 || got[0].Epoch != 5 || got[0].Again || !got[1].Again {
		t.Errorf("in two seconds and more: %+v", got)
	}
	for b.o.Phase() != Dialing {
		b.now += 100 * time.Millisecond
		b.step(Tick{})
	}
	b.step(Connected{Conn: b.conn()})
	b.told()
	b.step(Closed{Conn: b.conn(), Verdict: discord.VerdictResume})
	if b.inVain(b.o.Timing.Unreached - time.Second); len(b.told()) > 0 {
		t.Error("the time goes on from before the last HELLO")
	}
}

// TestOwnerTellsNothingOfOthers: who doesn't own the shard, isn't fresh, hangs in
// a dial for less than the time, or was refused for good is not stranded.
func TestOwnerTellsNothingOfOthers(t *testing.T) {
	for name, tt := range map[string]struct {
		begin func(b *ownerBench)
		want  int
	}{
		"another node's": {func(b *ownerBench) {
			b.apply(func(v *View) { v.Owner = nodeB })
			b.step(Announced{Epoch: 6})
		}, 0},
		"fenced meanwhile": {func(b *ownerBench) {
			b.apply(nil)
			b.inVain(b.o.Timing.Unreached - time.Second)
			b.apply(func(v *View) { v.Epoch, v.Owner = 6, nodeB })
		}, 0},
		"not fresh": {func(b *ownerBench) {
			b.apply(nil)
			b.step(Applied{View: b.view, FreshUntil: b.now})
		}, 0},
		"refused for good": {func(b *ownerBench) {
			b.apply(nil)
			b.step(Closed{Conn: b.conn(), Verdict: discord.VerdictFatal})
		}, 0},
		"its own, and the dial hangs": {func(b *ownerBench) { b.apply(nil) }, 1},
	} {
		b := newOwnerBench(t)
		tt.begin(b)
		b.unreached()
		if got := b.told(); len(got) != tt.want {
			t.Errorf("%s: told %+v", name, got)
		}
	}
}

// TestOwnerCountsOnlyWhileItMayDial: an owner that no leader answers dials nothing,
// so that time says nothing of Discord.
func TestOwnerCountsOnlyWhileItMayDial(t *testing.T) {
	b := newOwnerBench(t)
	b.apply(nil)
	b.step(Applied{View: b.view, FreshUntil: b.now})
	b.step(Closed{Conn: b.conn(), Verdict: discord.VerdictResume})
	for range 60 { // a runner ticks once a second
		b.now += time.Second
		b.step(Tick{})
	}
	b.apply(nil) // fresh for a day
	if b.o.Phase() != Dialing || len(b.told()) > 0 {
		t.Fatalf("%v, and it says that its dials are in vain", b.o.Phase())
	}
	if b.inVain(b.o.Timing.Unreached + b.o.Timing.Ask); len(b.told()) == 0 {
		t.Error("it never says so")
	}
	b.o.retryAt = b.now + time.Minute // a wait between two dials
	b.step(Applied{View: b.view, FreshUntil: b.now})
	b.apply(nil)
	b.unreached()
	if got := b.told(); len(got) != 1 {
		t.Errorf("after a moment without a leader, in the wait for the next dial: told %+v", got)
	}
}

// TestOwnerTellsOfADialBegunAsTarget: a dial that hangs counts from when the shard
// is the node's own, whatever it was begun for.
func TestOwnerTellsOfADialBegunAsTarget(t *testing.T) {
	b := newOwnerBench(t)
	b.apply(func(v *View) { v.Owner = nodeB })
	b.step(Announced{Epoch: 6})
	b.apply(func(v *View) { v.Epoch, v.Owner = 6, nodeA }) // nodeB has died
	if b.o.Phase() != Dialing {
		t.Fatal(b.o.Phase())
	}
	b.unreached()
	if got := b.told(); len(got) != 1 {
		t.Errorf("told %+v", got)
	}
}

// TestOwnerDialsAtOnceWhenAnotherNodeDoes: at the end of an outage it would wait
// for up to half a minute. One that doesn't dial in vain waits on.
func TestOwnerDialsAtOnceWhenAnotherNodeDoes(t *testing.T) {
	b := newOwnerBench(t)
	b.live()
	b.step(Closed{Conn: b.conn(), Verdict: discord.VerdictResume})
	b.inVain(time.Minute)
	if b.o.Phase() != Idle {
		t.Fatal(b.o.Phase())
	}
	if b.step(TriedAgain{Epoch: 4}); b.o.Phase() != Idle {
		t.Error("it takes what was meant for an earlier epoch")
	}
	if b.step(TriedAgain{Epoch: 5}); b.o.Phase() != Dialing {
		t.Error(b.o.Phase())
	}
	b.step(Connected{Conn: b.conn()})
	b.step(Invalidated{Conn: b.conn(), Resumable: true})
	b.want(b.step(TriedAgain{Epoch: 5}), "")
}

// strandedBench has as many shards as nodes, one with a session on each.
func strandedBench(t *testing.T, nodes ...string) *leaderBench {
	b := newLeaderBench(t, uint32(len(nodes)), nodes...)
	b.run(3 * time.Second)
	// Not where hashing would put them: what is placed anew would move.
	first := b.owners()
	for k := range uint32(len(nodes)) {
		b.pin(k, first[(int(k)+1)%len(first)])
	}
	b.run(3 * time.Second)
	for k := range uint32(len(nodes)) {
		b.pin(k, "")
	}
	b.run(3 * time.Second)
	if got := b.owners(); len(got) != len(nodes) || len(slices.Compact(slices.Sorted(slices.Values(got)))) != len(nodes) {
		t.Fatalf("the shards are with %v", got)
	}
	return b
}

// of returns the shard that a node has.
func (b *leaderBench) of(id string) uint32 {
	b.t.Helper()
	i := slices.Index(b.owners(), id)
	if i < 0 {
		b.t.Fatalf("%s has no shard: %v", id, b.owners())
	}
	return uint32(i)
}

// rescued is time enough for stranded shards to move.
const rescued = 2 * time.Second

// cutOff lets time pass while the nodes of off don't reach Discord: they say so of
// the shards of theirs that lost is about, and come to no HELLO when a move is announced.
func (b *leaderBench) cutOff(d time.Duration, off []string, lost ...uint32) (announced []Announce) {
	b.t.Helper()
	for end := b.now + d; b.now < end; {
		b.pass(200 * time.Millisecond)
		for _, k := range lost {
			if sh := b.shard(k); slices.Contains(off, sh.Owner.ID) {
				b.l.Stranded(b.now, sh.Owner, testBot, sh.Key, sh.Epoch)
			}
		}
		for _, a := range b.settle() {
			if a, ok := a.(Announce); ok {
				announced = append(announced, a)
				if a.Bot == testBot && !slices.Contains(off, a.To.ID) {
					b.l.Prepared(a.Bot, a.Shard, a.Epoch)
				}
			}
		}
		b.settle()
		b.sessions()
	}
	return announced
}

// TestLeaderMovesAStrandedShard: it goes to a node that has come to HELLO, the
// others of its owner stay, and it comes back once that one reaches Discord again.
func TestLeaderMovesAStrandedShard(t *testing.T) {
	b := strandedBench(t, "a", "b", "c")
	k := b.of("a")
	b.cutOff(rescued, []string{"a"}, k)
	if got := b.shard(k); got.Owner.ID == "a" || got.Why != fsm.WhyFailover || got.From.ID != "a" {
		t.Fatalf("the stranded shard is %+v", got)
	}
	if tries := b.cutOff(b.l.Timing.Avoid-2*time.Second, []string{"a"}); len(tries) > 0 {
		t.Errorf("a node that doesn't reach Discord is given shards: %+v", tries)
	}
	if tries := b.cutOff(b.l.Timing.Avoid, []string{"a"}); len(tries) == 0 || b.shard(k).Owner.ID == "a" {
		t.Errorf("tried again %d times; the shard is with %v", len(tries), b.shard(k).Owner)
	}
	b.run(b.l.Timing.Avoid + b.l.Timing.Prepare)
	b.of("a")
}

// TestLeaderLeavesShardsInAnOutage: where no node reaches Discord, or a single
// shard doesn't connect wherever it is tried, owners stay what they are.
func TestLeaderLeavesShardsInAnOutage(t *testing.T) {
	all := []string{"a", "b", "c"}
	b := strandedBench(t, all...)
	was := b.owners()
	if tries := b.cutOff(5*time.Minute, all, 0, 1, 2); len(tries) > 0 || !slices.Equal(b.owners(), was) {
		t.Errorf("in an outage: %d tries, the shards are with %v, were with %v", len(tries), b.owners(), was)
	}
	b.run(time.Minute)
	b.wantOwners("after the outage", was...)

	b = strandedBench(t, all...)
	was = b.owners()
	tries := b.cutOff(time.Minute, all, 1)
	times := make(map[string]int)
	for _, a := range tries {
		times[a.To.ID]++
	}
	if most := int(time.Minute/b.l.Timing.Avoid+1) * int(b.l.Timing.Prepare/b.l.Timing.Ask+1); !slices.Equal(b.owners(), was) ||
		len(times) != 2 || len(tries) > 2*most {
		t.Errorf("one shard can't connect: tries %v, the shards are with %v, were with %v", times, b.owners(), was)
	}
	if sh := b.shard(1); times[sh.Owner.ID] > 0 {
		t.Errorf("moved to its owner: %v", times)
	}
}

// TestLeaderTakesOnlyTheWordOfTheOwner in force.
func TestLeaderTakesOnlyTheWordOfTheOwner(t *testing.T) {
	b := strandedBench(t, "a", "b", "c")
	k := b.of("a")
	sh := b.shard(k)
	for what, say := range map[string]func(){
		"another process": func() { b.l.Stranded(b.now, fsm.NodeRef{ID: "a", Inc: 9}, testBot, sh.Key, sh.Epoch) },
		"another epoch":   func() { b.l.Stranded(b.now, sh.Owner, testBot, sh.Key, sh.Epoch-1) },
		"a while ago": func() {
			b.l.Stranded(b.now, sh.Owner, testBot, sh.Key, sh.Epoch)
			b.pass(5 * b.l.Timing.Ask)
		},
	} {
		say()
		if acts := b.settle(); len(acts) > 0 {
			t.Errorf("%s: %+v", what, acts)
		}
		b.pass(10 * b.l.Timing.Ask)
		b.settle()
	}
}

// TestLeaderRescuesFromAPin: what an operator wanted where Discord isn't reached
// goes elsewhere, and a drain doesn't wait for a node that can't take its part.
func TestLeaderRescuesFromAPin(t *testing.T) {
	b := strandedBench(t, "a", "b", "c")
	k := b.of("a")
	b.pin(k, "a")
	b.cutOff(rescued, []string{"a"}, k)
	if sh := b.shard(k); sh.Owner.ID == "a" || sh.Pin != "" {
		t.Fatalf("%+v", sh)
	}
	from := b.of("b")
	b.apply(&fsm.Drain{ID: "b", On: true})
	b.cutOff(2*time.Second, []string{"a"})
	if got := b.shard(from).Owner.ID; got != "c" {
		t.Errorf("the shard of the draining node is with %s", got)
	}
}

// TestLeaderGivesAnAvoidedNodeWhatNobodyElseTakes: it is better than no owner.
func TestLeaderGivesAnAvoidedNodeWhatNobodyElseTakes(t *testing.T) {
	b := newLeaderBench(t, 2)
	a, c := b.boot("a", 1, 0), b.boot("c", 1, 1)
	b.l.avoid[avoider{testBot, a}] = avoidance{failed: b.now + time.Hour}
	b.run(time.Second)
	if got := slices.Sorted(slices.Values(b.owners())); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("c has room for one shard, the two are with %v", got)
	}
	b.apply(&fsm.Down{Node: c})
	b.nodes = []fsm.NodeRef{a}
	b.run(time.Second)
	b.wantOwners("the avoided node alone is left", "a", "a")
}

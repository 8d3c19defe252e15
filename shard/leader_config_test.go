package shard

import (
	"fmt"
	"testing"
	"time"

	"github.com/botnode/botnode/fsm"
)

// begin gives a shard a session with the configured intents.
func (b *leaderBench) begin(k uint32, sid string) {
	b.t.Helper()
	sh := b.shard(k)
	var intents uint64
	b.m.View(func(_ uint64, s *fsm.State) { intents = s.Bot(testBot).Config.Intents })
	b.apply(&fsm.Ready{
		Bot: testBot, Shard: sh.Key, Epoch: sh.Epoch, SID: sid, URL: "u", S: 1, Raw: []byte(`{}`), After: sh.Sessions,
		Intents: intents,
	})
}

func (b *leaderBench) intents(n int) {
	b.t.Helper()
	b.apply(&fsm.Configure{Bot: testBot, Rev: b.rev(), Config: fmt.Appendf(nil, `{"intents":%d,"identify_reserve":5}`, n)})
}

// TestLeaderRenewsSessionsOneByOne changes the intents: a session after the
// other is replaced, within the pace of identifies, and each waits for the READY
// of the one before.
func TestLeaderRenewsSessionsOneByOne(t *testing.T) {
	b := newLeaderBench(t, 3, "a", "b")
	b.settle()
	for k := range uint32(3) {
		b.begin(k, fmt.Sprint("old", k))
	}
	if p := proposals[*fsm.Reidentify](b.settle()); len(p) > 0 {
		t.Fatalf("with the right intents: %+v", p[0])
	}
	b.intents(1)
	b.budget(b.settle(), 100)
	var ended []uint32
	last := Time(0)
	for limit := b.now + time.Minute; len(ended) < 3 && b.now < limit; b.pass(200 * time.Millisecond) {
		for _, p := range proposals[*fsm.Reidentify](b.settle()) {
			k := p.Shard.Index
			if last > 0 && b.now-last < b.l.Timing.Identify {
				t.Errorf("two sessions ended %v apart: the second has to wait for its IDENTIFY", b.now-last)
			}
			ended = append(ended, k)
			for range 5 {
				if more := proposals[*fsm.Reidentify](b.settle()); len(more) > 0 {
					t.Fatalf("shard %d loses its session while %d has none", more[0].Shard.Index, k)
				}
				b.pass(100 * time.Millisecond)
			}
			b.ask(k, uint64(len(ended)))
			permits := proposals[*fsm.Permit](b.settle())
			if len(permits) != 1 {
				t.Fatalf("%d permits: the session was ended before its successor may begin", len(permits))
			}
			b.apply(&fsm.Clear{Bot: testBot, Shard: permits[0].Shard, Epoch: permits[0].Epoch, Key: permits[0].Key, Ask: permits[0].Ask})
			b.begin(k, fmt.Sprint("new", k))
			last = b.now
		}
	}
	if fmt.Sprint(ended) != "[0 1 2]" {
		t.Fatalf("ended %v", ended)
	}
	b.m.View(func(_ uint64, s *fsm.State) {
		for _, g := range s.Bot(testBot).Gaps {
			if g.Kind != "planned" {
				t.Errorf("%+v", g)
			}
		}
		if n := s.Bot(testBot).GapCount; n != 3 {
			t.Errorf("%d gap records", n)
		}
	})
	b.pass(time.Minute)
	if p := proposals[*fsm.Reidentify](b.settle()); len(p) > 0 {
		t.Errorf("again: %+v", p[0])
	}
}

// TestLeaderKeepsSessionsWithoutBudget never ends a session that it couldn't
// begin again.
func TestLeaderKeepsSessionsWithoutBudget(t *testing.T) {
	b := newLeaderBench(t, 1, "a")
	b.settle()
	b.begin(0, "old")
	b.intents(1)
	b.budget(b.settle(), 5)
	asked := 0
	for range 300 {
		b.pass(200 * time.Millisecond)
		out := b.settle()
		if p := proposals[*fsm.Reidentify](out); len(p) > 0 {
			t.Fatalf("%+v", p[0])
		}
		asked += b.budget(out, 5)
	}
	if asked < 2 || asked > 4 {
		t.Errorf("the budget was read %d times in a minute", asked)
	}
	b.apply(&fsm.Budget{Bot: testBot, Budget: fsm.IdentifyBudget{Remaining: 1000, MaxConcurrency: 1}})
	if len(proposals[*fsm.Reidentify](b.settle())) != 1 {
		t.Error("with a new budget nothing happens")
	}
}

// TestLeaderSweeps proposes step after step until the caches follow their
// policies.
func TestLeaderSweeps(t *testing.T) {
	b := newLeaderBench(t, 1, "a")
	b.settle()
	b.begin(0, "s")
	sh := b.shard(0)
	evs := []fsm.Event{{S: 2, Type: "GUILD_CREATE", Raw: []byte(`{"id":"40"}`)}}
	for i := range 6000 {
		evs = append(evs, fsm.Event{S: int64(i) + 3, Type: "GUILD_MEMBER_ADD", Raw: fmt.Appendf(nil, `{"guild_id":"40","user":{"id":"%d"}}`, i+100)})
	}
	b.apply(&fsm.Events{Bot: testBot, Shard: sh.Key, Epoch: sh.Epoch, SID: "s", Prev: 1, Evs: evs})
	b.apply(&fsm.Configure{Bot: testBot, Rev: b.rev(), Config: []byte(`{"caches":{"members":{"mode":"bounded","max_count":10}}}`)})
	out := b.settle()
	if n := len(proposals[*fsm.Sweep](out)); n < 3 {
		t.Errorf("%d steps", n)
	}
	b.m.View(func(_ uint64, s *fsm.State) {
		if c := s.Bot(testBot).Cache(); c.Sweeping() || c.Stats()[6].Count != 10 {
			t.Errorf("%+v", c.Stats()[6])
		}
	})
}

func (b *leaderBench) rev() (rev uint64) {
	b.m.View(func(_ uint64, s *fsm.State) { rev = s.Bot(testBot).ConfigRev })
	return rev
}

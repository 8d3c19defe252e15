package shard

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/botnode/botnode/fsm"
)

// lockable is a manager that leads, with a bot.
func lockable(t *testing.T) (*Manager, *fakeProposer) {
	t.Helper()
	m, p := newTestManager(t)
	p.do(&fsm.Configure{Bot: "default", Config: []byte(`{}`)})
	m.Start()
	t.Cleanup(m.Stop)
	m.SetLeadership(1, true)
	return m, p
}

func lockWithin(t *testing.T, m *Manager, name string) *Held {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	h, err := m.Lock(ctx, "default", name)
	if err != nil {
		t.Fatalf("lock %s: %v", name, err)
	}
	return h
}

func ended(t *testing.T, h *Held) error {
	t.Helper()
	select {
	case <-h.Context().Done():
		return context.Cause(h.Context())
	case <-time.After(5 * time.Second):
		t.Fatal("the lock is still held")
		return nil
	}
}

func holder(m *Manager, name string) (l fsm.LockState, held bool) {
	m.o.Machine.View(func(_ uint64, s *fsm.State) { l, held = s.Bot("default").LockHolder(name) })
	return l, held
}

func TestLockGoesFromOneToTheNext(t *testing.T) {
	m, _ := lockable(t)
	first := lockWithin(t, m, "x")
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := m.Lock(short, "default", "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a second holder: %v", err)
	}
	next := make(chan *Held, 1)
	go func() {
		h, err := m.Lock(t.Context(), "default", "x")
		if err == nil {
			next <- h
		}
	}()
	other := lockWithin(t, m, "y") // of another name, at the same time
	first.Release()
	first.Release()
	if err := ended(t, first); !errors.Is(err, errReleased) {
		t.Errorf("ended by %v", err)
	}
	select {
	case h := <-next:
		if h.Fence <= first.Fence {
			t.Errorf("fence %d after %d", h.Fence, first.Fence)
		}
		h.Release()
	case <-time.After(5 * time.Second):
		t.Fatal("the next one waits still")
	}
	eventually(t, "nobody holds x", func() bool { _, held := holder(m, "x"); return !held })
	if other.Context().Err() != nil {
		t.Errorf("y ended: %v", context.Cause(other.Context()))
	}
}

// A holder learns that its lock is lost: by its declared death, and by its own
// loss of contact, long before anybody else may hold the lock.
func TestLockIsLost(t *testing.T) {
	t.Run("declared dead", func(t *testing.T) {
		m, p := lockable(t)
		h := lockWithin(t, m, "x")
		p.do(&fsm.Down{Node: refJoe})
		p.do(&fsm.Lock{Bot: "default", Name: "x", Node: refMike})
		if err := ended(t, h); !errors.Is(err, ErrLockLost) {
			t.Errorf("ended by %v", err)
		}
	})
	t.Run("no leader answers", func(t *testing.T) {
		m, _ := lockable(t)
		h := lockWithin(t, m, "x")
		m.SetLeadership(1, false)
		since := time.Now()
		if err := ended(t, h); !errors.Is(err, ErrNotFresh) {
			t.Errorf("ended by %v", err)
		}
		if took := time.Since(since); took > m.o.Timing.Fresh*5/4 {
			t.Errorf("it took %v: another may have the lock by then", took)
		}
	})
}

// A lock that the state gives to this process, and that nobody here wants, is
// given back: a proposal may have been repeated.
func TestStrayLockIsGivenBack(t *testing.T) {
	m, p := lockable(t)
	p.do(&fsm.Lock{Bot: "default", Name: "stray", Node: refJoe})
	eventually(t, "the stray lock is free", func() bool { _, held := holder(m, "stray"); return !held })
}

// The leader takes a lock from a process that is silent, no sooner than it may
// give away its shards.
func TestLeaderFreesLocksOfTheSilent(t *testing.T) {
	b := newLeaderBench(t, 1, "joe", "mike")
	b.apply(&fsm.Lock{Bot: testBot, Name: "x", Node: b.nodes[1]})
	held := func() (held bool) {
		b.m.View(func(_ uint64, s *fsm.State) { _, held = s.Bot(testBot).LockHolder("x") })
		return held
	}
	pass := func(d time.Duration, silent ...string) {
		for end := b.now + d; b.now < end; {
			b.pass(200*time.Millisecond, silent...)
			b.settle()
		}
	}
	pass(5 * time.Second)
	if !held() {
		t.Fatal("taken from a node that answers")
	}
	pass(b.l.Timing.Fresh, "mike")
	if !held() {
		t.Fatal("taken from a node that may be fresh still")
	}
	pass(time.Second, "mike")
	if held() {
		t.Error("never taken from a silent node")
	}
}

// Schedules make one entry a time, whatever was missed, and begin with their
// first look; keys go at their time.
func TestChores(t *testing.T) {
	m, p := newTestManager(t)
	every := func(after, until time.Time) (time.Time, bool) {
		at := until.Truncate(time.Minute)
		return at, at.After(after)
	}
	m.bots["default"] = &BotOptions{Name: "default", Schedules: []Schedule{{Name: "minutely", Due: every}}}
	p.do(&fsm.Configure{Bot: "default", Config: []byte(`{}`)})
	p.do(&fsm.Layout{Bot: "default", Total: 1})
	p.do(&fsm.KVWrite{Bot: "default", ID: 1, Change: fsm.KVChange{Key: "k", Value: []byte("v"), Expires: time.Date(2030, 1, 1, 12, 1, 0, 0, time.UTC).UnixMilli()}})
	loop := m.lead
	loop.leader = NewLeader(m.o.Timing, m.now())
	at := func(h, m, s int) time.Time { return time.Date(2030, 1, 1, h, m, s, 0, time.UTC) }
	for _, step := range []struct {
		wall    time.Time
		entries int
		keys    int
	}{
		{at(12, 0, 30), 0, 1}, // only marks the beginning
		{at(12, 0, 59), 0, 1},
		{at(12, 1, 0), 1, 0},
		{at(12, 1, 1), 1, 0},
		{at(15, 0, 0), 2, 0}, // one for all that was missed
		{at(14, 0, 0), 2, 0}, // a clock that went back
		{at(15, 1, 0), 3, 0},
	} {
		clear(loop.leader.sent)
		loop.chores(step.wall)
		for _, a := range loop.leader.takeOut() {
			p.do(a.(LeaderPropose).Cmd)
		}
		var entries, keys int
		m.o.Machine.View(func(_ uint64, s *fsm.State) {
			entries, _ = s.Bot("default").Pending()
			keys = s.Bot("default").KVLen()
		})
		if entries != step.entries || keys != step.keys {
			t.Errorf("at %v: %d entries and %d keys, want %d and %d", step.wall, entries, keys, step.entries, step.keys)
		}
	}
}

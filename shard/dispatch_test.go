package shard

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// handlerFunc is a program with one handler.
type handlerFunc func(d Delivery) Outcome

func (f handlerFunc) Handle(_ context.Context, d Delivery) Outcome { return f(d) }

func (handlerFunc) Policy(handler string) HandlerPolicy {
	if handler == "stubborn" {
		return HandlerPolicy{Attempts: 5, Backoff: time.Millisecond, Timeout: time.Minute}
	}
	if handler == "quick" {
		return HandlerPolicy{Timeout: time.Millisecond}
	}
	return HandlerPolicy{}
}

var testShard = fsm.ShardKey{Layout: 1}

// journal gives refJoe a shard with a session, and n messages in one lane.
func journal(t *testing.T, p *fakeProposer, n int) {
	t.Helper()
	for _, c := range []fsm.Command{
		&fsm.Configure{Bot: "default", Config: []byte(`{"max_attempts":3}`)},
		&fsm.Layout{Bot: "default", Total: 1},
		&fsm.Interests{Bot: "default", List: []fsm.Interest{{Type: discord.EventMessageCreate, Handlers: []string{"h"}}}},
		&fsm.Grant{Bot: "default", Shard: testShard, To: refJoe},
		&fsm.Ready{Bot: "default", Shard: testShard, Epoch: 1, SID: "s", S: 1, Raw: []byte(`{"guilds":[]}`)},
	} {
		p.do(c)
	}
	for i := range n {
		s := int64(i + 2)
		p.do(&fsm.Events{
			Bot: "default", Shard: testShard, Epoch: 1, SID: "s", Prev: s - 1,
			Evs: []fsm.Event{{S: s, Type: discord.EventMessageCreate, Lane: 7, Raw: fmt.Appendf(nil, `{"id":"%d"}`, s)}},
		})
	}
	if left, _ := pending(p.machine); left != n {
		t.Fatalf("%d entries pending, want %d", left, n)
	}
}

func pending(m *fsm.Machine) (left, dead int) {
	m.View(func(_ uint64, s *fsm.State) {
		left, _ = s.Bot("default").Pending()
		dead = s.Bot("default").DeadCount()
	})
	return left, dead
}

// started returns a manager that runs the handler and is fresh.
func started(t *testing.T, events int, h handlerFunc) (*Manager, *fakeProposer) {
	t.Helper()
	return startedWith(t, events, h, noMetrics{})
}

func startedWith(t *testing.T, events int, h handlerFunc, metrics Metrics) (*Manager, *fakeProposer) {
	t.Helper()
	away := errors.New("discord is away")
	m, p := newTestManager(t, &BotOptions{
		Name: "default", Handlers: h, Token: func() string { return "t" },
		GatewayURL: func(context.Context) (string, error) { return "", away },
		Info:       func(context.Context) (GatewayInfo, error) { return GatewayInfo{}, away },
	})
	m.o.Metrics = metrics
	journal(t, p, events)
	m.Start()
	t.Cleanup(m.Stop)
	m.SetLeadership(1, true)
	return m, p
}

func fails(p *fakeProposer) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.submitted {
		if _, ok := c.(*fsm.Fail); ok {
			n++
		}
	}
	return n
}

// A handler whose write was refused since this node had lost its leader has
// not failed: the entry starts again, and its attempts don't count.
func TestNotBeingFreshIsNoFailure(t *testing.T) {
	var runs atomic.Int32
	m, p := started(t, 1, func(Delivery) Outcome {
		if runs.Add(1) <= 5 {
			return Outcome{Err: fmt.Errorf("reply: %w", ErrNotFresh)}
		}
		return Outcome{}
	})
	eventually(t, "the entry is done", func() bool { left, _ := pending(m.o.Machine); return left == 0 })
	if _, dead := pending(m.o.Machine); dead > 0 || fails(p) > 0 || runs.Load() != 6 {
		t.Errorf("%d runs, %d failures, %d dead letters; want 6, 0, 0", runs.Load(), fails(p), dead)
	}
}

// Writes that the store refuses are the handler's failure: the entry becomes a
// dead letter and its lane goes on.
func TestRefusedWritesDontWedgeTheLane(t *testing.T) {
	m, _ := started(t, 2, func(d Delivery) Outcome {
		if d.Entry.S == 2 {
			return Outcome{Writes: []fsm.KVChange{{Key: "", Delete: true}}}
		}
		return Outcome{}
	})
	eventually(t, "the lane went on", func() bool { left, _ := pending(m.o.Machine); return left == 0 })
	if _, dead := pending(m.o.Machine); dead != 1 {
		t.Errorf("%d dead letters, want 1", dead)
	}
}

// Changes that were reported before the lanes were rebuilt and are taken after
// it must not bring back what is done.
func TestRebuiltLanesIgnoreOlderChanges(t *testing.T) {
	m, p := newTestManager(t)
	journal(t, p, 1)
	var e *fsm.Entry
	var index uint64
	m.o.Machine.View(func(i uint64, s *fsm.State) {
		index = i
		for e = range s.Bot("default").PendingEntries() {
			break
		}
	})
	p.do(&fsm.Done{Bot: "default", Shard: testShard, Pos: e.Pos, Handler: "h", Runner: refJoe})
	m.disp.take(dispatchInput{restored: true})
	m.disp.take(dispatchInput{changes: &fsm.Changes{Added: []*fsm.Entry{e}}, index: index})
	if start, _ := m.disp.lanes.Next(m.now(), 1); len(start) > 0 {
		t.Errorf("entry %d starts although it is done", start[0].Pos)
	}
}

// A restore that brings the same entries doesn't start again what was finished
// here and is on its way into the log.
func TestRestoreKeepsWhatIsFinished(t *testing.T) {
	entry := func(attempts uint32) *fsm.Entry {
		return &fsm.Entry{Bot: "default", Pos: 1, Shard: testShard, Runner: refJoe, Attempts: attempts, Handlers: []string{"h"}}
	}
	for name, finish := range map[string]func(*Lanes, *fsm.Entry){
		"passed":  func(l *Lanes, e *fsm.Entry) { l.Finished(e, true, 0) },
		"settled": func(l *Lanes, e *fsm.Entry) { l.Settled(e) },
		"failed":  func(l *Lanes, e *fsm.Entry) { l.Failed(e, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			l := NewLanes(refJoe)
			l.Reset(1, []*fsm.Entry{entry(0)})
			start, _ := l.Next(1, 1)
			if len(start) != 1 {
				t.Fatal("the entry doesn't start")
			}
			finish(l, start[0])
			l.Reset(1, []*fsm.Entry{entry(0)})
			if again, _ := l.Next(1, 1); len(again) > 0 {
				t.Error("it starts again after a restore")
			}
			l.Reset(1, []*fsm.Entry{entry(1)})
			if again, _ := l.Next(1, 1); len(again) != 1 {
				t.Error("it doesn't start as another attempt")
			}
		})
	}
}

// A handler that fails again and again takes nothing with it: the others of the
// entry run, once, and the entry is a dead letter for that one alone.
func TestOthersRunWhenOneFails(t *testing.T) {
	for name, write := range map[string]bool{"plain": false, "with writes": true} {
		t.Run(name, func(t *testing.T) {
			var before, stubborn, after atomic.Int32
			m, p := started(t, 0, func(d Delivery) Outcome {
				var out Outcome
				switch d.Handler {
				case "stubborn":
					stubborn.Add(1)
					return Outcome{Err: errors.New("no")}
				case "a":
					before.Add(1)
				default:
					after.Add(1)
				}
				if write {
					out.Writes = []fsm.KVChange{{Key: d.Handler, Value: []byte("v")}}
				}
				return out
			})
			p.do(&fsm.Program{Node: refJoe, Bots: []fsm.BotProgram{{Bot: "default", Handlers: []fsm.Interest{
				{Type: discord.EventMessageCreate, Handlers: []string{"a", "stubborn", "z"}},
			}}}})
			p.do(&fsm.Events{
				Bot: "default", Shard: testShard, Epoch: 1, SID: "s", Prev: 1,
				Evs: []fsm.Event{{S: 2, Type: discord.EventMessageCreate, Lane: 7, Raw: []byte(`{}`)}},
			})
			eventually(t, "the entry is a dead letter", func() bool {
				left, dead := pending(p.machine)
				return left == 0 && dead == 1
			})
			if a, b, c := before.Load(), stubborn.Load(), after.Load(); a != 1 || b != 5 || c != 1 {
				t.Errorf("the handlers ran %d, %d and %d times", a, b, c)
			}
			m.o.Machine.View(func(_ uint64, s *fsm.State) {
				if d := s.Bot("default").DeadLetters()[0]; len(d.Entry.Handlers) != 1 || d.Entry.Handlers[0] != "stubborn" {
					t.Errorf("dead for %v", d.Entry.Handlers)
				}
			})
		})
	}
}

// An entry for a handler that the program doesn't have is a dead letter at once.
func TestHandlerThatIsGone(t *testing.T) {
	var runs atomic.Int32
	_, p := started(t, 1, func(Delivery) Outcome {
		runs.Add(1)
		return Outcome{Err: fmt.Errorf("%w: h", ErrNoHandler)}
	})
	eventually(t, "the entry is a dead letter", func() bool {
		left, dead := pending(p.machine)
		return left == 0 && dead == 1
	})
	if n := runs.Load(); n != 1 {
		t.Errorf("it was tried %d times", n)
	}
}

// turns collects what a manager measures of handlers.
type turns struct {
	noMetrics
	results chan string
}

func (m turns) HandlerEnded(_, _, result string, _ time.Duration) { m.results <- result }
func (m turns) InteractionSkipped(string, string)                 { m.results <- "skipped" }

// Each turn of a handler is measured once, by what became of it.
func TestTurnsAreMeasured(t *testing.T) {
	plan := []func() Outcome{
		func() Outcome { panic("no") },
		func() Outcome { return Outcome{Err: errors.New("no")} },
		func() Outcome { return Outcome{Err: fmt.Errorf("reply: %w", ErrNotFresh)} },
		func() Outcome { return Outcome{} },
	}
	var runs atomic.Int32
	measured := turns{results: make(chan string, 10)}
	startedWith(t, 1, func(Delivery) Outcome { return plan[min(int(runs.Add(1)), len(plan))-1]() }, measured)
	for _, want := range []string{ResultPanicked, ResultFailed, ResultCancelled, ResultOK} {
		select {
		case got := <-measured.results:
			if got != want {
				t.Errorf("measured %s, want %s", got, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("nothing measured where %s was to be", want)
		}
	}
}

// An event that is skipped as too late is measured as that, and is done with.
func TestLateTurnsAreMeasured(t *testing.T) {
	measured := turns{results: make(chan string, 10)}
	startedWith(t, 1, func(Delivery) Outcome { return Outcome{Late: true} }, measured)
	for _, want := range []string{"skipped", ResultLate} {
		select {
		case got := <-measured.results:
			if got != want {
				t.Errorf("measured %s, want %s", got, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("nothing measured where %s was to be", want)
		}
	}
}

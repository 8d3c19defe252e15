package shard

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/botnode/botnode/fsm"
)

// letAct makes a manager that isn't started fresh, or not.
func letAct(m *Manager, fresh bool) {
	until := m.now()
	if fresh {
		until += time.Hour
	}
	m.fresh.Store(int64(until))
}

// TestGateOfAnExecution asks the gate that stands before each write of a handler
// to Discord, for each reason that it has to be shut.
func TestGateOfAnExecution(t *testing.T) {
	m, _ := newTestManager(t)
	for what, c := range map[string]struct {
		fresh bool
		end   func(*execution)
		want  error
	}{
		"it runs":                              {true, func(*execution) {}, nil},
		"no leader answers the node":           {false, func(*execution) {}, ErrNotFresh},
		"it was given up as it doesn't return": {true, func(x *execution) { x.over.Store(true) }, ErrNotRunner},
		"another node runs the entry":          {true, func(x *execution) { x.cancel(ErrNotRunner) }, ErrNotRunner},
		"the node stops":                       {true, func(x *execution) { x.cancel(errStopping) }, errStopping},
	} {
		letAct(m, c.fresh)
		x := newExecution(m.disp, &fsm.Entry{}, 1)
		c.end(x)
		if err := x.gate(); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
		x.cancel(nil)
	}
}

// TestNoHandlerStartsWithoutALeader has an entry wait until a leader answers.
func TestNoHandlerStartsWithoutALeader(t *testing.T) {
	var runs atomic.Int32
	m, p := newTestManager(t, &BotOptions{Name: "default", Handlers: handlerFunc(func(Delivery) Outcome {
		runs.Add(1)
		return Outcome{}
	})})
	journal(t, p, 1)
	m.disp.take(dispatchInput{restored: true})
	letAct(m, false)
	m.disp.begin()
	if _, running := m.disp.lanes.Len(); running != 0 || m.stats.Started.Load() != 0 {
		t.Errorf("%d handlers run although no leader answers", running)
	}
	letAct(m, true)
	m.disp.begin()
	if m.stats.Started.Load() != 1 {
		t.Error("none starts although one answers")
	}
	eventually(t, "the handler has run", func() bool { return runs.Load() == 1 })
	m.stop()
	m.disp.workers.Wait()
}

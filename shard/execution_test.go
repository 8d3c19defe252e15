package shard

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// oneEntry gives refJoe's program handlers, and an entry for them.
func oneEntry(p *fakeProposer, handlers ...string) {
	p.do(&fsm.Program{Node: refJoe, Bots: []fsm.BotProgram{{Bot: "default", Handlers: []fsm.Interest{
		{Type: discord.EventMessageCreate, Handlers: handlers},
	}}}})
	p.do(&fsm.Events{
		Bot: "default", Shard: testShard, Epoch: 1, SID: "s", Prev: 1,
		Evs: []fsm.Event{{S: 2, Type: discord.EventMessageCreate, Lane: 7, Raw: []byte(`{}`)}},
	})
}

// calls counts the runs of each handler.
type calls struct {
	mu sync.Mutex
	of map[string]int
}

func (c *calls) add(handler string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[string]int)
	}
	c.of[handler]++
	return c.of[handler]
}

func (c *calls) get(handler string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[handler]
}

// A handler that is done, and whose acknowledgement has no answer for longer than
// any handler may take, is not given up: its lane would wait for ever.
func TestSlowCommitIsNoHangingHandler(t *testing.T) {
	var runs calls
	m, p := started(t, 0, func(d Delivery) Outcome {
		runs.add(d.Handler)
		return Outcome{Writes: []fsm.KVChange{{Key: "k", Value: []byte("v")}}}
	})
	m.disp.grace = time.Millisecond
	var lost atomic.Int32
	p.losing(func(c fsm.Command) bool {
		_, done := c.(*fsm.Done)
		return done && lost.Add(1) < 20
	})
	oneEntry(p, "quick")
	eventually(t, "the entry is done", func() bool { left, _ := pending(m.o.Machine); return left == 0 })
	if n := runs.get("quick"); n != 1 || fails(p) > 0 {
		t.Errorf("%d runs, %d failures", n, fails(p))
	}
}

// A handler that doesn't return is given up, and the one before it, whose
// acknowledgement is on its way still, doesn't run again.
func TestHangingHandlerRepeatsNoOther(t *testing.T) {
	var runs calls
	hang := make(chan struct{})
	m, p := started(t, 0, func(d Delivery) Outcome {
		if runs.add(d.Handler) == 1 && d.Handler == "quick" {
			<-hang
		}
		return Outcome{}
	})
	t.Cleanup(func() { close(hang) })
	m.disp.grace = time.Millisecond
	var lost atomic.Int32
	p.losing(func(c fsm.Command) bool {
		d, done := c.(*fsm.Done)
		return done && d.Handler == "a" && lost.Add(1) < 20
	})
	oneEntry(p, "a", "quick")
	eventually(t, "the entry is done", func() bool { left, _ := pending(m.o.Machine); return left == 0 })
	if a, quick := runs.get("a"), runs.get("quick"); a != 1 || quick != 2 || fails(p) != 1 {
		t.Errorf("runs: a %d, quick %d; %d failures", a, quick, fails(p))
	}
}

// An operator retries one handler's dead letter while another handler runs: that
// one, which succeeds, doesn't run again.
func TestRetryRepeatsNoOther(t *testing.T) {
	var runs calls
	begun, goOn := make(chan struct{}), make(chan struct{})
	m, p := started(t, 0, func(d Delivery) Outcome {
		n := runs.add(d.Handler)
		switch {
		case d.Handler == "a" && n == 1:
			return Outcome{Err: ErrNoHandler}
		case d.Handler == "z" && n == 1:
			return Outcome{Err: errors.New("later")}
		case d.Handler == "z" && n == 2:
			close(begun)
			<-goOn
		}
		return Outcome{}
	})
	var lost atomic.Int32
	p.losing(func(c fsm.Command) bool {
		d, done := c.(*fsm.Done)
		return done && d.Handler == "z" && lost.Add(1) < 20
	})
	oneEntry(p, "a", "z")
	<-begun
	p.do(&fsm.Dead{Bot: "default", Pos: 1, Retry: true})
	close(goOn)
	eventually(t, "the entry is done", func() bool { left, dead := pending(m.o.Machine); return left+dead == 0 })
	if got := []int{runs.get("a"), runs.get("z")}; !slices.Equal(got, []int{2, 2}) {
		t.Errorf("runs of a and z: %v", got)
	}
}

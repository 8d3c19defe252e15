package consensus

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// registerOp is an operation on the toy register: a write of value, or a read.
type registerOp struct {
	write bool
	value string
}

var registerModel = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		if op := input.(registerOp); op.write {
			return true, op.value
		}
		return output.(string) == state.(string), state
	},
	Equal: func(a, b any) bool { return a == b },
}

// history records operations for porcupine.
type history struct {
	mu    sync.Mutex
	start time.Time
	ops   []porcupine.Operation
}

func (h *history) now() int64 { return int64(time.Since(h.start)) }

func (h *history) add(client int, op registerOp, call int64, out string, ret int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: op, Call: call, Output: out, Return: ret})
}

// TestLinearizable runs clients on three surviving nodes of five, which write through proposers and read at a
// linearizable index, while two leaders are killed and one is cut off, and checks the history.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 5, nil)
	h := &history{start: time.Now()}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	clients := 0
	for _, n := range c.live() {
		p := c.proposer(n, nil)
		for range 2 {
			id := clients
			clients++
			wg.Go(func() { c.registerClient(ctx, h, id, n, p) })
		}
	}
	c.progress(h, 60)
	c.Kill(c.Leader(), true)
	c.progress(h, 60)
	cut := c.Leader()
	c.Partition(cut)
	c.Leader()
	c.progress(h, 30)
	c.Heal(cut)
	c.Kill(c.Leader(), true)
	c.progress(h, 60)
	cancel()
	wg.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	res := porcupine.CheckOperationsTimeout(registerModel, h.ops, patience)
	t.Logf("%d operations: %v", len(h.ops), res)
	if res == porcupine.Illegal {
		t.Error("the history is not linearizable")
	}
}

// progress waits for n more operations.
func (c *cluster) progress(h *history, n int) {
	c.t.Helper()
	count := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.ops)
	}
	want := count() + n
	c.eventually("progress", func() bool { return count() >= want })
}

// registerClient works until its node dies or ctx ends. A write whose outcome is unknown may take effect at any later
// time, so it is recorded as never having returned.
func (c *cluster) registerClient(ctx context.Context, h *history, id int, n *testNode, p *Proposer) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	for i := 0; ctx.Err() == nil; i++ {
		call := h.now()
		if rand.IntN(3) == 0 {
			op := registerOp{true, fmt.Sprintf("%d-%d", id, i)}
			if _, err := p.Propose(ctx, []byte(op.value+" "+op.value)); err == nil {
				h.add(id, op, call, "", h.now())
			} else if !NotAppended(err) {
				h.add(id, op, call, "", 1<<62)
				return // a client has one operation at a time
			}
			continue
		}
		limit, done := context.WithTimeout(ctx, 500*time.Millisecond)
		index, err := p.LinearizableIndex(limit)
		if err == nil {
			err = n.WaitApplied(limit, index)
		}
		done()
		if err == nil {
			h.add(id, registerOp{}, call, n.toy.read().Register, h.now())
		} else {
			sleep(ctx, time.Millisecond)
		}
	}
}

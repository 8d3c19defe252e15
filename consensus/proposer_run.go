package consensus

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// batch is an entry on its way.
type batch struct {
	cmds []command
	sent time.Time
	res  []byte
	err  error
}

// flight is what run knows of the batches on their way. They all go to one leader of one term; with an error, or when
// the leader changes, nothing more is sent until all of them came back, and then a new stream begins.
type flight struct {
	leader Leader
	place  place
	count  int
	broken bool
	ctx    context.Context
	cancel context.CancelFunc
	back   chan *batch
	wg     sync.WaitGroup
}

// run owns the flight; all batches are sent and all outcomes handled here.
func (p *Proposer) run() {
	defer close(p.stopped)
	states, unsubscribe := p.o.Raft.lead.subscribe()
	defer unsubscribe()
	f := &flight{place: place{session: p.session}, back: make(chan *batch, p.o.MaxInFlight), cancel: func() {}}
	hold := time.NewTimer(time.Hour)
	defer hold.Stop()
	for {
		select {
		case <-p.wake:
		case b := <-f.back:
			p.landed(f, b)
		case _, ok := <-states:
			if !ok {
				states = nil // the node is closed; the queue fails by HoldTimeout or Close
			}
		case <-hold.C:
		case <-p.stop:
			p.finish(f)
			return
		}
		if oldest := p.pump(f); !oldest.IsZero() {
			hold.Reset(time.Until(oldest.Add(p.o.HoldTimeout)) + time.Millisecond)
		}
	}
}

// pump sends what can be sent. If no leader is known it fails what waited too long, and returns since when the oldest
// command waits that is left.
func (p *Proposer) pump(f *flight) (oldest time.Time) {
	leader := p.o.Raft.Leader()
	if !leader.Known {
		return p.failQueue(ErrNoLeader, time.Now().Add(-p.o.HoldTimeout))
	}
	if leader.ID != f.leader.ID || leader.Term != f.leader.Term {
		f.leave()
	}
	if f.broken || f.leader.ID == "" {
		if f.count > 0 {
			return time.Time{}
		}
		f.begin(leader)
	}
	for f.count < p.o.MaxInFlight {
		cmds := p.takeBatch()
		if len(cmds) == 0 {
			break
		}
		p.send(f, cmds)
	}
	return time.Time{}
}

// leave ends a stream: what is on its way to a former leader comes back now, with an unknown outcome.
func (f *flight) leave() {
	f.broken = true
	f.cancel()
}

func (f *flight) begin(leader Leader) {
	f.cancel()
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.leader, f.broken = leader, false
	f.place.stream++
	f.place.seq = 0
}

// send sends one batch. Its goroutine only waits: the order is made here for the local node, and by the leader's
// acceptor, from the sequence number, for another one.
func (p *Proposer) send(f *flight, cmds []command) {
	b := &batch{cmds: cmds}
	parts := make([][]byte, len(cmds))
	for i, c := range cmds {
		parts[i] = c.bytes
	}
	entry := p.o.Encode(parts)
	if err := p.o.Raft.fits(entry); err != nil {
		// On its way it would only come back, and break the stream for those after it.
		p.deliver.add(func() {
			for _, c := range cmds {
				c.done(nil, err)
			}
		})
		return
	}
	b.sent = time.Now()
	f.count++
	at, ctx := f.place, f.ctx
	f.place.seq++
	if f.leader.ID == p.o.Raft.opts.ID {
		future := p.o.Raft.Propose(entry)
		f.wg.Go(func() {
			b.waitLocal(ctx, future, p.o.CallTimeout, p.o.EncodeResult)
			f.back <- b
		})
		return
	}
	addr := f.leader.Addr
	f.wg.Go(func() {
		b.callRemote(ctx, p.o.Caller, addr, encodeEntry(at, entry), p.o.CallTimeout)
		f.back <- b
	})
}

func (b *batch) waitLocal(ctx context.Context, f *Future, limit time.Duration, encode func(any) []byte) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, res, err := f.Wait(ctx)
	if err != nil {
		b.err = err
		return
	}
	b.res = encode(res)
}

func (b *batch) callRemote(ctx context.Context, c Caller, addr string, req []byte, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := c.Call(ctx, addr, req)
	if err != nil {
		b.err = unknown(err)
		return
	}
	_, b.res, b.err = decodeOutcome(answer)
}

// landed hands the outcome of a batch to its commands.
func (p *Proposer) landed(f *flight, b *batch) {
	f.count--
	var parts [][]byte
	if b.err == nil {
		p.setVerified(b.sent)
		parts, b.err = p.split(b)
	} else {
		f.leave()
		p.o.Logger.Debug("batch failed", zap.String("leader", f.leader.ID), zap.Int("commands", len(b.cmds)), zap.Error(b.err))
	}
	p.deliver.add(func() {
		for i, c := range b.cmds {
			if b.err != nil {
				c.done(nil, b.err)
			} else {
				c.done(parts[i], nil)
			}
		}
	})
}

// split splits the result. A result that can't be split was applied all the same; to the caller it is unknown.
func (p *Proposer) split(b *batch) ([][]byte, error) {
	parts, err := p.o.SplitResults(b.res, len(b.cmds))
	if err == nil && len(parts) != len(b.cmds) {
		err = fmt.Errorf("%d results for %d commands", len(parts), len(b.cmds))
	}
	if err != nil {
		return nil, unknown(fmt.Errorf("split results: %w", err))
	}
	return parts, nil
}

// finish waits for what is on its way.
func (p *Proposer) finish(f *flight) {
	f.leave()
	f.wg.Wait()
	for f.count > 0 {
		p.landed(f, <-f.back)
	}
}

// deliverer calls the dones in order, apart from run, so that a done that submits a command can't block the sending.
// Its list holds no more than what was in flight or queued.
type deliverer struct {
	mu     sync.Mutex
	list   []func()
	closed bool
	wake   chan struct{}
	// ended is closed when everything was delivered after close.
	ended chan struct{}
}

func newDeliverer() *deliverer {
	return &deliverer{wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

func (d *deliverer) add(f func()) {
	d.mu.Lock()
	d.list = append(d.list, f)
	d.mu.Unlock()
	d.poke()
}

func (d *deliverer) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.poke()
}

func (d *deliverer) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *deliverer) run() {
	defer close(d.ended)
	for range d.wake {
		d.mu.Lock()
		list, closed := d.list, d.closed
		d.list = nil
		d.mu.Unlock()
		for _, f := range list {
			f()
		}
		if closed {
			return
		}
	}
}

package consensus

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Future is the outcome of a proposal, now or later.
type Future struct {
	// done is closed when the fields below are final.
	done  chan struct{}
	once  sync.Once
	index uint64
	res   any
	err   error
}

// Done is closed when the outcome is known, or known to be unknown.
func (f *Future) Done() <-chan struct{} { return f.done }

// Result waits for the outcome: the entry's index and what the machine answered, or an error of the classes
// ErrNotLeader, ErrTooLarge and ErrShutdown (surely not appended), and ErrUnknownOutcome.
func (f *Future) Result() (index uint64, res any, err error) {
	<-f.done
	return f.index, f.res, f.err
}

// Wait is Result with a deadline. When ctx ends first, the outcome is unknown.
func (f *Future) Wait(ctx context.Context) (index uint64, res any, err error) {
	select {
	case <-f.done:
		return f.index, f.res, f.err
	case <-ctx.Done():
		return 0, nil, unknown(context.Cause(ctx))
	}
}

func (f *Future) complete(index uint64, res any, err error) {
	f.once.Do(func() {
		f.index, f.res, f.err = index, res, err
		close(f.done)
	})
}

func failed(err error) *Future {
	f := &Future{done: make(chan struct{})}
	f.complete(0, nil, err)
	return f
}

// Propose appends an entry on the leader. It keeps the order of calls, and blocks only while raft's own queue is full.
// The entry must not be changed any more.
func (r *Raft) Propose(entry []byte) *Future {
	if err := r.fits(entry); err != nil {
		return failed(err)
	}
	return r.proposals.propose(entry)
}

// fits returns nil for an entry that may be proposed, on whichever node, else ErrTooLarge.
func (r *Raft) fits(entry []byte) error {
	if len(entry) == 0 || len(entry) > r.opts.MaxEntryBytes {
		return fmt.Errorf("%w: %d bytes, allowed are 1 to %d", ErrTooLarge, len(entry), r.opts.MaxEntryBytes)
	}
	return nil
}

// proposals hands entries to raft in order and completes their futures.
type proposals struct {
	raft    *raft.Raft
	metrics Metrics

	// order is held while an entry is handed to raft, so that entries are appended in the order of calls.
	order sync.Mutex
	// inRaft holds what raft was given, in that order.
	inRaft chan handed
	// stop is closed when raft is gone.
	stop chan struct{}
	wg   sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   map[*Future]struct{}
	// empty is closed when open is, after closed was set.
	empty chan struct{}
}

type handed struct {
	future *Future
	apply  raft.ApplyFuture
	at     time.Time
}

// inRaftMax bounds the proposals that wait for their outcome.
const inRaftMax = 1024

func newProposals(rf *raft.Raft, o Options) *proposals {
	return &proposals{
		raft: rf, metrics: o.Metrics, inRaft: make(chan handed, inRaftMax), stop: make(chan struct{}),
		open: make(map[*Future]struct{}), empty: make(chan struct{}),
	}
}

func (p *proposals) propose(entry []byte) *Future {
	f := &Future{done: make(chan struct{})}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return failed(ErrShutdown)
	}
	p.open[f] = struct{}{}
	p.mu.Unlock()

	p.order.Lock()
	defer p.order.Unlock()
	h := handed{future: f, at: time.Now()}
	h.apply = p.raft.ApplyLog(raft.Log{Data: entry}, 0)
	select {
	case p.inRaft <- h:
	case <-p.stop:
		p.finish(f, 0, nil, unknown(ErrShutdown))
	}
	return f
}

func (p *proposals) start() { p.wg.Go(p.wait) }

// wait completes futures in the order in which raft got them, which is that in which raft answers: by index, or all at
// once when leadership is lost.
func (p *proposals) wait() {
	for {
		select {
		case h := <-p.inRaft:
			err := classify(h.apply.Error())
			p.metrics.Proposed(time.Since(h.at), err)
			if err != nil {
				p.finish(h.future, 0, nil, err)
				continue
			}
			p.finish(h.future, h.apply.Index(), h.apply.Response(), nil)
		case <-p.stop:
			return
		}
	}
}

func (p *proposals) finish(f *Future, index uint64, res any, err error) {
	f.complete(index, res, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, f)
	if p.closed && len(p.open) == 0 {
		p.closeEmpty()
	}
}

func (p *proposals) closeEmpty() {
	select {
	case <-p.empty:
	default:
		close(p.empty)
	}
}

// drain refuses new proposals and waits for those on their way.
func (p *proposals) drain(limit time.Duration) {
	p.mu.Lock()
	p.closed = true
	if len(p.open) == 0 {
		p.closeEmpty()
	}
	p.mu.Unlock()
	select {
	case <-p.empty:
	case <-time.After(limit):
	}
}

// settle waits for those whose outcome is known and on its way to the state machine, as long as applied denies that it has
// everything: raft forgets them when it stops. What can't be committed isn't waited for.
func (p *proposals) settle(applied func() bool) {
	limit := time.After(abandonTimeout)
	for !applied() {
		select {
		case <-p.empty:
			return
		case <-time.After(waitPoll):
		case <-limit:
			return
		}
	}
}

// abandonTimeout bounds the wait for a future that raft forgot.
const abandonTimeout = time.Second

// abandon completes what raft, which is gone by now, left open. Raft never answers a future whose entry was queued for
// the state machine when it stopped: then one goroutine stays behind in its Error call.
func (p *proposals) abandon() {
	close(p.stop)
	p.mu.Lock()
	left := make([]*Future, 0, len(p.open))
	for f := range p.open {
		left = append(left, f)
	}
	p.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		p.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(abandonTimeout):
	}
	for _, f := range left {
		p.finish(f, 0, nil, unknown(ErrShutdown))
	}
}

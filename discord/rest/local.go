package rest

import (
	"context"
	"net/http"
	"sync"
	"time"
)

const (
	// maxRoutes bounds what is learnt of routes: foreign clients may ask for any path.
	maxRoutes = 4096
	// firstSweep is the count of buckets at which idle ones are first looked for.
	firstSweep = 1024
	// exemptLane is the lane of what no global limit binds.
	exemptLane = identities
)

// localLimiter is the Limiter of one node. A request waits first in its
// bucket's queue, then in the lane of its identity: the first wait is for its own
// bucket only, the second is the same for all, so no bucket waits for another.
type localLimiter struct {
	mu      sync.Mutex // guards all below, and is never held while anything waits
	buckets map[bucketKey]*bucket
	routes  map[string]string // what Discord calls the bucket of a route
	lanes   [identities + 1]*lane
	sweepAt int
	closed  bool
}

var (
	_ Limiter = (*localLimiter)(nil)
	_ Permit  = (*waiter)(nil)
)

// newLocalLimiter returns a limiter that knows no bucket yet.
func newLocalLimiter(globalPerSecond int) *localLimiter {
	l := &localLimiter{buckets: map[bucketKey]*bucket{}, routes: map[string]string{}, sweepAt: firstSweep}
	for i := range l.lanes {
		l.lanes[i] = &lane{limit: globalPerSecond}
	}
	l.lanes[exemptLane].limit = 0
	return l
}

// setGlobal changes the global limit. Who waits may go at once if it has risen.
func (l *localLimiter) setGlobal(perSecond int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, lane := range l.lanes {
		if i != int(exemptLane) && lane.limit != perSecond {
			lane.limit = perSecond
			l.pumpLane(lane, time.Now())
		}
	}
}

// Acquire implements Limiter.
func (l *localLimiter) Acquire(ctx context.Context, r Request) (Permit, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &waiter{limiter: l, req: r, ready: make(chan struct{}), lane: l.lanes[r.Identity]}
	if r.Exempt {
		w.lane = l.lanes[exemptLane]
	}
	w.deadline, _ = ctx.Deadline()
	l.enter(w)
	select {
	case <-w.ready:
	case <-ctx.Done():
		if l.leave(w) {
			return nil, ctx.Err()
		}
	}
	if w.err != nil {
		return nil, w.err
	}
	return w, nil
}

// enter puts a waiter into its bucket's queue, unless it would wait there in vain.
func (l *localLimiter) enter(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		w.settle(ErrClosed)
		return
	}
	now := time.Now()
	b := l.find(w.req)
	b.used = now
	place := b.push(w)
	if w.tooLate(now, b.earliest(now, place), b.why(now)) || w.tooLate(now, w.lane.blocked, w.lane.scope) {
		b.remove(w)
		return
	}
	l.pump(b, now)
}

// leave takes a waiter whose context is done out of its queue. It returns false
// if the waiter was settled before: then its permit or error stands.
func (l *localLimiter) leave(w *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, now := w.bucket.self(), time.Now()
	switch w.stage {
	case settled:
		return false
	case inBucket:
		b.remove(w)
	case inLane:
		w.lane.remove(w)
		b.inflight--
	}
	w.stage = settled
	l.pump(b, now)
	return true
}

// Done implements Permit.
func (w *waiter) Done(a Answer) {
	l := w.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	b := w.bucket.self()
	b.inflight--
	w.lane.done(now, a)
	target := b
	if a.Fate == Answered && a.Bucket != "" {
		target = l.learn(b, w.req, a.Bucket)
	}
	target.observe(now, a)
	if a.Status == http.StatusTooManyRequests {
		l.limited(w.lane, target, a, now)
	}
	l.pump(target, now)
	l.pump(b.self(), now)
	l.pumpLane(w.lane, now)
	l.sweep(now)
}

// limited obeys a 429 that is about more than a bucket, and fails at once
// whoever would have to wait too long after it.
func (l *localLimiter) limited(own *lane, b *bucket, a Answer, now time.Time) {
	switch a.Scope {
	case ScopeGlobal:
		own.block(now, a)
	case ScopeEdge: // the address is meant, so nobody is exempt
		for _, lane := range l.lanes {
			lane.block(now, a)
		}
	}
	b.queue = keep(b.queue, now, b.why(now), b.earliest)
	for _, lane := range l.lanes {
		lane.queue = keep(lane.queue, now, lane.scope, lane.earliest)
	}
}

// pump moves waiters of a bucket on to their lanes while the bucket has room.
func (l *localLimiter) pump(b *bucket, now time.Time) {
	for len(b.queue) > 0 && !l.closed && b.available(now) > 0 {
		w := b.queue[0]
		b.queue = b.queue[1:]
		b.inflight++
		w.stage = inLane
		at := w.lane.earliest(now, len(w.lane.queue))
		if w.tooLate(now, at, w.lane.scope) {
			continue
		}
		w.lane.queue = append(w.lane.queue, w)
		l.pumpLane(w.lane, now)
	}
	l.arm(&b.timer, len(b.queue) > 0, b.wakeAt(now), now, func(now time.Time) { l.pump(b.self(), now) })
}

// pumpLane grants permits while the lane has room.
func (l *localLimiter) pumpLane(lane *lane, now time.Time) {
	for len(lane.queue) > 0 && !l.closed && lane.available(now) > 0 {
		w := lane.queue[0]
		lane.queue = lane.queue[1:]
		lane.inflight++
		w.settle(nil)
	}
	l.arm(&lane.timer, len(lane.queue) > 0, lane.wakeAt(now), now, func(now time.Time) { l.pumpLane(lane, now) })
}

// arm sets a queue's timer for when it has a chance again, or stops it.
func (l *localLimiter) arm(t **time.Timer, waiting bool, at, now time.Time, pump func(time.Time)) {
	if !waiting || at.IsZero() || l.closed {
		if *t != nil {
			(*t).Stop()
		}
		return
	}
	if *t != nil {
		(*t).Reset(at.Sub(now))
		return
	}
	*t = time.AfterFunc(at.Sub(now), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		pump(time.Now())
	})
}

// close fails all who wait.
func (l *localLimiter) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, b := range l.buckets {
		l.drop(&b.queue, b.timer)
	}
	for _, lane := range l.lanes {
		l.drop(&lane.queue, lane.timer)
	}
}

// drop fails the waiters of one queue.
func (l *localLimiter) drop(queue *[]*waiter, t *time.Timer) {
	if t != nil {
		t.Stop()
	}
	for _, w := range *queue {
		w.settle(ErrClosed)
	}
	*queue = nil
}

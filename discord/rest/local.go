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
	hold    bool            // new buckets wait for what the cluster knows of them
	blind   bool            // new buckets are blind
	sure    time.Time       // until when new buckets are probed, for what the dead have sent
	onLane  func(time.Time) // if set, called when a lane has changed
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
	l.lanes[exemptLane].none = true
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
	w := l.waiter(ctx, r)
	l.mu.Lock()
	l.enter(w, time.Now())
	l.mu.Unlock()
	return l.wait(ctx, w)
}

// waiter returns a request that has entered no queue yet.
func (l *localLimiter) waiter(ctx context.Context, r Request) *waiter {
	w := &waiter{limiter: l, req: r, ready: make(chan struct{}), lane: l.lanes[r.Identity]}
	if r.Exempt {
		w.lane = l.lanes[exemptLane]
	}
	w.deadline, _ = ctx.Deadline()
	return w
}

// wait returns when a waiter has its permit or its error, or its context is done.
func (l *localLimiter) wait(ctx context.Context, w *waiter) (Permit, error) {
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

// enter puts a waiter into its bucket's queue, unless it would wait there in
// vain. The caller holds the lock.
func (l *localLimiter) enter(w *waiter, now time.Time) {
	if l.closed {
		w.settle(ErrClosed)
		return
	}
	b := l.find(w.req)
	b.used = now
	place := b.push(w)
	if w.tooLate(now, b.earliest(now, place), b.why(now)) || w.lane != nil && w.tooLate(now, w.lane.blocked, w.lane.scope) {
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
	now := time.Now()
	switch w.stage {
	case settled:
		return false
	case inLane:
		w.lane.remove(w)
		if w.bucket != nil {
			w.bucket.self().inflight--
		}
	case inBucket:
		w.bucket.self().remove(w)
	case elsewhere: // in no queue here
	}
	w.stage = settled
	if w.bucket != nil {
		l.pump(w.bucket.self(), now)
	}
	return true
}

// Done implements Permit.
func (w *waiter) Done(a Answer) {
	l := w.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.counted(w, a, now)
	l.leaveLane(w.lane, a, now)
	l.sweep(now)
}

// counted takes in the end of a waiter's request where its bucket is kept.
func (l *localLimiter) counted(w *waiter, a Answer, now time.Time) {
	b := w.bucket.self()
	b.inflight--
	target := b
	if a.Fate == Answered && a.Bucket != "" {
		target = l.learn(b, w.req, a.Bucket, now)
	}
	target.observe(now, a)
	if w.probes && a.Fate == Answered && a.Bucket != "" {
		target.probe = false
	}
	if a.Status == http.StatusTooManyRequests {
		target.queue = keep(target.queue, now, target.why(now), target.earliest)
	}
	l.pump(target, now)
	l.pump(b.self(), now)
}

// leaveLane gives the place of a request back that has its answer.
func (l *localLimiter) leaveLane(own *lane, a Answer, now time.Time) {
	own.done(now, a)
	if a.Status == http.StatusTooManyRequests {
		l.limited(own, a, now)
	}
	l.pumpLane(own, now)
}

// limited obeys a 429 that is about more than a bucket, and fails at once
// whoever would have to wait too long after it.
func (l *localLimiter) limited(own *lane, a Answer, now time.Time) {
	switch a.Scope {
	case ScopeGlobal:
		own.block(now, a)
	case ScopeEdge: // the address is meant, so nobody is exempt
		for _, lane := range l.lanes {
			lane.block(now, a)
		}
	default:
		return
	}
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
		w.probes = b.probe && !now.Before(b.sure)
		if w.lane == nil {
			w.settle(nil)
			continue
		}
		l.enterLane(w, now)
	}
	l.arm(&b.timer, len(b.queue) > 0 && !b.held, b.wakeAt(now), now, func(now time.Time) { l.pump(b.self(), now) })
}

// enterLane puts a waiter that has its place in a bucket into its lane, unless
// it would wait there in vain.
func (l *localLimiter) enterLane(w *waiter, now time.Time) {
	w.stage = inLane
	if w.tooLate(now, w.lane.earliest(now, len(w.lane.queue)), w.lane.scope) {
		return
	}
	w.lane.push(w)
	l.pumpLane(w.lane, now)
}

// pumpLane grants permits while the lane has room.
func (l *localLimiter) pumpLane(lane *lane, now time.Time) {
	for len(lane.queue) > 0 && !l.closed && lane.available(now) > 0 {
		w := lane.queue[0]
		lane.queue = lane.queue[1:]
		lane.inflight++
		w.settle(nil)
	}
	if l.onLane != nil && !l.closed {
		l.onLane(now)
	}
	lane.used(now) // forgets the places that are free again: no timer is for them
	l.arm(&lane.timer, len(lane.queue) > 0 || lane.watched, lane.wakeAt(now), now, func(now time.Time) { l.pumpLane(lane, now) })
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

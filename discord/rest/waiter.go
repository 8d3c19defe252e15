package rest

import "time"

// waiter is a request that waits, or has its permit.
type waiter struct {
	limiter  *localLimiter
	req      Request
	deadline time.Time // zero: none
	bucket   *bucket   // follow self: it may have been absorbed; nil if another node keeps it
	probes   bool      // its answer ends the bucket's probe
	// told, if set, is called in place of closing ready, under the limiter's lock.
	told  func(error)
	lane  *lane // nil for another node's request: its place is there
	stage stage
	err   error         // set before ready is closed
	ready chan struct{} // closed when the stage is settled
}

// stage is where a waiter is.
type stage uint8

const (
	inBucket  stage = iota // in its bucket's queue
	inLane                 // has its place in the bucket, waits in its lane's queue
	elsewhere              // waits where its bucket is kept, which is told apart from the request's own lane
	settled                // has its permit or its error
)

// settle grants the permit, or fails the request with an error.
func (w *waiter) settle(err error) {
	w.stage, w.err = settled, err
	if w.told != nil {
		w.told(err)
		return
	}
	close(w.ready)
}

// tooLate fails a waiter whose turn comes after its deadline.
func (w *waiter) tooLate(now, at time.Time, scope Scope) bool {
	if w.deadline.IsZero() || !at.After(w.deadline) || !at.After(now) {
		return false
	}
	if w.stage == inLane && w.bucket != nil {
		w.bucket.self().inflight--
	}
	w.settle(&RateLimitError{RetryAfter: at.Sub(now), Route: w.req.Template, Scope: scope})
	return true
}

// keep returns those of a queue who need not wait beyond their deadlines, and fails the others.
func keep(queue []*waiter, now time.Time, scope Scope, earliest func(time.Time, int) time.Time) []*waiter {
	kept := queue[:0]
	for _, w := range queue {
		if !w.tooLate(now, earliest(now, len(kept)), scope) {
			kept = append(kept, w)
		}
	}
	clear(queue[len(kept):])
	return kept
}

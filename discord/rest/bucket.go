package rest

import (
	"net/http"
	"slices"
	"time"
)

// knowledge is what is known of a bucket.
type knowledge uint8

const (
	learning knowledge = iota // nothing yet: one request at a time until an answer tells
	free                      // an answer came without limits: none are kept
	known                     // the counts below hold
)

const (
	// sameWindow is how far two values of Discord's reset may differ within one window.
	sameWindow = 50 // milliseconds
	// pad is added to each reset, which has a precision of a millisecond.
	pad = 10 * time.Millisecond
	// flightTime is how long a request that was sent may take to be counted: what
	// a process sent that is gone is not known to have arrived before.
	flightTime = 500 * time.Millisecond
)

// bucket keeps one limit: a bucket of Discord's for one top-level resource, or a
// route for one resource while its bucket isn't known. It is pure: time comes in.
//
// Invariant (known): what Discord would still accept in its present window is at
// least remaining - inflight - len(lost). Every request in flight is taken as not
// yet counted, whichever window it lands in, and one without an answer as counted
// in each window that it may have landed in. So a reset needs no agreement on
// when it happened: the estimate of it is late by the way back, never early.
type bucket struct {
	key      bucketKey
	state    knowledge
	limit    int
	inflight int
	// remaining is the least that Discord reported in this window, or limit after it.
	remaining int
	// lost holds, for each request that may have been counted unseen, when the
	// window that it was counted in is over for certain; ascending.
	lost []time.Time
	// window is Discord's reset in its own milliseconds; it only rises.
	window  int64
	ours    bool          // window stands for Discord's clock, which the answers lack
	resetAt time.Time     // when the window is over for certain
	length  time.Duration // the longest reset that was seen
	blocked time.Time     // a 429 forbids requests until then
	scope   Scope         // whose 429 that was
	used    time.Time     // for the sweep
	rolled  bool          // the window is over and no answer of the next is here
	// probe: others may have used more of the window than is known, so one request
	// goes at a time until one that was sent knowing so has its answer.
	probe bool
	sure  time.Time // from when on an answer ends the probe
	// held: nothing goes before the cluster has told what it knows of the bucket.
	held bool
	// blind: a living process hasn't told what it has on the wire in the bucket, so
	// one request goes at a time until it has.
	blind bool

	queue []*waiter
	timer *time.Timer
	into  *bucket // the bucket that this one turned out to be
}

// bucketKey finds a bucket. Name is Discord's, or the route while that is unknown.
type bucketKey struct {
	name, major string
	identity    Identity
	provisional bool
	private     bool // see Request
}

// roll starts the next window if the present one is over.
func (b *bucket) roll(now time.Time) {
	if b.state != known || b.rolled || now.Before(b.resetAt) {
		return
	}
	b.rolled = true
	b.remaining = b.limit
}

// available is how many requests may be sent now.
func (b *bucket) available(now time.Time) int {
	b.roll(now)
	switch {
	case b.held, now.Before(b.blocked):
		return 0
	case b.state == known && (b.probe || b.blind):
		return min(b.room(now), 1-b.inflight)
	case b.state == learning:
		return 1 - b.inflight
	case b.state == free:
		return 1
	}
	return b.room(now)
}

// room is what is left of the window's count.
func (b *bucket) room(now time.Time) int {
	for len(b.lost) > 0 && !b.lost[0].After(now) {
		b.lost = b.lost[1:]
	}
	return b.remaining - b.inflight - len(b.lost)
}

// wakeAt is when waiting requests have a chance again without an answer coming; zero if unknown.
func (b *bucket) wakeAt(now time.Time) time.Time {
	if now.Before(b.blocked) {
		return b.blocked
	}
	var at time.Time
	if b.state == known && !b.rolled {
		at = b.resetAt
	}
	if len(b.lost) > 0 && (at.IsZero() || b.lost[0].Before(at)) {
		at = b.lost[0]
	}
	return at
}

// earliest is a lower bound of when the request with n others before it may be sent.
func (b *bucket) earliest(now time.Time, n int) time.Time {
	at := now
	if now.Before(b.blocked) {
		at = b.blocked
	}
	if b.state != known {
		return at
	}
	b.roll(now)
	behind := n - max(b.room(now), 0)
	if behind < 0 || b.rolled {
		return at
	}
	windows := behind / max(b.limit, 1)
	if next := b.resetAt.Add(time.Duration(windows) * b.length); next.After(at) {
		return next
	}
	return at
}

// why names the limit that the bucket's waiters wait for.
func (b *bucket) why(now time.Time) Scope {
	if now.Before(b.blocked) {
		return b.scope
	}
	return ScopeUser
}

// observe takes in the end of a request of this bucket. The caller has lowered inflight.
func (b *bucket) observe(now time.Time, a Answer) {
	b.used = now
	switch {
	case a.Fate == Unsent:
		return
	case a.Fate == Lost || a.Bucket == "":
		b.uncounted(now, a)
	default:
		b.count(now, a)
	}
	if a.Status == http.StatusTooManyRequests && (a.Scope == ScopeUser || a.Scope == ScopeShared) {
		b.block(now, a)
	}
}

// uncounted takes in a request of which Discord's count isn't known.
func (b *bucket) uncounted(now time.Time, a Answer) {
	switch b.state {
	case learning:
		if a.Fate == Answered && a.Status < 500 && a.Status != http.StatusTooManyRequests {
			b.state = free
		}
	case known:
		until := now.Add(b.length + pad)
		if a.orphan {
			until = until.Add(flightTime)
		}
		i, _ := slices.BinarySearchFunc(b.lost, until, time.Time.Compare)
		b.lost = slices.Insert(b.lost, i, until)
	}
}

// count takes in an answer that has the bucket's headers.
func (b *bucket) count(now time.Time, a Answer) {
	resetAt := now.Add(a.ResetAfter + pad)
	window := a.Reset
	b.ours = window == 0
	if b.ours { // without Discord's clock, ours stands in for it, and sameWindow hides the jitter
		window = resetAt.UnixMilli()
	}
	b.length = max(b.length, a.ResetAfter)
	b.limit = max(a.Limit, 1)
	switch {
	case b.state != known || window > b.window+sameWindow:
		b.state = known
		b.remaining, b.window, b.resetAt, b.rolled = a.Remaining, window, resetAt, false
	case b.rolled || window < b.window-sameWindow:
		// An answer of a window that is over says nothing of this one.
	default:
		b.remaining = min(b.remaining, a.Remaining)
		if resetAt.Before(b.resetAt) {
			b.resetAt = resetAt
		}
	}
}

// block obeys a 429.
func (b *bucket) block(now time.Time, a Answer) {
	if until := now.Add(a.RetryAfter + pad); until.After(b.blocked) {
		b.blocked, b.scope = until, a.Scope
	}
}

// idle is true if nothing of the bucket is worth keeping.
func (b *bucket) idle(now time.Time) bool {
	const keep = time.Minute
	return len(b.queue) == 0 && b.inflight == 0 && now.Sub(b.used) > keep &&
		now.After(b.blocked) && now.After(b.resetAt)
}

// push puts a waiter into the queue, the oldest request first, and returns its place.
func (b *bucket) push(w *waiter) int {
	i, _ := slices.BinarySearchFunc(b.queue, w, func(a, b *waiter) int {
		return a.req.Since.Compare(b.req.Since)
	})
	b.queue = slices.Insert(b.queue, i, w)
	w.bucket = b
	return i
}

// remove takes a waiter out of the queue.
func (b *bucket) remove(w *waiter) {
	b.queue = slices.DeleteFunc(b.queue, func(o *waiter) bool { return o == w })
}

// absorb takes over another bucket that turned out to be this one.
func (b *bucket) absorb(o *bucket) {
	o.into = b
	b.inflight += o.inflight
	b.probe, b.held, b.blind = b.probe || o.probe, b.held || o.held, b.blind || o.blind
	if o.sure.After(b.sure) {
		b.sure = o.sure
	}
	if o.blocked.After(b.blocked) {
		b.blocked, b.scope = o.blocked, o.scope
	}
	for _, w := range o.queue {
		b.push(w)
	}
	o.queue, o.inflight = nil, 0
	if o.timer != nil {
		o.timer.Stop()
	}
}

// self follows the way of a bucket that was absorbed.
func (b *bucket) self() *bucket {
	for b.into != nil {
		b = b.into
	}
	return b
}

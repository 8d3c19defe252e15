package rest

import (
	"slices"
	"time"
)

// lane keeps the global limit of one identity. It is pure: time comes in.
//
// A place is taken while its request is in flight and for a second after its
// answer. Discord counts the request somewhere between the two, so no second of
// Discord's clock, wherever it begins, sees more than limit requests; a window
// counted from the sending would let a slow request and the next window's first
// fall together. The price is the latency: limit/(1 s + latency) requests a second.
type lane struct {
	none    bool // no limit is kept
	limit   int  // how many places there are
	watched bool // the timer runs for onLane, too
	// whole is the cluster's limit where limit is a part of it that may change; else 0.
	whole    int
	inflight int
	cooling  []time.Time // when the places of the answered are free again, ascending
	blocked  time.Time
	scope    Scope

	queue []*waiter
	timer *time.Timer
}

// laneWindow is the time for which the global limit is counted.
const laneWindow = time.Second

// available is how many requests may be sent now.
func (l *lane) available(now time.Time) int {
	switch used := l.used(now); {
	case now.Before(l.blocked):
		return 0
	case l.none:
		return 1
	default:
		return l.limit - used
	}
}

// wakeAt is when waiting requests have a chance again without an answer coming; zero if unknown.
func (l *lane) wakeAt(now time.Time) time.Time {
	switch {
	case now.Before(l.blocked):
		return l.blocked
	case !l.none && len(l.cooling) > 0:
		return l.cooling[0]
	}
	return time.Time{}
}

// earliest is a lower bound of when the request with n others before it may be sent.
func (l *lane) earliest(now time.Time, n int) time.Time {
	at := now
	if l.blocked.After(at) {
		at = l.blocked
	}
	if l.whole > 0 { // at best all places of the cluster become this node's
		return at.Add(time.Duration(n/l.whole) * laneWindow)
	}
	if behind := n - max(l.available(now), 0); !l.none && behind >= 0 && len(l.cooling) > 0 {
		if next := l.cooling[min(behind, len(l.cooling)-1)]; next.After(at) {
			return next
		}
	}
	return at
}

// done gives a place back.
func (l *lane) done(now time.Time, a Answer) {
	l.inflight--
	if !l.none && a.Fate != Unsent {
		l.cooling = append(l.cooling, now.Add(laneWindow+pad))
	}
}

// block obeys a 429 that is about more than one bucket.
func (l *lane) block(now time.Time, a Answer) {
	if until := now.Add(a.RetryAfter + pad); until.After(l.blocked) {
		l.blocked, l.scope = until, a.Scope
	}
}

// push puts a waiter into the queue, the oldest request first.
func (l *lane) push(w *waiter) {
	i, _ := slices.BinarySearchFunc(l.queue, w, func(a, b *waiter) int { return a.req.Since.Compare(b.req.Since) })
	l.queue = slices.Insert(l.queue, i, w)
}

// used returns how many places are taken.
func (l *lane) used(now time.Time) int {
	done := 0
	for done < len(l.cooling) && !l.cooling[done].After(now) {
		done++
	}
	l.cooling = slices.Delete(l.cooling, 0, done)
	return l.inflight + len(l.cooling)
}

// remove takes a waiter out of the queue.
func (l *lane) remove(w *waiter) {
	l.queue = slices.DeleteFunc(l.queue, func(o *waiter) bool { return o == w })
}

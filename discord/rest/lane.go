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
	limit    int // 0: none is kept
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
	if now.Before(l.blocked) {
		return 0
	}
	if l.limit == 0 {
		return 1
	}
	done := 0
	for done < len(l.cooling) && !l.cooling[done].After(now) {
		done++
	}
	l.cooling = slices.Delete(l.cooling, 0, done)
	return l.limit - l.inflight - len(l.cooling)
}

// wakeAt is when waiting requests have a chance again without an answer coming; zero if unknown.
func (l *lane) wakeAt(now time.Time) time.Time {
	switch {
	case now.Before(l.blocked):
		return l.blocked
	case l.limit > 0 && len(l.cooling) > 0:
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
	if behind := n - max(l.available(now), 0); l.limit > 0 && behind >= 0 && len(l.cooling) > 0 {
		if next := l.cooling[min(behind, len(l.cooling)-1)]; next.After(at) {
			return next
		}
	}
	return at
}

// done gives a place back.
func (l *lane) done(now time.Time, a Answer) {
	l.inflight--
	if l.limit > 0 && a.Fate != Unsent {
		l.cooling = append(l.cooling, now.Add(laneWindow+pad))
	}
}

// block obeys a 429 that is about more than one bucket.
func (l *lane) block(now time.Time, a Answer) {
	if until := now.Add(a.RetryAfter + pad); until.After(l.blocked) {
		l.blocked, l.scope = until, a.Scope
	}
}

// remove takes a waiter out of the queue.
func (l *lane) remove(w *waiter) {
	l.queue = slices.DeleteFunc(l.queue, func(o *waiter) bool { return o == w })
}

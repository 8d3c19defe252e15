package rest

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// invalidSlot is how finely the ten minutes of the invalid limit are counted.
	invalidSlot = 10 * time.Second
	// invalidSlots is one more than ten minutes need: a request leaves the count late, never early.
	invalidSlots = 61
)

// refusals holds the reasons for sending nothing at all: too many invalid
// requests, a token that was refused, a webhook that is gone.
type refusals struct {
	limit int

	mu     sync.Mutex // guards all below
	slots  [invalidSlots]int
	alarm  alarm // the last one
	newest int64 // number of the newest slot, counted from start
	start  time.Time
	dead   [sha256.Size]byte // hash of the token that was refused
	gone   map[string]time.Time
}

// newRefusals returns a count of nothing.
func newRefusals(limit int) *refusals {
	return &refusals{limit: limit, start: time.Now(), gone: map[string]time.Time{}}
}

// advance empties the slots that are over. The caller holds the lock.
func (r *refusals) advance(now time.Time) {
	slot := int64(now.Sub(r.start) / invalidSlot)
	for n := min(slot-r.newest, invalidSlots); n > 0; n-- {
		r.slots[(slot-n+1)%invalidSlots] = 0
	}
	r.newest = max(r.newest, slot)
}

// sum returns the count of the last ten minutes. The caller holds the lock.
func (r *refusals) sum() int {
	sum := 0
	for _, n := range r.slots {
		sum += n
	}
	return sum
}

// add counts an invalid request, and returns how many there are.
func (r *refusals) add(now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance(now)
	r.slots[r.newest%invalidSlots]++
	return r.sum()
}

// count returns the invalid requests of the last ten minutes.
func (r *refusals) count(now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance(now)
	return r.sum()
}

// alarm is how far the count has come.
type alarm uint8

const (
	invalidNone alarm = iota
	invalidHalf       // half of the limit
	invalidAll        // the limit
)

// rise returns the alarm that a count is the first to reach, else invalidNone. A
// count that has fallen may reach it again.
func (r *refusals) rise(n int) alarm {
	level := invalidNone
	switch {
	case n >= r.limit:
		level = invalidAll
	case 2*n >= r.limit:
		level = invalidHalf
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.alarm
	r.alarm = level
	if level <= before {
		return invalidNone
	}
	return level
}

// wait returns how long no request may be sent: until the count, with what other
// nodes count, is below the limit. How theirs falls is their business: where ours
// can't bring it down, it is looked at again after a slot.
func (r *refusals) wait(now time.Time, others int) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance(now)
	over := r.sum() + others - r.limit + 1
	if over <= 0 {
		return 0
	}
	for age := int64(invalidSlots - 1); age >= 0; age-- {
		slot := r.newest - age
		if slot < 0 {
			continue
		}
		if over -= r.slots[slot%invalidSlots]; over <= 0 {
			return r.start.Add(time.Duration(slot+invalidSlots) * invalidSlot).Sub(now)
		}
	}
	return invalidSlot
}

// refuseToken stops the use of a token.
func (r *refusals) refuseToken(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead = sha256.Sum256([]byte(token))
}

// tokenRefused is true for a token that Discord has answered 401 to.
func (r *refusals) tokenRefused(token string) bool {
	sum := sha256.Sum256([]byte(token))
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dead == sum
}

const (
	// goneFor is how long an unknown webhook is refused; after that one request may ask again.
	goneFor = time.Hour
	// maxGone bounds how many are remembered.
	maxGone = 4096
)

// webhookGone notes a webhook that Discord calls unknown.
func (r *refusals) webhookGone(major string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.gone) >= maxGone {
		clear(r.gone)
	}
	r.gone[major] = now
}

// webhookRefused is true for a webhook that was called unknown.
func (r *refusals) webhookRefused(major string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.gone[major]
	if ok && now.Sub(at) > goneFor {
		delete(r.gone, major)
		ok = false
	}
	return ok
}

package rest

import (
	"maps"
	"time"
)

const (
	// maxWithdrawn bounds how many withdrawals are remembered that came before what they withdraw.
	maxWithdrawn = 4096
	// withdrawnTime is for how long one is remembered at least, as far as there is room:
	// what it withdraws may have been lost, or come by a connection that is given up.
	withdrawnTime = time.Minute
)

// guestKey names a request in a home's books.
type guestKey struct {
	node Member
	id   uint64
}

// admit puts a request into the queue of its bucket, which this node keeps. told
// hears, under the lock, when it has its place or has none to expect.
func (c *Cluster) admit(key guestKey, r Request, deadline, now time.Time, told func(error)) {
	if _, ok := c.gone[key]; ok {
		delete(c.gone, key)
		told(errMoved)
		return
	}
	w := &waiter{limiter: c.here, req: r, deadline: deadline}
	c.guests[key] = w
	w.told = func(err error) {
		if err != nil {
			delete(c.guests, key)
		}
		told(err)
	}
	c.here.enter(w, now)
}

// dismiss takes a request out that doesn't want its place any more, or never used it.
func (c *Cluster) dismiss(key guestKey, now time.Time) {
	w := c.guests[key]
	switch {
	case w == nil:
		if key.node != c.o.Self { // it may be on its way
			if len(c.gone) >= maxWithdrawn {
				maps.DeleteFunc(c.gone, func(_ guestKey, at time.Time) bool { return now.Sub(at) > withdrawnTime })
			}
			if len(c.gone) >= maxWithdrawn {
				clear(c.gone)
			}
			c.gone[key] = now
		}
		return
	case w.stage == settled:
		c.report(key, w.req, Answer{Fate: Unsent}, now)
		return
	}
	delete(c.guests, key)
	w.stage = settled
	w.bucket.self().remove(w)
	c.here.pump(w.bucket.self(), now)
}

// report takes in the end of a request. One that this node hasn't granted,
// because the bucket was kept elsewhere then, is learnt from all the same.
func (c *Cluster) report(key guestKey, r Request, a Answer, now time.Time) {
	w := c.guests[key]
	if w == nil {
		if a.Fate == Unsent {
			return
		}
		w = &waiter{limiter: c.here, req: r, bucket: c.here.find(r), stage: settled}
		w.bucket.inflight++
	}
	delete(c.guests, key)
	c.here.counted(w, a, now)
	c.here.sweep(now)
}

// dropGuests ends what some processes have in this node's books. Those that live
// all the same hear that they have to ask again.
func (c *Cluster) dropGuests(of func(Member) bool, now time.Time) {
	for key, w := range c.guests {
		if of(key.node) && w.stage != settled {
			w.bucket.self().remove(w)
			w.settle(errMoved)
		}
	}
	for key, w := range c.guests { // now none of these places goes to one of them
		if of(key.node) {
			c.report(key, w.req, Answer{Fate: Lost, orphan: true}, now)
		}
	}
}

// bury takes in that processes are gone: who waits of theirs leaves, and what they
// had on the wire may or may not have been counted.
func (c *Cluster) bury(now time.Time) {
	c.dropGuests(func(m Member) bool { return !c.view.has(m) }, now)
	for key := range c.gone {
		if !c.view.has(key.node) {
			delete(c.gone, key)
		}
	}
	for i, l := range c.ledgers {
		if l == nil {
			continue
		}
		for m := range l.holders {
			if !c.view.has(m) {
				l.leave(m, now)
			}
		}
		l.settle(c.view.members, now)
		c.allocate(Identity(i), now)
	}
}

package rest

import (
	"slices"
	"time"
)

// forgotten is after how long a node doesn't tell of what it heard any more.
const forgotten = 10 * time.Minute

// tell returns what the node that kept a bucket knows of it; false for nothing.
func (b *bucket) tell(now time.Time) (bucketKnown, bool) {
	if b.state != known || b.key.provisional {
		return bucketKnown{}, false
	}
	b.roll(now)
	b.room(now) // forgets the lost that are over
	k := bucketKnown{
		hash: b.key.name, major: b.key.major, identity: b.key.identity, exact: !b.probe,
		limit: b.limit, remaining: max(b.remaining, 0), window: b.window,
		resetAfter: b.resetAt.Sub(now), length: b.length, blocked: b.blocked.Sub(now), scope: b.scope,
	}
	if b.ours {
		k.window = 0 // our clock says nothing to another node
	}
	for _, at := range b.lost {
		k.lost = append(k.lost, at.Sub(now))
	}
	return k, true
}

// merge takes in what another node knows of the bucket. Of the newest window the
// least remaining counts. Unless the other kept the bucket until now, somebody
// who is gone may have used more than anyone knows: then one request goes first.
func (b *bucket) merge(now time.Time, k bucketKnown) {
	if until := now.Add(k.blocked); k.blocked > 0 && until.After(b.blocked) {
		b.blocked, b.scope = until, k.scope
	}
	if k.limit < 1 {
		return
	}
	b.used = now
	resetAt := now.Add(k.resetAfter)
	if k.window == 0 {
		k.window, b.ours = resetAt.UnixMilli(), true
	}
	switch fresh := b.state != known; {
	case fresh || k.window > b.window+sameWindow:
		b.state, b.limit, b.remaining = known, k.limit, k.remaining
		b.window, b.resetAt, b.rolled = k.window, resetAt, false
		b.probe = !k.exact && (fresh || b.probe)
	case b.rolled || k.window < b.window-sameWindow:
		// Of a window that is over, as in count.
		b.probe = b.probe && !k.exact
	default:
		b.remaining = min(b.remaining, k.remaining)
		b.probe = b.probe && !k.exact
	}
	b.length = max(b.length, k.length)
	for _, d := range k.lost {
		b.lost = append(b.lost, now.Add(d))
	}
	slices.SortFunc(b.lost, time.Time.Compare)
	b.roll(now)
}

// heardKey finds what a node has heard of a route's bucket.
type heardKey struct {
	route, major string
	identity     Identity
}

// heard is what a node learnt of buckets from the answers to its own requests,
// whoever keeps them: what it can tell a new home.
type heard map[heardKey]*heardBucket

// heardBucket is the newest of it.
type heardBucket struct {
	bucketKnown
	at, resetAt time.Time
}

// note takes in an answer.
func (h heard) note(now time.Time, r Request, a Answer) {
	if a.Fate != Answered || a.Bucket == "" {
		return
	}
	key := heardKey{r.Route, r.Major, r.Identity}
	old := h[key]
	switch {
	case old == nil && len(h) >= maxRoutes:
		h.sweep(now)
		if len(h) >= maxRoutes {
			return // the new home learns, as it would of any bucket
		}
	case old != nil && old.hash == a.Bucket && a.Reset < old.window-sameWindow:
		return // of a window that is over
	}
	n := &heardBucket{at: now, resetAt: now.Add(a.ResetAfter + pad), bucketKnown: bucketKnown{
		hash: a.Bucket, major: r.Major, identity: r.Identity, routes: []string{r.Route},
		limit: max(a.Limit, 1), remaining: a.Remaining, window: a.Reset, length: a.ResetAfter,
	}}
	if old != nil && old.hash == a.Bucket {
		n.length = max(n.length, old.length)
		if now.Before(old.resetAt) && a.Reset <= old.window+sameWindow {
			n.remaining = min(n.remaining, old.remaining)
		}
	}
	h[key] = n
}

// lossAt is a loss and when it was known.
type lossAt struct {
	req Request
	at  time.Time
}

// maxLosses bounds how many are remembered.
const maxLosses = 1024

// lossTime is how long a loss is remembered: no window of Discord's that matters is longer.
const lossTime = time.Minute

// noteLoss keeps in mind that the outcome of a request is unknown. Its report
// reaches the home that granted it; one that takes over in that moment hears of it from here.
func (c *Cluster) noteLoss(r Request, a Answer, now time.Time) {
	if a.Fate == Unsent || a.Fate == Answered && a.Bucket != "" {
		return
	}
	if a.Fate == Answered && c.heard[heardKey{r.Route, r.Major, r.Identity}] == nil {
		return // an answer without a bucket, of a route that has none
	}
	if len(c.losses) >= maxLosses {
		c.losses = slices.DeleteFunc(c.losses, func(l lossAt) bool { return now.Sub(l.at) > lossTime })
		c.losses = c.losses[max(0, len(c.losses)-maxLosses/2):]
	}
	c.losses = append(c.losses, lossAt{r, now})
}

// addLosses has the losses that others told of counted in their buckets.
func (c *Cluster) addLosses(now time.Time) {
	for _, l := range c.strays {
		if c.view.homeOf(l.req.Major, l.req.Identity) != c.o.Self {
			continue
		}
		b := c.here.find(l.req)
		if until := l.at.Add(b.length + pad); b.state == known && until.After(now) {
			b.lost = append(b.lost, until)
			slices.SortFunc(b.lost, time.Time.Compare)
		}
	}
	c.strays = nil
}

// sweep forgets what is old.
func (h heard) sweep(now time.Time) {
	for key, b := range h {
		if now.Sub(b.at) > time.Minute && now.After(b.resetAt) {
			delete(h, key)
		}
	}
}

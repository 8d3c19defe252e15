package rest

import (
	"context"
	"net/http"
	"time"
)

// lone is a permit of a node that counts for itself, since the home of the bucket
// is out of reach.
type lone struct {
	Permit
	c *Cluster
	r Request
}

// alone has a request counted by this node only: one at a time, as the others
// count for themselves, too. It returns errMoved once there is a home to ask.
func (c *Cluster) alone(ctx context.Context, r Request) (Permit, error) {
	r.private = true
	p, err := c.here.Acquire(ctx, r)
	if err != nil {
		return nil, err
	}
	r.private = false
	return &lone{Permit: p, c: c, r: r}, nil
}

// Done implements Permit. The home hears of the answer, when it can.
func (p *lone) Done(a Answer) {
	p.Permit.Done(a)
	c := p.c
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	c.heard.note(time.Now(), p.r, a)
	if a.Status == http.StatusTooManyRequests {
		c.spread(p.r.Identity, a)
	}
	if home := c.view.homeOf(p.r.Major, p.r.Identity); home != c.o.Self && c.reached(home) {
		c.tell(home, item{kind: itemReport, req: p.r, answer: a})
	}
}

// rejoin sends those who wait for this node's own count to the homes that are in
// reach again, or have changed.
func (c *Cluster) rejoin(now time.Time) {
	for key, b := range c.here.buckets {
		if !key.private || !c.view.has(c.o.Self) || !c.reached(c.view.homeOf(key.major, key.identity)) {
			continue
		}
		for _, w := range append([]*waiter(nil), b.queue...) {
			if !w.req.Exempt {
				b.remove(w)
				w.settle(errMoved)
			}
		}
		c.here.pump(b, now)
	}
}

// tellHeard tells a home that is in reach again what this node heard of its buckets
// meanwhile.
func (c *Cluster) tellHeard(home Member, now time.Time) {
	for key, h := range c.heard {
		if c.view.homeOf(h.major, h.identity) != home || !h.resetAt.After(now) {
			continue
		}
		c.tell(home, item{kind: itemReport, req: Request{Route: key.route, Major: key.major, Identity: key.identity}, answer: Answer{
			Status: http.StatusOK, Bucket: h.hash, Limit: h.limit, Remaining: h.remaining, Reset: h.window, ResetAfter: h.resetAt.Sub(now),
		}})
	}
}

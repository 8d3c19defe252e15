package rest

import (
	"context"
	"net/http"
	"time"
)

// permit is a request of this node that asks for its place in a bucket, waits in
// its lane, or is on the wire.
type permit struct {
	c    *Cluster
	id   uint64
	req  Request
	home Member  // who was asked for the bucket
	stay uint64  // in which it was asked
	w    *waiter // its way through the lane
}

var _ Permit = (*permit)(nil)

// try asks the home of a request's bucket, then waits for a place in the lane.
func (c *Cluster) try(ctx context.Context, r Request) (Permit, error) {
	p, q, err := c.begin(ctx, r)
	if err != nil {
		return nil, err
	}
	if q != nil {
		if err := c.askHome(ctx, p, q); err != nil {
			return nil, err
		}
	}
	if _, err := c.here.wait(ctx, p.w); err != nil {
		p.withdraw()
		return nil, err
	}
	return p, nil
}

// question is what another node is asked. What it says of the view is of the
// moment in which its home was chosen: a later view may have another.
type question struct {
	view  stamp
	reach context.Context // ends when that node is out of reach
}

// begin makes a permit. If this node is its home, it stands in the queue
// already; else its home has to be asked.
func (c *Cluster) begin(ctx context.Context, r Request) (*permit, *question, error) {
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	if c.here.closed {
		return nil, nil, ErrClosed
	}
	now := time.Now()
	c.ids++
	p := &permit{c: c, id: c.ids, req: r, stay: c.stay, home: c.view.homeOf(r.Major, r.Identity), w: c.here.waiter(ctx, r)}
	p.w.stage = elsewhere
	switch {
	case p.w.tooLate(now, p.w.lane.blocked, p.w.lane.scope):
		return nil, nil, p.w.err
	case !c.view.has(c.o.Self):
		return nil, nil, errUnreached
	case p.home != c.o.Self:
		peer := c.peers[p.home.ID]
		switch {
		case peer != nil && peer.out(now) >= aloneTime:
			return nil, nil, errAlone
		case peer == nil || peer.lost:
			return nil, nil, errUnreached
		}
		c.asks[p.id] = p.home
		return p, &question{view: c.view.stamp, reach: peer.reach}, nil
	}
	c.admit(guestKey{p.home, p.id}, r, p.w.deadline, now, func(err error) {
		switch {
		case p.w.stage == settled: // given up, and about to be withdrawn
		case err != nil:
			p.w.settle(err)
		default:
			p.granted(time.Now())
		}
	})
	return p, nil, nil
}

// granted puts a request that has its place in the bucket into its lane. The
// caller holds the lock.
func (p *permit) granted(now time.Time) {
	p.c.out[p.id] = p
	p.c.here.enterLane(p.w, now)
}

// askHome asks another node for a place in a bucket.
func (c *Cluster) askHome(ctx context.Context, p *permit, q *question) error {
	msg := acquireMsg{view: q.view, id: p.id, age: time.Since(p.req.Since), req: p.req}
	if !p.w.deadline.IsZero() {
		msg.patience = max(time.Until(p.w.deadline), time.Microsecond)
	}
	call, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(q.reach, cancel)()
	b, err := c.o.Peers.Call(call, p.home, msg.append(nil))
	var a acquireAns
	if err == nil {
		a, err = decodeAcquireAns(b)
	}
	switch {
	case err == nil && a.code == ansGranted:
		return c.take(p, a.view)
	case err == nil:
		c.here.mu.Lock()
		delete(c.asks, p.id)
		c.here.mu.Unlock()
	}
	switch {
	case err == nil && a.code == ansRefused:
		return &RateLimitError{RetryAfter: a.wait, Route: p.req.Template, Scope: a.scope}
	case err == nil:
		c.awaitView(ctx, a.view)
		return errMoved
	}
	p.withdraw() // whether it was granted is not known
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errUnreached
}

// take uses what a home has granted, if it still is the home and has been since:
// one that ceased to be and became it again has let go of what it had granted.
func (c *Cluster) take(p *permit, granted stamp) error {
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	delete(c.asks, p.id)
	if c.here.closed {
		return ErrClosed
	}
	if !c.holds(p, granted) || c.view.homeOf(p.req.Major, p.req.Identity) != p.home {
		c.tell(p.home, item{kind: itemCancel, id: p.id})
		return errMoved
	}
	p.granted(time.Now())
	return nil
}

// holds is true if a grant was given in this node's present view, or in a later
// one. The same members may have been a view before: a request that was asked for
// in that one is told apart by the view's number.
func (c *Cluster) holds(p *permit, granted stamp) bool {
	if granted.digest != c.view.digest {
		return c.view.behind(granted)
	}
	return p.stay == c.stay || granted.number >= c.entered
}

// awaitView waits until this node sees the view of a home that isn't one any
// more; where that one is behind, for a moment.
func (c *Cluster) awaitView(ctx context.Context, s stamp) {
	c.here.mu.Lock()
	changed, wait := c.changed, retryTime
	if c.view.behind(s) {
		wait = earlyTime
	}
	c.here.mu.Unlock()
	c.await(ctx, changed, wait)
}

// withdraw gives back what may have been granted and wasn't used.
func (p *permit) withdraw() {
	c := p.c
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	home := p.home
	delete(c.asks, p.id)
	if c.out[p.id] != nil { // it may have moved since
		delete(c.out, p.id)
		home = c.view.homeOf(p.req.Major, p.req.Identity)
	}
	if home == c.o.Self {
		c.dismiss(guestKey{home, p.id}, time.Now())
		return
	}
	c.tell(home, item{kind: itemCancel, id: p.id})
}

// Done implements Permit.
func (p *permit) Done(a Answer) {
	c := p.c
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	now := time.Now()
	delete(c.out, p.id)
	c.heard.note(now, p.req, a)
	c.noteLoss(p.req, a, now)
	if a.Status == http.StatusTooManyRequests {
		c.spread(p.req.Identity, a)
	}
	c.here.leaveLane(p.w.lane, a, now)
	if home := c.view.homeOf(p.req.Major, p.req.Identity); home != c.o.Self {
		c.tell(home, item{kind: itemReport, id: p.id, req: p.req, answer: a})
		return
	}
	c.report(guestKey{c.o.Self, p.id}, p.req, a, now)
}

// spread tells the other nodes of a 429 that is about more than a bucket.
func (c *Cluster) spread(i Identity, a Answer) {
	if a.Scope != ScopeGlobal && a.Scope != ScopeEdge {
		return
	}
	for _, p := range c.peers {
		c.tell(p.member, item{kind: itemBlocked, identity: i, edge: a.Scope == ScopeEdge, wait: a.RetryAfter})
	}
}

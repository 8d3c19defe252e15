package rest

import (
	"slices"
	"time"
)

// barrier is the time after a change of the view in which not all have told what
// they know. Buckets that are new to this node wait for it, for a moment: until it
// is lifted. After that they are blind for as long as somebody is missing.
type barrier struct {
	missing []Member    // who hasn't told yet
	timer   *time.Timer // lifts it
}

// SetView tells the limiter which processes are alive. An older view than the
// one it has is ignored.
func (c *Cluster) SetView(v View) {
	next := newViewState(c.o.Self, v)
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	if c.here.closed || next.number < c.view.number {
		return
	}
	if next.digest == c.view.digest {
		c.seen(next.number)
		return
	}
	now, old := time.Now(), c.view
	c.view = next
	c.enter(next.number)
	if slices.ContainsFunc(old.members, func(m Member) bool { return !next.has(m) }) {
		c.died(now)
	}
	c.bury(now)
	informs := c.moveAway(old, now)
	c.meet()
	c.openLedgers(old)
	c.raise(now)
	for m, n := range informs {
		if m == c.o.Self {
			c.informed(m, n, now)
			continue
		}
		c.tell(m, item{kind: itemInform, inform: n})
	}
	close(c.changed)
	c.changed = make(chan struct{})
	c.flushEarly()
	c.rejoin(now)
	c.pumpLanes(now)
}

// SeenUpTo tells the limiter that its view holds up to a log index. What others
// tell of a view that came and went meanwhile, unseen by this node, must not wait
// for it for ever.
func (c *Cluster) SeenUpTo(number uint64) {
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	if !c.here.closed {
		c.seen(number)
	}
}

func (c *Cluster) seen(number uint64) {
	if number > c.view.number {
		c.view.number = number
		c.flushEarly()
	}
}

// enter begins this node's stay in a view.
func (c *Cluster) enter(number uint64) {
	c.stay++
	c.entered = number
	for _, p := range c.peers {
		p.informed = false
	}
}

// missed takes in that another node has seen other views since, and this one, which
// has the same members, once more. The homes may have let go of their buckets in
// between: they are told what they would have been told.
func (c *Cluster) missed(number uint64, now time.Time) {
	c.seen(number)
	c.enter(number)
	out := c.blank()
	c.fill(out, func(major string, i Identity) *inform { return out[c.view.homeOf(major, i)] }, now)
	for m, n := range out {
		n.again = true
		c.tell(m, item{kind: itemInform, inform: n})
	}
}

// meet starts what tells the new processes things, and ends it for those gone.
func (c *Cluster) meet() {
	for id, p := range c.peers {
		if !c.view.has(p.member) || !c.view.has(c.o.Self) {
			p.cancel()
			delete(c.peers, id)
		}
	}
	for _, m := range c.view.members {
		if m != c.o.Self && c.peers[m.ID] == nil && c.view.has(c.o.Self) {
			c.peers[m.ID] = c.newPeer(m)
		}
	}
}

// died takes in that a process was gone at a moment.
func (c *Cluster) died(at time.Time) {
	c.death, c.here.sure = at, at.Add(flightTime)
	for _, b := range c.here.buckets {
		if b.blind && !b.key.private {
			b.sure = c.here.sure
		}
	}
}

// raise holds new buckets back until all have told what they know.
func (c *Cluster) raise(now time.Time) {
	c.barrier.timer.Stop()
	if slices.ContainsFunc(c.barrier.missing, func(m Member) bool { return !c.view.has(m) }) {
		c.unseen()
	}
	b := &barrier{missing: slices.Clone(c.view.members)}
	b.timer = time.AfterFunc(barrierTime, func() {
		c.here.mu.Lock()
		defer c.here.mu.Unlock()
		if c.barrier == b && !c.here.closed { // another one may have been raised since
			c.lift(time.Now())
		}
	})
	c.barrier, c.here.hold, c.here.blind = b, true, true
	c.lower(now)
}

// lower ends the barrier if all have told, and lifts it if only those are missing
// who are out of reach.
func (c *Cluster) lower(now time.Time) {
	switch missing := c.barrier.missing; {
	case len(missing) == 0:
		c.complete(now)
	case !slices.ContainsFunc(missing, c.reached):
		c.lift(now)
	}
}

// unseen takes in that a process died without having told what it had on the
// wire: what it has used of the new buckets is found out by asking.
func (c *Cluster) unseen() {
	for _, b := range c.here.buckets {
		if b.blind && !b.key.private {
			b.probe, b.sure = true, c.here.sure
		}
	}
}

// complete takes in that all have told.
func (c *Cluster) complete(now time.Time) {
	if !c.here.blind {
		return
	}
	c.here.blind = false
	for _, b := range c.here.buckets {
		if b.blind && !b.key.private {
			b.blind = false
			c.here.pump(b, now)
		}
	}
	c.lift(now)
}

// lift lets the buckets go that were held back, and the places of lanes that
// came here be handed out.
func (c *Cluster) lift(now time.Time) {
	if !c.here.hold {
		return
	}
	c.barrier.timer.Stop()
	c.here.hold = false
	c.addLosses(now)
	for _, b := range c.here.buckets {
		if b.held {
			b.held = false
			c.here.pump(b, now)
		}
	}
	for i, l := range c.ledgers {
		if l != nil {
			l.begin(c.view.members, c.death, now)
			for _, p := range c.peers {
				if p.out(now) >= aloneTime {
					l.cutOff(p.member, c.share(), c.view.members, now)
				}
			}
			c.allocate(Identity(i), now)
		}
	}
}

// moveAway lets go of the buckets that another node keeps from now on, and
// returns what each process of the view is to be told.
func (c *Cluster) moveAway(old *viewState, now time.Time) map[Member]*inform {
	out := c.blank()
	moved := func(major string, i Identity) *inform {
		if to := c.view.homeOf(major, i); to != old.homeOf(major, i) {
			return out[to]
		}
		return nil
	}
	c.dropMoved(moved, now)
	c.fill(out, moved, now)
	return out
}

// blank returns what each process of the view is to be told in any case.
func (c *Cluster) blank() map[Member]*inform {
	out := make(map[Member]*inform, len(c.view.members))
	death := forgotten
	if !c.death.IsZero() {
		death = min(time.Since(c.death), forgotten)
	}
	for _, m := range c.view.members {
		out[m] = &inform{view: c.view.stamp, death: death, invalid: c.told, newest: c.ids}
	}
	return out
}

// fill adds what this node has with each of the others, and what it heard of the
// buckets that have moved.
func (c *Cluster) fill(out map[Member]*inform, moved func(string, Identity) *inform, now time.Time) {
	c.heard.sweep(now)
	for _, h := range c.heard {
		if n := moved(h.major, h.identity); n != nil {
			k := h.bucketKnown
			k.resetAfter = h.resetAt.Sub(now)
			n.buckets = append(n.buckets, k)
		}
	}
	// What is on the wire and the places are told to every home, new or not: the
	// home may have ceased to be one in between, in a view that this node missed.
	for id, p := range c.out {
		if n := out[c.view.homeOf(p.req.Major, p.req.Identity)]; n != nil {
			n.flights = append(n.flights, flight{id, p.req})
		}
	}
	for id, home := range c.asks {
		if n := out[home]; n != nil {
			n.asks = append(n.asks, id)
		}
	}
	for _, l := range c.losses {
		if n := moved(l.req.Major, l.req.Identity); n != nil && now.Sub(l.at) < lossTime {
			n.losses = append(n.losses, loss{l.req, now.Sub(l.at)})
		}
	}
	for i, l := range c.leases {
		to := c.view.homeOfLane(Identity(i))
		l.rehome() // whether or not it has another home: it may have had one in between
		if n := out[to]; n != nil && l.seq > 0 {
			n.lanes = append(n.lanes, laneHeld{Identity(i), l.seq, l.held, l.lane.used(now) + len(l.lane.queue)})
		}
	}
}

// dropMoved takes buckets out of this node's books, with all who wait for them.
func (c *Cluster) dropMoved(moved func(string, Identity) *inform, now time.Time) {
	routes := make(map[string][]string)
	for route, hash := range c.here.routes {
		routes[hash] = append(routes[hash], route)
	}
	gone := make(map[*bucket]bool)
	for key, b := range c.here.buckets {
		if key.private || c.view.homeOf(key.major, key.identity) == c.o.Self {
			continue
		}
		n := moved(key.major, key.identity)
		if k, ok := b.tell(now); ok && n != nil {
			k.routes = routes[k.hash]
			n.buckets = append(n.buckets, k)
		}
		delete(c.here.buckets, key)
		if b.timer != nil {
			b.timer.Stop()
		}
		gone[b] = true
	}
	for key, w := range c.guests {
		if !gone[w.bucket.self()] {
			continue
		}
		if w.stage == settled { // the node it belongs to tells the new home
			delete(c.guests, key)
			continue
		}
		w.settle(errMoved)
	}
	for b := range gone {
		b.queue = nil
	}
}

// informed takes in what a process knows of what this node keeps from now on.
func (c *Cluster) informed(from Member, n *inform, now time.Time) {
	if p := c.peers[from.ID]; p != nil {
		p.bad = n.invalid
		if n.view.digest == c.view.digest && !n.again {
			if p.informed {
				c.missed(n.view.number, now)
			}
			p.informed = true
		}
	}
	if at := now.Add(-n.death); n.death < forgotten && at.After(c.death) {
		c.died(at)
	}
	for _, l := range n.lanes {
		if ledger := c.ledgers[l.identity]; ledger != nil {
			ledger.inform(from, l, now)
		}
	}
	for _, k := range n.buckets {
		// What is exact in an older view says nothing of those who have died since.
		k.exact = k.exact && n.view.digest == c.view.digest
		c.learnOf(k, now)
	}
	flying := make(map[uint64]bool, len(n.flights))
	for _, f := range n.flights {
		flying[f.id] = true
		key := guestKey{from, f.id}
		if c.guests[key] == nil && c.view.homeOf(f.req.Major, f.req.Identity) == c.o.Self {
			w := &waiter{limiter: c.here, req: f.req, bucket: c.here.find(f.req), stage: settled}
			w.bucket.inflight++
			c.guests[key] = w
		}
	}
	for _, id := range n.asks {
		flying[id] = true
	}
	for key, w := range c.guests {
		// A question isn't bound to come after what was told before it: one that is newer
		// may have its place already, and its request be on its way.
		if key.node == from && w.stage == settled && key.id <= n.newest && !flying[key.id] {
			// Its end was told to another home, in a view that this node missed.
			c.report(key, w.req, Answer{Fate: Lost}, now)
		}
	}
	for _, l := range n.losses {
		c.strays = append(c.strays, lossAt{l.req, now.Add(-l.age)})
	}
	if !c.here.hold {
		c.addLosses(now)
	}
	if c.view.behind(n.view) || n.view.digest != c.view.digest && n.view.number < c.view.number {
		return // it will tell of this view, too
	}
	for i, l := range c.ledgers {
		if l == nil {
			continue
		}
		l.inform(from, laneHeld{}, now) // it holds nothing, unless it has said so above
		l.settle(c.view.members, now)
		c.allocate(Identity(i), now)
	}
	c.barrier.missing = slices.DeleteFunc(c.barrier.missing, func(m Member) bool { return m == from })
	c.lower(now)
}

// learnOf takes in what is known of one bucket.
func (c *Cluster) learnOf(k bucketKnown, now time.Time) {
	if c.view.homeOf(k.major, k.identity) != c.o.Self {
		return
	}
	for _, route := range k.routes {
		if _, ok := c.here.routes[route]; !ok {
			c.here.nameRoute(route, k.hash, now)
		}
	}
	b := c.here.get(bucketKey{name: k.hash, major: k.major, identity: k.identity})
	b.merge(now, k)
	b.sure = c.here.sure
	c.here.pump(b, now)
}

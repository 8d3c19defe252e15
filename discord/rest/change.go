package rest

import (
	"slices"
	"time"
)

// barrier is the time after a change of the view in which buckets that are new
// to this node wait for what the others know of them.
type barrier struct {
	missing []Member // who hasn't told yet
	timer   *time.Timer
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
		c.view.number = next.number
		c.flushEarly()
		return
	}
	now, old := time.Now(), c.view
	c.view = next
	if slices.ContainsFunc(old.members, func(m Member) bool { return !next.has(m) }) {
		c.death = now
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
	for _, l := range c.leases {
		l.look(now)
		c.here.pumpLane(l.lane, now)
	}
}

// meet starts what tells the new processes things, and ends it for those gone.
func (c *Cluster) meet() {
	for id, p := range c.peers {
		if !c.view.has(p.member) {
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

// raise holds new buckets back until all have told what they know.
func (c *Cluster) raise(now time.Time) {
	if c.barrier != nil {
		c.barrier.timer.Stop()
	}
	b := &barrier{missing: slices.Clone(c.view.members)}
	b.timer = time.AfterFunc(barrierTime, func() {
		c.here.mu.Lock()
		defer c.here.mu.Unlock()
		if c.barrier == b && !c.here.closed {
			c.lift(time.Now())
		}
	})
	c.barrier, c.here.hold = b, true
	if len(b.missing) == 0 {
		c.lift(now)
	}
}

// lift lets the buckets go that were held back, and the places of lanes that
// came here be handed out.
func (c *Cluster) lift(now time.Time) {
	c.barrier.timer.Stop()
	c.barrier, c.here.hold = nil, false
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
			c.allocate(Identity(i), now)
		}
	}
}

// moveAway lets go of the buckets that another node keeps from now on, and
// returns what each process of the view is to be told.
func (c *Cluster) moveAway(old *viewState, now time.Time) map[Member]*inform {
	out := make(map[Member]*inform, len(c.view.members))
	death := forgotten
	if !c.death.IsZero() {
		death = min(now.Sub(c.death), forgotten)
	}
	for _, m := range c.view.members {
		out[m] = &inform{view: c.view.stamp, death: death, invalid: c.told, newest: c.ids}
	}
	moved := func(major string, i Identity) *inform {
		if to := c.view.homeOf(major, i); to != old.homeOf(major, i) {
			return out[to]
		}
		return nil
	}
	c.dropMoved(moved, now)
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
		if to != old.homeOfLane(Identity(i)) {
			l.rehome()
		}
		if n := out[to]; n != nil && l.seq > 0 {
			n.lanes = append(n.lanes, laneHeld{Identity(i), l.seq, l.held, l.lane.used(now) + len(l.lane.queue)})
		}
	}
	return out
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
	}
	if at := now.Add(-n.death); n.death < forgotten && at.After(c.death) {
		c.death = at
	}
	for _, l := range n.lanes {
		if ledger := c.ledgers[l.identity]; ledger != nil {
			ledger.inform(from, l, now)
		}
	}
	for _, k := range n.buckets {
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
	if c.barrier == nil {
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
	if c.barrier == nil {
		return
	}
	c.barrier.missing = slices.DeleteFunc(c.barrier.missing, func(m Member) bool { return m == from })
	if len(c.barrier.missing) == 0 {
		c.lift(now)
	}
}

// learnOf takes in what is known of one bucket.
func (c *Cluster) learnOf(k bucketKnown, now time.Time) {
	if c.view.homeOf(k.major, k.identity) != c.o.Self {
		return
	}
	for _, route := range k.routes {
		if _, ok := c.here.routes[route]; !ok {
			c.here.nameRoute(route, k.hash)
		}
	}
	b := c.here.get(bucketKey{name: k.hash, major: k.major, identity: k.identity})
	b.merge(now, k)
	b.sure = c.death.Add(flightTime)
	c.here.pump(b, now)
}

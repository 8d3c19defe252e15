package rest

import (
	"context"
	"time"
)

// A node that is out of reach stays in the view until its death is known, which
// may be never: a cable that was cut, a process that stands still. What is in this
// file keeps the others going.

// SetReachable says whether a node answers. Requests don't wait for one that
// doesn't. Nodes are taken to be in reach until they are said not to be.
func (c *Cluster) SetReachable(id string, ok bool) {
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	p := c.peers[id]
	if p == nil || p.lost == !ok || c.here.closed {
		return
	}
	now := time.Now()
	p.lost, p.since = !ok, now
	p.cut()
	if !ok {
		p.silence = time.AfterFunc(aloneTime, func() { c.silent(p) })
		c.lower(now) // a barrier may have waited for it
		return
	}
	p.silence.Stop()
	p.reach, p.cut = context.WithCancel(p.ctx)
	for i, l := range c.ledgers {
		if l != nil && l.holder(p.member).cut {
			c.tell(p.member, item{kind: itemPoke, identity: Identity(i)})
		}
	}
	c.tellHeard(p.member, now)
	c.rejoin(now)
	c.pumpLanes(now)
}

// out is for how long a peer has been out of reach.
func (p *peer) out(now time.Time) time.Duration {
	if !p.lost {
		return 0
	}
	return now.Sub(p.since)
}

// reached is true for this process and for those of the view that are in reach.
func (c *Cluster) reached(m Member) bool {
	p := c.peers[m.ID]
	return m == c.o.Self || p != nil && !p.lost
}

// silent takes in that a peer has been out of reach for long enough that it counts
// for itself, as this node does where that one is a home. What it had here is taken
// for lost, or nobody else could have it for as long as this lasts.
func (c *Cluster) silent(p *peer) {
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	now := time.Now()
	if c.here.closed || c.peers[p.member.ID] != p || p.out(now) < aloneTime {
		return
	}
	c.dropGuests(func(m Member) bool { return m == p.member }, now)
	for i, l := range c.ledgers {
		if l != nil && l.open {
			l.cutOff(p.member, c.share(), c.view.members, now)
			c.allocate(Identity(i), now)
		}
	}
	c.pumpLanes(now)
}

// share is how many places of a lane a node takes that can't ask for any: less
// than its part, since the others go on.
func (c *Cluster) share() int { return max(c.limit/(len(c.view.members)+1), 1) }

// pumpLanes looks at all lanes after their limits may have changed.
func (c *Cluster) pumpLanes(now time.Time) {
	for _, l := range c.leases {
		l.look(now)
		c.here.pumpLane(l.lane, now)
	}
}

package rest

import "time"

// openLedgers begins the books of the lanes that came here with a change of the
// view, and ends those of the lanes that left.
func (c *Cluster) openLedgers(old *viewState) {
	for i := range c.ledgers {
		identity := Identity(i)
		switch mine := c.view.has(c.o.Self) && c.view.homeOfLane(identity) == c.o.Self; {
		case !mine && c.ledgers[i] != nil:
			c.ledgers[i].close(c.view.stamp)
			c.ledgers[i] = nil
		case mine && (c.ledgers[i] == nil || old.homeOfLane(identity) != c.o.Self):
			c.ledgers[i] = newLedger(c.limit)
		}
	}
}

// serveLane takes in a question about a lane.
func (c *Cluster) serveLane(from Member, q laneMsg, now time.Time, answer func(laneAns)) {
	l := c.ledgers[q.identity]
	if l == nil {
		answer(laneAns{code: ansMoved, view: c.view.stamp})
		return
	}
	l.ask(from, q, now, answer)
	l.settle(c.view.members, now)
	c.allocate(q.identity, now)
}

// allocate hands out the places of a lane, and asks those for what they don't
// need whom it doesn't know to need it.
func (c *Cluster) allocate(i Identity, now time.Time) {
	l := c.ledgers[i]
	poke, again := l.allocate(now)
	for _, m := range poke {
		if m == c.o.Self {
			c.leases[i].poked = true
			c.leases[i].look(now)
			continue
		}
		c.tell(m, item{kind: itemPoke, identity: i})
	}
	if again.IsZero() || c.here.closed {
		return
	}
	if c.timers[i] != nil {
		c.timers[i].Reset(again.Sub(now))
		return
	}
	c.timers[i] = time.AfterFunc(again.Sub(now), func() {
		c.here.mu.Lock()
		defer c.here.mu.Unlock()
		if c.ledgers[i] != nil && !c.here.closed {
			c.allocate(i, time.Now())
		}
	})
}

package rest

import "time"

// invalidEvery is how often the nodes tell each other their counts, if changed.
const invalidEvery = time.Second

// bind says where this node's count of invalid requests is.
func (c *Cluster) bind(count func(time.Time) int) {
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	c.invalid = count
}

// othersInvalid is how many invalid requests the other nodes have sent in the
// last ten minutes. The limit is the address's (topics/rate-limits.mdx); the
// nodes may share one, and a count that is too high is the safe mistake.
func (c *Cluster) othersInvalid() int {
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	sum := 0
	for _, p := range c.peers {
		sum += p.bad
	}
	return sum
}

// shareInvalid tells the others this node's count whenever it has changed.
func (c *Cluster) shareInvalid() {
	tick := time.NewTicker(invalidEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case now := <-tick.C:
			c.tellInvalid(now)
		}
	}
}

// tellInvalid tells the count once.
func (c *Cluster) tellInvalid(now time.Time) {
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	if c.invalid == nil {
		return
	}
	n := c.invalid(now)
	if n == c.told {
		return
	}
	c.told = n
	for _, p := range c.peers {
		c.tell(p.member, item{kind: itemInvalid, count: n})
	}
}

//go:build unix

package integration

import (
	"testing"
	"time"
)

// Targets of a planned move.
const (
	moveMedian = 40 * time.Millisecond
	moveMost   = 200 * time.Millisecond
)

func TestShardIsMoved(t *testing.T) {
	c := newCluster(t, simOptions(1))
	c.Three()
	var all []round
	for range max(2, rounds(t)) { // there and on
		owner, to := c.OwnerOf(0), ""
		for _, id := range c.alive() {
			if id != owner {
				to = id
			}
		}
		all = append(all, c.Load(roundPings/2, func() { c.Move(0, to) }))
		if got := c.OwnerOf(0); got != to {
			t.Errorf("the shard was moved to %s and is at %s", to, got)
		}
		c.WaitReady()
	}
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
	// A handler that started twice would have sent its answer twice.
	if s := c.brief(); c.messages() != s.Sent || s.Deduped > 0 {
		t.Errorf("%d messages sent for %d pings, %d made invisible by their nonce", c.messages(), s.Sent, s.Deduped)
	}
	c.report("planned move", all, moveMedian, moveMost)
}

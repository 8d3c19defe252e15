//go:build unix

package integration

import (
	"testing"
	"time"
)

// TestLeaderIsTerminatedAndComesBack ends the leader, owner of a shard, with
// SIGTERM under load: its shard and its leadership are handed over first.
func TestLeaderIsTerminatedAndComesBack(t *testing.T) {
	c := newCluster(t, simOptions(3))
	c.Three()
	var all []round
	for range min(rounds(t), 10) {
		leader := c.Leader()
		term := c.status().Term
		all = append(all, c.Load(roundPings, func() {
			if code := c.Term(leader); code != 0 {
				t.Errorf("SIGTERM: exit code %d", code)
			}
		}))
		if now := c.Leader(); now == leader {
			t.Errorf("%s leads still", now)
		}
		if now := c.status().Term; now != term+1 {
			t.Errorf("leadership was not handed over but lost: term %d after %d", now, term)
		}
		for _, n := range c.status().Nodes {
			if n.ID == leader && !n.Voter {
				t.Errorf("%s is no member any more", leader)
			}
		}
		c.Restart(leader)
		c.WaitReady()
	}
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
	if s := c.brief(); c.messages() != s.Sent {
		t.Errorf("%d messages sent for %d pings: handlers started twice", c.messages(), s.Sent)
	}
	c.report("SIGTERM of the leader, owner of a shard", all, killMedian, killMost)
}

// TestDrainAndLeave empties a node, fills it again, and takes it out of the
// cluster for good; the place that it leaves can be taken again.
func TestDrainAndLeave(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(3))
	c.Three()
	shards := func(id string) (n int) {
		for _, s := range c.status().Shards {
			if s.Owner == id {
				n++
			}
		}
		return n
	}
	c.Load(roundPings/2, func() {
		c.OK("joe", "drain", "robert")
		c.poll("robert is empty", 15*time.Second, func() error { return yes(shards("robert") == 0, "it is not") })
	})
	c.Load(roundPings/2, func() {
		c.OK("mike", "undrain", "robert")
		c.poll("robert has a shard again", 15*time.Second, func() error { return yes(shards("robert") == 1, "it has not") })
	})
	c.WaitReady()
	c.Load(roundPings/2, func() {
		c.OK("robert", "leave")
		if code := c.WaitExit("robert", 20*time.Second); code != 0 {
			t.Errorf("leave: exit code %d", code)
		}
	})
	if nodes := c.status().Nodes; len(nodes) != 2 {
		t.Errorf("%d nodes after one has left: %+v", len(nodes), nodes)
	}
	c.Restart("robert")
	c.Join("robert", "mike")
	c.WaitReady()
	c.Load(roundPings/3, func() {})
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
	if s := c.brief(); c.messages() != s.Sent {
		t.Errorf("%d messages sent for %d pings: handlers started twice", c.messages(), s.Sent)
	}
}

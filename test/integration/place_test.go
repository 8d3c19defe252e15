//go:build unix

package integration

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// all is a placement of all of three shards at one node.
func all(id string) map[string]int { return map[string]int{id: 3} }

// cameBy asserts how every shard came to its owner.
func (c *cluster) cameBy(kind string, from ...string) {
	c.t.Helper()
	for _, s := range c.status().Shards {
		if t := s.LastTakeover; t == nil || t.Kind != kind || !slices.Contains(from, t.From) {
			c.t.Errorf("shard %d came to %s by %+v, want %s from %v", s.ID, s.Owner, t, kind, from)
		}
	}
}

// placement counts the shards of each node.
func (c *cluster) placement() map[string]int {
	c.t.Helper()
	out := map[string]int{}
	for _, s := range c.status().Shards {
		out[s.Owner]++
	}
	return out
}

// killed kills a node under load and measures from the kill on.
func (c *cluster) killed(id string) round {
	c.t.Helper()
	from, killed := len(c.sim.Ledger().Posted()), time.Time{}
	r := c.Load(roundPings, func() {
		killed = time.Now()
		c.Kill9(id)
	})
	posted := slices.DeleteFunc(c.sim.Ledger().Posted()[from:], func(p sim.Posted) bool { return p.At.Before(killed) })
	r.after = c.measure(posted, killed).worst
	return r
}

// TestPreferredNodeDiesAndGetsTheBotBack kills the preferred node, which has the
// whole bot, and starts it again: the bot goes on at the two that come second,
// and back by planned moves once the first is stable.
func TestPreferredNodeDiesAndGetsTheBotBack(t *testing.T) {
	c := newCluster(t, simOptions(3))
	c.Trio("--placement", "prefer:joe,mike+robert", "--failback", "--failback-after", "500ms")
	c.WaitPlaced(all("joe"))
	var kills, returns []round
	for range min(few(t), 5) { // the damping time doubles with each
		kills = append(kills, c.killed("joe"))
		c.WaitServed()
		if got := c.placement(); got["mike"]+got["robert"] != 3 || got["mike"] == 0 || got["robert"] == 0 {
			t.Errorf("joe is dead, and the shards are placed as %v", got)
		}
		c.cameBy("failover", "joe")
		returns = append(returns, c.While(func() {
			c.Restart("joe")
			c.WaitPlaced(all("joe"))
		}))
		c.cameBy("takeover", "mike", "robert")
	}
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
	c.report("kill -9 of the preferred node, owner of all shards", kills, killMedian, killMost)
	c.report("fail-back to the preferred node", returns, moveMedian, moveMost)
}

// TestPreferredNodeIsBackWithoutFailback leaves the bot where it went.
func TestPreferredNodeIsBackWithoutFailback(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(3))
	c.Trio("--placement", "prefer:joe,mike,robert")
	c.WaitPlaced(all("joe"))
	c.killed("joe")
	c.WaitPlaced(all("mike"))
	c.Restart("joe")
	c.WaitServed()
	c.Load(roundPings, func() {}) // longer than what moves shards to even the load
	c.WaitPlaced(all("mike"))
	c.Unharmed()
	c.Emptied()
}

// TestTakeoverStays has an operator take the bot to one node, right after that
// has joined: it goes there in one step and stays, until it is let go or the
// node is gone.
func TestTakeoverStays(t *testing.T) {
	c := newCluster(t, simOptions(3))
	c.Start("joe")
	c.Start("mike")
	c.Join("mike", "joe")
	c.WaitReady()
	var moved []round
	moved = append(moved, c.While(func() {
		c.Start("robert")
		c.Join("robert", "joe")
		c.OK("mike", "takeover", "--to", "robert") // nobody has waited for it to be up
	}))
	c.WaitPlaced(all("robert"))
	c.cameBy("takeover", "joe", "mike")
	c.Load(roundPings, func() {}) // longer than what moves shards to even the load
	c.WaitPlaced(all("robert"))
	if out := c.OK("joe", "shard", "show", "0"); !strings.Contains(out, "pinned to  robert") {
		t.Errorf("shard show: %s", out)
	}
	for range few(t) {
		for _, to := range []string{"joe", "mike"} {
			moved = append(moved, c.Load(roundPings/2, func() { c.OK("mike", "takeover", "--to", to) }))
			if got := c.placement(); got[to] != 3 {
				t.Errorf("%s does not have all shards: %v", to, got)
			}
		}
	}
	c.Load(roundPings/2, func() {
		c.OK("mike", "takeover", "--release")
		c.WaitReady() // evens them
	})
	c.OK("joe", "shard", "move", "1", "--to", "joe")
	c.OK("joe", "shard", "move", "2", "--to", "joe")
	c.Load(roundPings, func() {})
	if c.OwnerOf(1) != "joe" || c.OwnerOf(2) != "joe" {
		t.Errorf("what was moved to joe is at %s and %s", c.OwnerOf(1), c.OwnerOf(2))
	}
	c.killed("joe")
	c.Restart("joe")
	c.WaitReady() // no pin outlives joe's process
	for _, s := range c.status().Shards {
		if s.Pin != "" {
			t.Errorf("shard %d is pinned to %s", s.ID, s.Pin)
		}
	}
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
	c.report("take-over by an operator", moved, moveMedian, moveMost)
}

// TestMovesThatAreRefused asks for moves that can't be done.
func TestMovesThatAreRefused(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(3))
	c.Three()
	c.OK("joe", "drain", "robert")
	c.refused("mike", 1, []string{"robert", "draining", "undrain"}, "takeover", "--to", "robert")
	c.OK("joe", "undrain", "robert")
	c.Kill9("robert")
	c.poll("robert is taken for dead", 20*time.Second, func() error {
		for _, n := range c.status().Nodes {
			if n.ID == "robert" {
				return yes(n.Status == "dead", "it is %s", n.Status)
			}
		}
		return yes(false, "no robert")
	})
	c.refused("mike", 1, []string{"robert", "not up"}, "takeover", "--to", "robert")
	c.Restart("robert")
	c.WaitReady()
	c.Unharmed()
}

// TestWeightsAndLimits starts nodes that are to have more, fewer and no shards.
func TestWeightsAndLimits(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(4))
	c.Start("joe", "--weight", "3")
	c.Start("mike", "--max-shards", "2")
	c.Start("robert", "--weight", "0")
	c.Join("mike", "joe")
	c.Join("robert", "joe")
	c.WaitPlaced(map[string]int{"joe": 3, "mike": 1})
	c.killed("joe")
	c.WaitPlaced(map[string]int{"mike": 2, "robert": 2})
	c.Restart("joe")
	c.WaitPlaced(map[string]int{"joe": 3, "mike": 1})
	c.refused("robert", 1, []string{"mike", "room", "--max-shards"}, "takeover", "--to", "mike")
	c.Unharmed()
	c.Emptied()
}

//go:build unix

package integration

import (
	"slices"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// Targets of a take-over after a kill.
const (
	killMedian = 100 * time.Millisecond
	killMost   = 800 * time.Millisecond
)

// roundPings is the load of a round: three seconds.
const roundPings = 600

// kill runs rounds in each of which a victim is killed under load and started
// again.
func kill(t *testing.T, what string, o sim.Options, victim func(*cluster) string, before func(*cluster, string)) {
	t.Helper()
	c := newCluster(t, o)
	c.Three()
	var all []round
	for range rounds(t) {
		id := victim(c)
		if c.ShardOf(id) < 0 {
			t.Fatalf("%s owns no shard", id)
		}
		from, killed := len(c.sim.Ledger().Posted()), time.Time{}
		r := c.Load(roundPings, func() {
			before(c, id)
			killed = time.Now()
			c.Kill9(id)
		})
		posted := slices.DeleteFunc(c.sim.Ledger().Posted()[from:], func(p sim.Posted) bool { return p.At.Before(killed) })
		r.after = c.measure(posted, killed).worst
		all = append(all, r)
		c.Restart(id)
		c.WaitReady()
	}
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
	c.report(what, all, killMedian, killMost)
}

func (c *cluster) follower() string {
	c.t.Helper()
	leader := c.Leader()
	ids := slices.DeleteFunc(c.alive(), func(id string) bool { return id == leader })
	return ids[0]
}

func TestLeaderThatOwnsAShardIsKilled(t *testing.T) {
	kill(t, "kill -9 of the leader, owner of a shard", simOptions(3), (*cluster).Leader, func(*cluster, string) {})
}

func TestFollowerThatOwnsAShardIsKilled(t *testing.T) {
	kill(t, "kill -9 of a follower, owner of a shard", simOptions(3), (*cluster).follower, func(*cluster, string) {})
}

// TestOwnerIsKilledWhileItsShardResumes cuts a shard's connection and holds
// Discord's frames back, so that the owner dies between its RESUME and RESUMED.
func TestOwnerIsKilledWhileItsShardResumes(t *testing.T) {
	kill(t, "kill -9 of an owner while its shard resumes, Discord holding frames back for 100 ms", simOptions(3), (*cluster).Leader, func(c *cluster, id string) {
		shard, led := c.ShardOf(id), c.sim.Ledger()
		seen := len(led.Resumes())
		c.inject(sim.Fault{Kind: "delay", MS: 100})
		c.inject(sim.Fault{Kind: "cut", Shard: &shard})
		c.poll("RESUME", 10*time.Second, func() error { return yes(len(led.Resumes()) > seen, "none") })
		c.inject(sim.Fault{Kind: "clear"})
	})
}

// inject makes a fault happen at Discord.
func (c *cluster) inject(f sim.Fault) {
	c.t.Helper()
	if err := c.sim.Inject(f); err != nil {
		c.t.Fatal(err)
	}
}

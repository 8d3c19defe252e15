//go:build unix

package integration

import (
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// TestLeaderIsStoppedAndGoesOn freezes the leader, owner of a shard, for six
// seconds: no peer sees its connections end, and its own clock does not.
func TestLeaderIsStoppedAndGoesOn(t *testing.T) {
	c := newCluster(t, simOptions(3))
	c.Three()
	sleeper := c.Leader()
	shard := c.ShardOf(sleeper)
	load := c.sim.StartLoad(sim.Load{Kind: "ping", Rate: pingRate})
	from, start := len(c.sim.Ledger().Posted()), time.Now()
	c.waitPongs(from, pingRate)
	c.Stop(sleeper)
	stopped := time.Now()
	var taken time.Duration
	c.poll("another has the shard", 10*time.Second, func() error {
		for _, id := range c.alive() {
			if id == sleeper {
				continue
			}
			st, err := c.Status(id)
			if err != nil {
				return err
			}
			for _, s := range st.Shards {
				if s.ID == shard && s.Owner != sleeper && s.State == "ready" {
					taken = time.Since(stopped)
					return nil
				}
			}
		}
		return errNotYet
	})
	<-time.After(time.Until(stopped.Add(6 * time.Second)))
	c.Cont(sleeper)
	c.poll("the sleeper follows", 10*time.Second, func() error {
		st, err := c.Status(sleeper)
		if err != nil {
			return err
		}
		return yes(st.State == "follower" && !st.Stale, "%s, stale %v", st.State, st.Stale)
	})
	if err := load.Stop(); err != nil {
		t.Fatal(err)
	}
	c.WaitAnswered(20 * time.Second)
	r := c.measure(c.sim.Ledger().Posted()[from:], start)
	c.WaitReady()
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
	if taken > 5*time.Second { // the target is 3 s, on a machine that has nothing else to do
		t.Errorf("the shard was taken over after %v", taken)
	}
	t.Logf("FIGURE SIGSTOP of the leader for 6 s: another node had its shard after %v (target 3 s); longest silence %v; %d answers made invisible by the nonce",
		taken.Round(time.Millisecond), r.worst.Round(time.Millisecond), r.repeats)
}

//go:build unix

package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// waitsFor waits until a node says by its status and /readyz that the bot has
// not started, and for whom it waits.
func (c *cluster) waitsFor(id string, missing ...string) {
	c.t.Helper()
	c.poll(id+" waits", 15*time.Second, func() error {
		st, err := c.Status(id)
		if err != nil {
			return err
		}
		for _, p := range st.Problems {
			if p.Code == "waiting_for_nodes" {
				want := strings.Join(missing, ", ")
				return yes(strings.HasSuffix(p.Message, "for "+want), "%s", p.Message)
			}
		}
		return yes(false, "no such problem: %v", st.Problems)
	})
	err := c.request(http.MethodGet, id, "/readyz?verbose", nil, nil)
	if err == nil || !strings.Contains(err.Error(), missing[0]) {
		c.t.Errorf("%s: /readyz: %v", id, err)
	}
}

// TestTheStartWaitsForNodes has the bot start only once three nodes are there,
// when the cluster is new and after all of its processes have ended, but not
// when a part of them has.
func TestTheStartWaitsForNodes(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(3))
	args := []string{"--sync-nodes", "joe,mike,robert", "--sync-timeout", "60s"}
	c.Start("joe", append(args, "--bootstrap")...)
	c.waitsFor("joe", "mike", "robert")
	c.Start("mike", args...)
	c.Join("mike", "joe")
	c.waitsFor("mike", "robert")
	if s := c.brief(); s.Identifies > 0 {
		t.Fatalf("%d IDENTIFYs before all nodes are there", s.Identifies)
	}
	c.Start("robert", args...)
	c.Join("robert", "joe")
	c.WaitReady()
	for range 2 { // the second time one of two has only just started
		id := c.Leader()
		c.killed(id)
		if len(c.placement()) != 2 {
			t.Errorf("%s is dead: %v", id, c.placement())
		}
		c.Restart(id)
		c.WaitReady()
	}
	for _, id := range c.alive() {
		c.Kill9(id)
	}
	c.Restart("joe")
	c.Restart("mike")
	c.waitsFor("joe", "robert")
	c.waitsFor("mike", "robert")
	c.Restart("robert")
	c.WaitReady()
	c.Load(roundPings/3, func() {})
	c.Unharmed()
	c.SameDigests()
}

// TestTheStartWaitsNoLongerThanItMay starts without a node that doesn't come.
func TestTheStartWaitsNoLongerThanItMay(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(1))
	begun := time.Now()
	c.Start("joe", "--bootstrap", "--sync-nodes", "mike", "--sync-timeout", "3s")
	c.waitsFor("joe", "mike")
	c.WaitServed()
	if took := time.Since(begun); took < 3*time.Second || took > 15*time.Second {
		t.Errorf("the bot has started after %v", took)
	}
	c.Load(roundPings/3, func() {})
	c.Unharmed()
}

// TestShardCountIsObeyed has a bot run three shards where Discord recommends two.
func TestShardCountIsObeyed(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(2))
	c.Start("joe", "--bootstrap", "--shards", "3")
	c.WaitServed()
	live := c.sim.LiveSessions()
	for _, s := range live {
		if s.Shard[1] != 3 {
			t.Errorf("a session is of shard %d of %d", s.Shard[0], s.Shard[1])
		}
	}
	if shards := c.status().Shards; len(live) != 3 || len(shards) != 3 || shards[2].Total != 3 {
		t.Errorf("%d sessions, shards %+v", len(live), shards)
	}
}

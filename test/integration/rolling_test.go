//go:build unix

package integration

import (
	"testing"
	"time"
)

// Targets of a restart of all nodes, one after the other.
const (
	rollMedian = 80 * time.Millisecond
	rollMost   = 400 * time.Millisecond
)

// roll ends every node with SIGTERM and starts it again, as a program of path,
// one after the other, under load.
func (c *cluster) roll(path string) round {
	c.t.Helper()
	return c.While(func() {
		for _, id := range []string{"joe", "mike", "robert"} {
			if code := c.Term(id); code != 0 {
				c.t.Errorf("SIGTERM of %s: exit code %d", id, code)
			}
			c.Launch(c.nodes[id], path)
			c.WaitServing(id)
			c.WaitReady()
		}
	})
}

// TestRollingRestart restarts all three nodes, as for an upgrade.
func TestRollingRestart(t *testing.T) {
	c := newCluster(t, simOptions(3))
	c.Three()
	var all []round
	for range min(rounds(t), 10) {
		all = append(all, c.roll(c.bin))
	}
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
	if s := c.brief(); c.messages() != s.Sent || s.Deduped > 0 {
		t.Errorf("%d messages sent for %d pings, %d made invisible by their nonce", c.messages(), s.Sent, s.Deduped)
	}
	c.report("rolling restart of three nodes", all, rollMedian, rollMost)
}

// TestNewVersionIsRolledOut replaces an author's program by another version of
// it, node by node, and that by the first again.
func TestNewVersionIsRolledOut(t *testing.T) {
	c := threeBots(t)
	next := release(t, "./test/integration/testbot", "2")
	first := program(t, "./test/integration/testbot")
	var all []round
	for i := range min(rounds(t), 10) {
		version, path := "2", next
		if i%2 == 1 {
			version, path = "1", first
		}
		all = append(all, c.roll(path))
		for shard := range 3 {
			c.answered(c.say(shard, "!version"), "version "+version)
			if version == "2" {
				c.answered(c.say(shard, "!new one"), "new one")
			}
		}
	}
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
	if s := c.brief(); c.messages() != s.Sent || s.Deduped > 0 {
		t.Errorf("%d pongs sent for %d pings, %d made invisible by their nonce", c.messages(), s.Sent, s.Deduped)
	}
	c.report("a new version rolled out node by node", all, rollMedian, rollMost)
}

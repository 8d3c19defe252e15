//go:build unix

package integration

import (
	"strconv"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
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
	for range few(t) {
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
	first, next := release(t, "./test/integration/testbot", "1"), release(t, "./test/integration/testbot", "2")
	c := botsOf(t, first)
	var all []round
	for i := range few(t) {
		version, path := "2", next
		if i%2 == 1 {
			version, path = "1", first
		}
		all = append(all, c.roll(path))
		for shard := range 3 {
			c.answered(c.say(shard, "!version"), "version "+version)
			if version == "2" {
				c.answered(c.say(shard, "!hello"), "hello from 2") // by a handler that is new
			}
		}
	}
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
	c.countedByGuild()
	if s := c.brief(); c.messages() != s.Sent || s.Deduped > 0 {
		t.Errorf("%d pongs sent for %d pings, %d made invisible by their nonce", c.messages(), s.Sent, s.Deduped)
	}
	c.report("a new version rolled out node by node", all, rollMedian, rollMost)
}

// countedByGuild asserts that the guilds' replicated counters have counted every
// ping once, whatever version of the program has.
func (c *cluster) countedByGuild() {
	c.t.Helper()
	client := &admin.Client{BaseURL: "http://" + c.nodes["joe"].http}
	items, err := client.KVList(c.t.Context(), "pings/")
	must(c.t, err)
	sum := 0
	for _, it := range items {
		n, err := strconv.Atoi(string(it.Value))
		must(c.t, err)
		sum += n
	}
	if sent := c.brief().Sent; sum != sent || len(items) != len(c.sim.GuildIDs()) {
		c.t.Errorf("%d pings are counted in %d guilds, %d were sent", sum, len(items), sent)
	}
}

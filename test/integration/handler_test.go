//go:build unix

package integration

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord/sim"
)

// threeBots starts three nodes of the test's own bot.
func threeBots(t *testing.T) *cluster {
	t.Helper()
	return botsOf(t, program(t, "./test/integration/testbot"))
}

// botsOf starts three nodes of a program.
func botsOf(t *testing.T, bin string) *cluster {
	t.Helper()
	return botsOn(t, bin, 3)
}

// botsOn is botsOf for a bot of so many shards.
func botsOn(t *testing.T, bin string, shards int) *cluster {
	t.Helper()
	c := newCluster(t, simOptions(shards))
	for _, id := range []string{"joe", "mike", "robert"} {
		c.Launch(c.New(id), bin)
		c.WaitServing(id)
	}
	c.Join("mike", "joe")
	c.Join("robert", "joe")
	c.WaitReady()
	return c
}

// say writes a message in the first channel of a shard's first guild.
func (c *cluster) say(shard int, content string) *sim.Said {
	c.t.Helper()
	shards := uint64(c.sim.Info().Shards)
	for _, g := range c.sim.GuildIDs() {
		if uint64(g)>>22%shards == uint64(shard) {
			m, err := c.sim.Say(sim.Say{Guild: g, Content: content})
			must(c.t, err)
			return m
		}
	}
	c.t.Fatalf("shard %d has no guild", shard)
	return nil
}

// answered waits for a message's answer.
func (c *cluster) answered(m *sim.Said, want string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	_, err := c.sim.Ledger().WaitPosted(ctx, 0, func(p sim.Posted) bool {
		return p.Channel == m.Channel && p.Content == want && p.ID > m.ID
	})
	if err != nil {
		c.t.Fatalf("no %q: %v", want, err)
	}
}

func (c *cluster) deadLetters() (n int) {
	c.t.Helper()
	for _, b := range c.status().Bots {
		n += b.DeadLetters
	}
	return n
}

func TestHandlerPanicsAndFails(t *testing.T) {
	parallel(t)
	c := threeBots(t)
	c.answered(c.say(0, "!panic once"), "done")
	c.answered(c.say(1, "!fail once"), "done")
	if n := c.deadLetters(); n != 0 {
		t.Errorf("%d dead letters of what went well at the second attempt", n)
	}
	c.Load(roundPings, func() { c.say(0, "!panic always") })
	c.poll("the poison is a dead letter", 30*time.Second, func() error { return yes(c.deadLetters() == 1, "%d", c.deadLetters()) })
	c.Unharmed()
	if ids := c.alive(); len(ids) != 3 {
		t.Errorf("a panic ended a node: %v live", ids)
	}
	c.counted()
}

// counted asserts that the replicated counter has counted every ping once.
func (c *cluster) counted() {
	c.t.Helper()
	var item admin.KVItem
	want := strconv.Itoa(c.brief().Sent)
	c.poll("the counter", 10*time.Second, func() error {
		if err := c.request(http.MethodGet, c.alive()[0], "/v1/kv/pings", nil, &item); err != nil {
			return err
		}
		return yes(string(item.Value) == want, "it is %s, want %s", item.Value, want)
	})
}

// TestHandlerHangs has a handler that returns never. Its shard goes on; and
// what it left undone another node does when its own is killed.
func TestHandlerHangs(t *testing.T) {
	parallel(t)
	c := threeBots(t)
	owner := c.OwnerOf(0)
	m := c.say(0, "!hang once")
	c.poll("it runs", 10*time.Second, func() error { return yes(c.status().Bots[0].Unacked > 0, "it doesn't") })
	// Its own guild waits for it: events of one guild are handled in order.
	unanswered := func() int { return len(c.sim.Ledger().Summary().Unanswered) }
	for range 3 * len(c.sim.GuildIDs()) {
		c.sim.Ping()
	}
	c.poll("other guilds are answered", 10*time.Second, func() error { return yes(unanswered() <= 3, "%d are not", unanswered()) })
	if n := unanswered(); n != 3 {
		t.Errorf("%d messages wait behind the one that hangs, want 3", n)
	}
	c.Kill9(owner)
	c.answered(m, "done")
	c.WaitAnswered(20 * time.Second)
	c.Restart(owner)
	c.WaitReady()
	c.Unharmed()
	c.counted()
}

// TestHandlerKillsItsProcess has an event whose handler ends the process of
// whoever runs it. The nodes are started again each time, as a service manager
// does; the event ends as a dead letter, and takes nothing with it.
func TestHandlerKillsItsProcess(t *testing.T) {
	parallel(t)
	c := threeBots(t)
	load := c.sim.StartLoad(sim.Load{Kind: "ping", Rate: 50})
	c.say(0, "!die always")
	deaths := 0
	c.poll("the poison is a dead letter", 60*time.Second, func() error {
		for id, n := range c.nodes {
			if !n.proc.Alive() {
				deaths++
				c.Launch(c.nodes[id], n.proc.Path())
			}
		}
		for _, id := range c.alive() {
			if st, err := c.Status(id); err == nil && len(st.Bots) == 1 && st.Bots[0].DeadLetters == 1 {
				return nil
			}
		}
		return errNotYet
	})
	must(t, load.Stop())
	c.WaitReady()
	c.WaitAnswered(20 * time.Second)
	c.Unharmed()
	c.counted()
	t.Logf("the poison ended %d processes before it was a dead letter", deaths)
	if deaths < 2 || deaths > 4 {
		t.Errorf("%d deaths, want 3", deaths)
	}
}

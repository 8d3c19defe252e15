//go:build clients

package clients

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// rate is the load of each client, in pings a second.
const rate = 50

// size is the long form's or the short form's number.
func size(long, short int) int {
	if *full {
		return long
	}
	return short
}

// crew starts a bot of every library that can run here.
func (c *cluster) crew(proxy string) (crew []*client) {
	c.t.Helper()
	var mu sync.Mutex // guards crew
	c.t.Run("start", func(t *testing.T) {
		for _, l := range libraries {
			t.Run(l.name, func(t *testing.T) {
				t.Parallel()
				cl := launch(t, l, c.dir, "API=http://"+proxy+"/api", "GATEWAY=ws://"+proxy, "TOKEN="+c.key, "TAG="+l.name)
				mu.Lock()
				defer mu.Unlock()
				crew = append(crew, cl)
			})
		}
	})
	if c.t.Failed() || len(crew) == 0 {
		c.t.FailNow()
	}
	c.t.Cleanup(func() {
		for _, cl := range crew {
			cl.proc.Close()
			if c.t.Failed() {
				t := cl.tally()
				c.t.Logf("%s: %v", cl.name, &t)
			}
			keep(c.t, filepath.Join(c.dir, cl.name+".log"))
		}
	})
	c.poll("all clients have all guilds", 40*time.Second, func() error {
		for _, cl := range crew {
			if t := cl.tally(); !t.ready || t.guilds != len(c.sim.GuildIDs()) {
				return fmt.Errorf("%s: %v", cl.name, &t)
			}
		}
		return nil
	})
	return crew
}

// TestAtTheProxy lets the clients live on a cluster with one address.
func TestAtTheProxy(t *testing.T) {
	c := trio(t, true)
	crew, b := c.crew(c.public.addr()), newBook(c.sim)
	c.round(b, crew, "nothing happens", size(1000, 200), func() {})
	c.commands(crew)
	for _, cl := range crew {
		c.upload(t, cl)
	}
	for range size(3, 1) {
		c.round(b, crew, "kill -9 of the node that the clients are connected to", size(400, 200), func() {
			c.kill(c.front())
		})
		c.commands(crew) // at another node, without a key: docs/operations.md
		c.settled()
		c.leadNot(c.front())
		c.round(b, crew, "kill -9 of the leader", size(400, 200), func() { c.kill(c.leader()) })
		c.settled()
		leader := c.leadNot(c.front())
		c.round(b, crew, "kill -9 of the owner of a shard", size(400, 200), func() {
			c.kill(c.node(func(n *node) bool { return n != leader && n != c.front() }))
		})
		c.settled()
	}
	c.disband(crew)
}

// disband ends the clients, and asserts that the bot itself has lost nothing.
func (c *cluster) disband(crew []*client) {
	c.t.Helper()
	var wg sync.WaitGroup
	for _, cl := range crew {
		wg.Go(func() { cl.end(c.t) })
	}
	wg.Wait()
	for _, bot := range c.status().Bots {
		if bot.DeadLetters > 0 || bot.Gaps > 0 {
			c.t.Errorf("bot %s: %d dead letters, %d gaps", bot.Name, bot.DeadLetters, bot.Gaps)
		}
	}
}

// commands lets a user run each client's slash command.
func (c *cluster) commands(crew []*client) {
	c.t.Helper()
	for _, cl := range crew {
		sent, err := c.sim.Interact(sim.Interact{Name: cl.name})
		if err != nil {
			c.t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
		p, err := sent.Answer(ctx)
		cancel()
		if err != nil || p.Content != "pong" {
			c.t.Errorf("%s answers its slash command with %+v: %v", cl.name, p, err)
		}
	}
}

// round is a stretch of load in which something happens: no ping is lost, none
// is answered twice, no session begins anew, here or at Discord.
func (c *cluster) round(b *book, crew []*client, what string, n int, during func()) {
	c.t.Helper()
	before := map[string]tally{}
	for _, cl := range crew {
		before[cl.name] = cl.tally()
	}
	from := maps.Clone(b.n)
	c.load(b, crew, n, rate, during)
	for _, cl := range crew {
		was, is := before[cl.name], cl.tally()
		if is.identified != was.identified {
			c.t.Errorf("%s: %s began %d sessions anew", what, cl.name, is.identified-was.identified)
		}
		if len(is.failed) > 0 {
			c.t.Errorf("%s: %s gave up %q", what, cl.name, is.failed)
		}
		c.report(b, cl, what, from[cl.name], was, is)
	}
	if s := c.sim.Ledger().Summary(); s.Identifies != upstream {
		c.t.Errorf("%s: %d IDENTIFYs at Discord for %d shards", what, s.Identifies, upstream)
	}
}

// report judges the pings of one client from number from on, and prints figures.
func (c *cluster) report(b *book, cl *client, what string, from int, was, is tally) {
	c.t.Helper()
	var silence, last time.Duration
	var start time.Time
	var firsts, waits []time.Duration
	got, hidden := 0, 0
	for i := from; i < b.n[cl.name]; i++ {
		x := fmt.Sprintf("%s-%d", cl.name, i)
		a := b.asks[x]
		if a.visible != 1 {
			c.t.Errorf("%s: ping %s has %d answers", what, x, a.visible)
		}
		if is.got[x] > 1 {
			c.t.Errorf("%s: %s received %s %d times", what, cl.name, x, is.got[x])
		}
		if start.IsZero() {
			start = a.at
		}
		got, hidden = got+min(1, is.got[x]), hidden+a.hidden
		firsts, waits = append(firsts, a.first.Sub(start)), append(waits, a.first.Sub(a.at))
	}
	slices.Sort(firsts)
	slices.Sort(waits)
	for _, at := range firsts {
		silence, last = max(silence, at-last), at
	}
	c.t.Logf("FIGURE %s: %s: %d pings, %d received, %d answered; answers sent again by the client %d, hidden by their nonce %d; "+
		"RESUMEs %d, IDENTIFYs anew %d; ping to answer p50 %v, p99 %v; longest silence %v",
		what, cl.name, len(firsts), got, len(firsts), len(is.repeats)-len(was.repeats), hidden,
		is.resumed-was.resumed, is.identified-was.identified, round(waits[len(waits)/2]), round(waits[len(waits)*99/100]), round(silence))
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

//go:build unix

package integration

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/internal/testproc"
)

// busy is the stall above which a round's silences are the machine's fault.
const busy = 100 * time.Millisecond

// pingRate is the load under which everything is measured.
const pingRate = 200

// round is what a stretch of load measured.
type round struct {
	// whole is the longest time without an answer of any shard, worst that of
	// the shard that was silent longest. At 200 pings a second over n shards a
	// shard that works is silent for n x 5 ms.
	whole, worst time.Duration
	// after is worst counted from a kill on, where there was one: without what was
	// done to the shard before.
	after time.Duration
	// stall is the longest time that this process wanted to run and could not:
	// what a busy machine adds to every silence.
	stall time.Duration
	// repeats are answers that only their nonce kept from being doubled.
	repeats int
}

// Load sends pings, does something when a good part of them is answered, and
// waits until all are.
func (c *cluster) Load(pings int, during func()) round {
	c.t.Helper()
	from, start := len(c.sim.Ledger().Posted()), time.Now()
	stalls := testproc.WatchStalls()
	load := c.sim.StartLoad(sim.Load{Kind: "ping", Rate: pingRate, N: pings})
	c.waitPongs(from, pings/3)
	during()
	if err := load.Wait(); err != nil {
		c.t.Fatal(err)
	}
	c.WaitAnswered(30 * time.Second)
	r := c.measure(c.sim.Ledger().Posted()[from:], start)
	r.stall = stalls()
	return r
}

// While sends pings while something is done, and waits until all are answered.
func (c *cluster) While(during func()) round {
	c.t.Helper()
	from, start := len(c.sim.Ledger().Posted()), time.Now()
	stalls := testproc.WatchStalls()
	load := c.sim.StartLoad(sim.Load{Kind: "ping", Rate: pingRate})
	c.waitPongs(from, pingRate/2)
	during()
	c.waitPongs(len(c.sim.Ledger().Posted()), pingRate/2)
	if err := load.Stop(); err != nil {
		c.t.Fatal(err)
	}
	c.WaitAnswered(30 * time.Second)
	r := c.measure(c.sim.Ledger().Posted()[from:], start)
	r.stall = stalls()
	return r
}

// waitPongs waits for n answers from a place in the ledger on.
func (c *cluster) waitPongs(from, n int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	_, err := c.sim.Ledger().WaitPosted(ctx, from, func(sim.Posted) bool {
		n--
		return n <= 0
	})
	if err != nil {
		c.t.Fatalf("answers don't come: %v; %+v", err, c.brief())
	}
}

// WaitAnswered waits until every ping has an answer.
func (c *cluster) WaitAnswered(limit time.Duration) {
	c.t.Helper()
	c.poll("every ping is answered", limit, func() error {
		left := c.sim.Ledger().Summary().Unanswered
		return yes(len(left) == 0, "%d of them are not: %v", len(left), left[:min(len(left), 10)])
	})
}

// measure finds the silences between first answers.
func (c *cluster) measure(posted []sim.Posted, start time.Time) (r round) {
	shards := c.sim.Info().Shards
	shardOf := map[sim.ID]int{}
	for _, g := range c.sim.GuildIDs() {
		for _, ch := range c.sim.TextChannels(g) {
			shardOf[ch] = int(uint64(g) >> 22 % uint64(shards))
		}
	}
	last, lastOf := start, slices.Repeat([]time.Time{start}, shards)
	for _, p := range posted {
		if p.Deduped {
			r.repeats++
			continue
		}
		shard := shardOf[p.Channel]
		r.whole = max(r.whole, p.At.Sub(last))
		r.worst = max(r.worst, p.At.Sub(lastOf[shard]))
		last, lastOf[shard] = p.At, p.At
	}
	return r
}

// report prints what rounds measured, and fails if it is far beyond the target.
func (c *cluster) report(what string, rounds []round, median, most time.Duration) {
	c.t.Helper()
	repeats := 0
	var whole, worst, after, stalls, fair []time.Duration
	for _, r := range rounds {
		whole, worst, repeats = append(whole, r.whole), append(worst, r.worst), repeats+r.repeats
		stalls = append(stalls, r.stall)
		if r.after > 0 {
			after = append(after, r.after)
		}
		if r.stall < busy {
			fair = append(fair, r.worst)
		}
	}
	s := c.sim.Ledger().Summary()
	c.t.Logf("FIGURE %s: %d rounds at %d pings/s: the shard hit was silent for %s (targets: median %v, most %v), the whole bot for %s; "+
		"%d pings: %d lost, %d doubled; answers made invisible by the nonce: %d; ping to pong p50 %.1f ms, p99 %.1f ms; IDENTIFYs %d, RESUMEs %d; "+
		"the machine itself stalled for %s",
		what, len(rounds), pingRate, spread(worst), median, most, spread(whole), s.Sent, len(s.Unanswered), len(s.Duplicated), repeats,
		s.P50MS, s.P99MS, s.Identifies, s.Resumes, spread(stalls))
	if len(after) > 0 {
		c.t.Logf("FIGURE %s: from the kill on: %s", what, spread(after))
	}
	if len(fair) == 0 {
		c.t.Log("the machine is too busy for silences to mean anything")
		return
	}
	slices.Sort(fair)
	if m := fair[len(fair)/2]; len(fair) >= 10 && m > 3*median { // of a few rounds it says little
		c.t.Errorf("%s: median silence %v, far above %v", what, m, median)
	}
	if m := fair[len(fair)-1]; m > 3*most {
		c.t.Errorf("%s: longest silence %v, far above %v", what, m, most)
	}
}

// spread shows the median and the largest of some times.
func spread(d []time.Duration) string {
	d = slices.Sorted(slices.Values(d))
	ms := func(d time.Duration) string { return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64) }
	return fmt.Sprintf("median %s ms, p90 %s ms, max %s ms", ms(d[len(d)/2]), ms(d[len(d)*9/10]), ms(d[len(d)-1]))
}

// brief is the ledger's summary without its long lists.
func (c *cluster) brief() sim.Summary {
	s := c.sim.Ledger().Summary()
	s.Unanswered, s.Duplicated = s.Unanswered[:min(len(s.Unanswered), 20)], s.Duplicated[:min(len(s.Duplicated), 20)]
	return s
}

// Unharmed asserts what must hold whatever was killed: every ping has exactly
// one visible answer, and no session was started but the first ones.
func (c *cluster) Unharmed() {
	c.t.Helper()
	s := c.brief()
	if len(s.Unanswered) > 0 || len(s.Duplicated) > 0 || s.Strays > 0 || s.Undeliverable > 0 {
		c.t.Errorf("lost %v, doubled %v, strays %d, undeliverable %d", s.Unanswered, s.Duplicated, s.Strays, s.Undeliverable)
	}
	shards := c.sim.Info().Shards
	if s.Identifies != shards {
		c.t.Errorf("%d IDENTIFYs for %d shards: %+v", s.Identifies, shards, c.sim.Ledger().Identifies())
	}
	c.OneSessionEach()
}

// OneSessionEach asserts that each shard has one live, connected session.
func (c *cluster) OneSessionEach() {
	c.t.Helper()
	shards := c.sim.Info().Shards
	c.poll("one connected session each", 10*time.Second, func() error {
		live := c.sim.LiveSessions()
		for _, s := range live {
			if !s.Connected {
				return yes(false, "session of shard %d has no connection", s.Shard[0])
			}
		}
		return yes(len(live) == shards, "%d live sessions for %d shards", len(live), shards)
	})
}

// Emptied waits until the journal has no entry without its Done, and asserts
// that nothing was given up.
func (c *cluster) Emptied() {
	c.t.Helper()
	c.poll("the journal empties", 15*time.Second, func() error {
		for _, b := range c.status().Bots {
			if b.DeadLetters > 0 || b.Gaps > 0 {
				c.t.Fatalf("bot %s: %d dead letters, %d gaps", b.Name, b.DeadLetters, b.Gaps)
			}
			if b.Unacked > 0 {
				return yes(false, "%d entries left", b.Unacked)
			}
		}
		return nil
	})
}

// messages shows what of the requests to Discord were messages.
func (c *cluster) messages() (n int) {
	for _, p := range c.sim.Ledger().Posted() {
		if strings.HasPrefix(p.Content, "pong ") {
			n++
		}
	}
	return n
}

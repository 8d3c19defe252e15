//go:build unix

package integration

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/internal/testproc"
	"github.com/botnode/botnode/test/tally"
)

var seedFlag = flag.Uint64("seed", 0, "seed of what is killed; 0 is a new one")

const (
	// killEvery is the time between two kills.
	killEvery = 2 * time.Second
	// tallyRate is messages a second. They come in bursts of a tenth of a second,
	// so that handlers of many guilds want the same keys at a time.
	tallyRate = 200
	// tallyDied is the exit code of a tallybot that ended as it was told.
	tallyDied = 7
)

// sayTally says n messages in random channels of all guilds.
func sayTally(ctx context.Context, w *tally.Want, s *sim.Server, rng *rand.Rand, n int) error {
	const burst = tallyRate / 10
	tick := time.NewTicker(time.Second / 10)
	defer tick.Stop()
	guilds := s.GuildIDs()
	for i := 1; i <= n; i++ {
		if i%burst == 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		g := guilds[rng.IntN(len(guilds))]
		channels := s.TextChannels(g)
		m, err := s.Say(sim.Say{Guild: g, Channel: channels[rng.IntN(len(channels))], Content: w.Add(i, g.String(), true)})
		if err != nil {
			return err
		}
		if m.Delivered != 1 {
			return fmt.Errorf("message %d reached %d sessions", i, m.Delivered)
		}
	}
	return nil
}

// revive starts again what has ended, and returns how many processes a handler
// had ended. A process that ends on its own account fails the test.
func (c *cluster) revive() (deaths int) {
	c.t.Helper()
	for id, n := range c.nodes {
		if n.proc.Alive() {
			continue
		}
		if code := c.WaitExit(id, time.Second); code != tallyDied {
			c.t.Fatalf("%s has ended with exit code %d", id, code)
		}
		deaths++
		c.Launch(n, n.proc.Path())
	}
	return deaths
}

// killing kills a random node every 2 s and starts it again at once, and so what
// handlers have ended, until done is closed.
func (c *cluster) killing(rng *rand.Rand, done <-chan error) (kills, deaths int) {
	c.t.Helper()
	kill, look := time.NewTicker(killEvery), time.NewTicker(10*time.Millisecond)
	defer kill.Stop()
	defer look.Stop()
	ids := slices.Sorted(maps.Keys(c.nodes))
	for {
		select {
		case err := <-done:
			must(c.t, err)
			return kills, deaths + c.revive()
		case <-look.C:
			deaths += c.revive()
		case <-kill.C:
			deaths += c.revive()
			n := c.nodes[ids[rng.IntN(len(ids))]]
			c.Kill9(n.id)
			if code := c.WaitExit(n.id, time.Second); code == tallyDied { // its handler was faster
				deaths++
			}
			kills++
			c.Launch(n, n.proc.Path())
		}
	}
}

// acknowledged waits until no node knows an entry without its Done, as long as
// they get fewer. It starts again what handlers end meanwhile, and has retried
// what was given up: it returns those entries.
func (c *cluster) acknowledged() (deaths int, blamed map[uint64]bool) {
	c.t.Helper()
	blamed = map[uint64]bool{}
	least, since := math.MaxInt, time.Now()
	var looked time.Time
	err := errNotYet
	c.poll("everything is acknowledged on every node", 10*time.Minute, func() error {
		deaths += c.revive()
		if time.Since(looked) < time.Second/4 { // to ask is work for them, too
			return err
		}
		left := 0
		left, err = c.unacked(blamed)
		if err == nil && left < least {
			least, since = left, time.Now()
		}
		if time.Since(since) > time.Minute {
			c.t.Fatalf("no progress for a minute: %d entries are left, %v", least, err)
		}
		if err == nil && left > 0 {
			err = yes(false, "%d entries are left", left)
		}
		looked = time.Now()
		return err
	})
	return deaths, blamed
}

// unacked is the number of entries without their Done, by the word of the node
// that knows of most of them. An entry whose third runner in a row was killed is
// retried, as an operator does.
func (c *cluster) unacked(blamed map[uint64]bool) (left int, err error) {
	c.t.Helper()
	for id := range c.nodes {
		st, err := c.Status(id)
		if err != nil {
			return 0, err
		}
		if len(st.Bots) != 1 || st.Stale {
			return 0, yes(false, "%s: %d bots, stale %v", id, len(st.Bots), st.Stale)
		}
		b := st.Bots[0]
		if b.Gaps > 0 {
			c.t.Fatalf("%s: %d gaps", id, b.Gaps)
		}
		left = max(left, b.Unacked+b.DeadLetters)
		if b.DeadLetters == 0 {
			continue
		}
		dead, err := c.client(id).DeadLetters(c.t.Context())
		if err != nil {
			return 0, err
		}
		for _, d := range dead {
			if !strings.Contains(d.Error, "while it ran alone") {
				c.t.Fatalf("given up: %+v", d)
			}
			blamed[d.Pos] = true
			if err := c.client(id).DeadLetter(c.t.Context(), d.Pos, true); err != nil {
				return 0, err
			}
		}
	}
	return left, nil
}

// client is a client of a node's own API, and so of its own state.
func (c *cluster) client(id string) *admin.Client {
	return &admin.Client{BaseURL: "http://" + c.nodes[id].http}
}

// TestCountersAreExactUnderKills has handlers of many guilds add to shared
// counters, update a shared value and race for keys, fail beside others that
// don't, and end their process after an effect, while nodes are killed. What the
// store holds in the end must be what was said, on every node, to the last unit.
func TestCountersAreExactUnderKills(t *testing.T) {
	messages := 2000 // of which each is two Adds, and every fifth an Update
	if long() {
		messages = 10_000
	}
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed %d", seed)
	const shards = 6
	c := botsOn(t, program(t, "./test/integration/tallybot"), shards)
	w, done, stalls := tally.New(), make(chan error, 1), testproc.WatchStalls()
	go func() { done <- sayTally(t.Context(), w, c.sim, rand.New(rand.NewPCG(seed, 1)), messages) }()
	kills, deaths := c.killing(rand.New(rand.NewPCG(seed, 2)), done)
	more, blamed := c.acknowledged()
	deaths += more
	stall := stalls()
	c.WaitServed()
	c.Unharmed()
	c.SameDigests()
	for id := range c.nodes {
		items, err := c.client(id).KVList(t.Context(), "")
		must(t, err)
		if err := w.Store(items); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	hidden, err := w.Ledger(c.sim.Ledger().Posted())
	if err != nil {
		t.Error(err)
	}
	s := c.brief()
	t.Logf("FIGURE counters under kill -9 of a random node every %v: %d messages in %d guilds at %d/s: %d Adds, %d Updates of one value, "+
		"%d Increments, %d races of %d for a key, %d events with a handler that failed %d times beside one that did not; "+
		"%d kills, %d processes ended by a handler between effect and Done; exact on %d nodes, %d dead letters of entries whose third runner was killed, retried; "+
		"%d answers, 0 lost, 0 doubled, %d made invisible by the nonce; IDENTIFYs %d, RESUMEs %d; the machine itself stalled for %v",
		killEvery, messages, len(w.Guilds), tallyRate, 2*messages, tally.Sum(w.Updates),
		(messages+8)/10, len(w.Races), w.Racers, w.Pairs, 2,
		kills, deaths, len(c.nodes), len(blamed), len(w.Answers), hidden, s.Identifies, s.Resumes, stall)
	// On a machine that is busy an entry may be the first of its lane at three
	// kills in a row; on another nothing takes that long.
	if n := len(blamed); n > 0 && stall < busy || n > kills {
		t.Errorf("%d entries were given up: %v", n, slices.Sorted(maps.Keys(blamed)))
	}
	if deaths == 0 || kills == 0 {
		t.Errorf("%d kills, %d processes ended by a handler: nothing is shown", kills, deaths)
	}
}

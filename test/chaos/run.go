//go:build unix

package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/internal/netlab"
	"github.com/botnode/botnode/internal/testproc"
)

// options say how the cluster is tried.
type options struct {
	seed          uint64
	length        time.Duration
	nodes, shards int
	rate          int    // messages a second, each of which is answered
	flood         int    // more messages a second, which are only counted; 0 for none
	kinds         string // beginnings of names, "" for all
	network       bool   // in namespaces, with a network that breaks
	disks         bool   // each node has a disk that fails
	bin           string // tallybot
	dir           string // where the run's folder is made
	logf          func(format string, args ...any)
	soak          bool
	beat          time.Duration // Discord's interval of heartbeats; 5 s where zero
	nonceOff      bool          // Discord forgets nonces: a planted fault that must be found
}

// record is a fault that was done.
type record struct {
	fault
	what       string
	begun, end time.Time
}

// run is one run.
type run struct {
	o       options
	dir     string
	cluster *cluster
	books   *books
	seen    *seen
	history *history
	soak    *soak
	flood   *flood
	started time.Time
	done    chan struct{} // closed when the faults are over
	stalls  func() time.Duration
	result  result

	mu         sync.Mutex // guards what follows
	violations []string
	records    []record
	skipped    int
}

// maxViolations is how many of them are written down.
const maxViolations = 50

// violate notes that something happened that must not.
func (r *run) violate(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.mu.Lock()
	r.violations = append(r.violations, text)
	n := len(r.violations)
	r.mu.Unlock()
	if n <= maxViolations {
		r.o.logf("%7.1fs  VIOLATION  %s", r.since(time.Now()), text)
	}
}

func (r *run) since(t time.Time) float64 { return t.Sub(r.started).Seconds() }

func (r *run) inject(f sim.Fault) {
	if err := r.cluster.sim.Inject(f); err != nil {
		r.violate("the simulator: %v", err)
	}
}

// sleep waits, or until the faults are over.
func (r *run) sleep(d time.Duration) { wait(r.done, d) }

// discordOptions are a Discord whose undocumented ways are drawn by the seed, and
// that limits nothing.
func (o options) discordOptions() sim.Options {
	rng := rand.New(rand.NewPCG(o.seed, 2))
	percent := func() int {
		if rng.IntN(2) == 0 {
			return 0
		}
		return 1 + rng.IntN(5)
	}
	guilds, replay, sent := 4*o.shards, 20_000, 1<<20
	if o.flood > 0 {
		guilds, replay, sent = loadGuilds, loadReplay, 1 // what was sent is asked for where Discord ends a session
	}
	return sim.Options{
		Shards: o.shards, MaxConcurrency: o.shards, Guilds: guilds, ReplayBuffer: replay, Members: 20,
		GlobalLimit: -1, NoRouteLimits: true, CommandLimit: -1, HeartbeatInterval: cmp.Or(o.beat, 5*time.Second),
		SessionStarts: 10_000, KeepSent: sent,
		Switches: sim.Switches{
			SeqHoles: percent(), SeqRepeats: percent(), TrimOnHeartbeat: rng.IntN(2) == 0,
			NonceOff: o.nonceOff, ResumedNotBuffered: rng.IntN(2) == 0, ReplacedCode: []int{4000, -1}[rng.IntN(2)],
		},
	}
}

// begin makes a cluster and waits until it serves.
func begin(ctx context.Context, o options) (r *run, err error) {
	r = &run{o: o, started: time.Now(), done: make(chan struct{})}
	if r.dir, err = os.MkdirTemp(o.dir, fmt.Sprintf("seed-%d-", o.seed)); err != nil {
		return nil, err
	}
	var lab *netlab.Lab
	if o.network {
		if lab, err = netlab.New(o.nodes+1, o.seed); err != nil {
			return nil, err
		}
	}
	discord := o.discordOptions()
	if r.cluster, err = newCluster(ctx, r, lab, discord); err != nil {
		if lab != nil {
			lab.Close()
		}
		return nil, err
	}
	r.books, r.seen, r.history = newBooks(r), newSeen(r), newHistory(r)
	o.logf("seed %d: %d nodes, %d shards, %d messages/s for %v, network that breaks: %v, Discord %+v",
		o.seed, o.nodes, o.shards, o.rate, o.length, o.network, discord.Switches)
	if err := until(ctx, 40*time.Second, func() error { return r.healthy(ctx) }); err != nil {
		r.close()
		return nil, fmt.Errorf("the cluster did not begin: %w", err)
	}
	return r, nil
}

// close ends the run's processes. Its folder stays: it has the logs.
func (r *run) close() {
	r.cluster.close()
	if r.cluster.net != nil {
		r.cluster.net.Close()
	}
	r.result.violations = r.failures()
}

// failures are the violations so far.
func (r *run) failures() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.violations)
}

// execute has the schedule happen, and judges what came of it.
func (r *run) execute(ctx context.Context, faults []fault) {
	r.during(ctx, func(ctx context.Context) {
		var happening sync.WaitGroup
		for _, f := range faults {
			wait(ctx.Done(), time.Until(r.started.Add(f.at)))
			happening.Go(func() { r.happen(ctx, f) })
		}
		wait(ctx.Done(), time.Until(r.started.Add(r.o.length)))
		close(r.done)
		happening.Wait()
	})
}

// during does what goes wrong while users write, clients use the store and all
// nodes are watched, and judges what came of it. trouble closes r.done when no more
// is to be written.
func (r *run) during(ctx context.Context, trouble func(context.Context)) {
	r.started, r.stalls = time.Now(), testproc.WatchStalls()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg, load sync.WaitGroup
	for _, f := range r.seen.watchers() {
		wg.Go(func() { f(ctx) })
	}
	if r.o.soak {
		r.soak = &soak{r: r}
		wg.Go(func() { r.soak.sample(ctx) })
	}
	load.Go(func() { r.books.write(ctx) })
	if r.o.flood > 0 {
		r.flood = &flood{r: r}
		r.flood.begin()
		load.Go(func() { r.flood.wait(ctx) })
	}
	for i := range clients {
		load.Go(func() { r.history.client(ctx, i) })
	}
	trouble(ctx)
	r.inject(sim.Fault{Kind: "clear"})
	load.Wait()
	r.judge(ctx)
	cancel()
	wg.Wait()
}

// happen does one fault, from its beginning to its end.
func (r *run) happen(ctx context.Context, f fault) {
	begun := time.Now()
	what, end, err := f.kind.begin(r, f)
	if err != nil {
		r.mu.Lock()
		r.skipped++
		r.mu.Unlock()
		r.o.logf("%7.1fs  %s: %v", r.since(begun), f, err)
		return
	}
	r.o.logf("%7.1fs  %s: %s", r.since(begun), f, what)
	wait(ctx.Done(), f.length)
	end()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, record{f, what, begun, time.Now()})
}

// healthy returns nil if all nodes say that all is well.
func (r *run) healthy(ctx context.Context) error {
	for _, n := range r.cluster.nodes {
		st, err := n.status(ctx)
		if err == nil {
			err = served(st, r.o)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", n.id, err)
		}
	}
	return nil
}

var errNotWell = errors.New("not well")

func served(st admin.Status, o options) error {
	if st.Health != "ok" || st.Leader == nil || st.Stale || len(st.Nodes) != o.nodes || len(st.Shards) != o.shards {
		return fmt.Errorf("%w: health %q, leader %v, stale %v, %d nodes, %d shards, %v", errNotWell,
			st.Health, st.Leader, st.Stale, len(st.Nodes), len(st.Shards), st.Problems)
	}
	for _, n := range st.Nodes {
		if !n.Voter || !n.Fresh || !n.Alive {
			return fmt.Errorf("%w: %s: voter %v, fresh %v, alive %v", errNotWell, n.ID, n.Voter, n.Fresh, n.Alive)
		}
	}
	for _, s := range st.Shards {
		if s.State != "ready" {
			return fmt.Errorf("%w: shard %d is %s at %s", errNotWell, s.ID, s.State, s.Owner)
		}
	}
	return nil
}

// settle waits until the cluster is well, but not beyond a limit or the end.
func (r *run) settle(limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	go func() {
		select {
		case <-r.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	_ = until(ctx, limit, func() error { return r.healthy(ctx) })
}

// panics is what no log may have.
var panics = []string{"panic: ", "fatal error: ", "DATA RACE", `"level":"panic"`, `"level":"fatal"`, `"level":"dpanic"`}

// logs looks for panics in all nodes' logs.
func (r *run) logs() {
	for _, n := range r.cluster.nodes {
		b, err := os.ReadFile(n.logs)
		if err != nil {
			r.violate("%v", err)
		}
		for line := range strings.Lines(string(b)) {
			for _, p := range panics {
				if strings.Contains(line, p) {
					r.violate("%s has in its log: %.300s", n.id, line)
				}
			}
		}
	}
}

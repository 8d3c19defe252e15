//go:build unix

package chaos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/internal/testproc"
)

var (
	againFlag = flag.String("chaos.again", "", "pairs of kinds of fault for TestAgain, as in net-leader+net-owner,kill-owner+kill-owner")
	timesFlag = flag.Int("chaos.times", 20, "how many pairs of faults TestAgain does")
	gapFlag   = flag.Duration("chaos.gap", 3*time.Second, "the longest time between the two faults of a pair")
)

// TestAgain does one fault soon after another has ended, over and over in one
// cluster, and tells how long a shard was silent at the second: that is when a
// cluster has no reserve left.
func TestAgain(t *testing.T) {
	if *againFlag == "" {
		t.Skip("a measurement of many minutes: -chaos.again names the pairs of faults")
	}
	buildBot(t)
	o := testOptions(t, max(*seedFlag, 1), time.Hour)
	r, err := begin(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var all []time.Duration
	judged(t, r, func() {
		r.during(t.Context(), func(ctx context.Context) {
			rng := rand.New(rand.NewPCG(o.seed, 4))
			pairs := strings.Split(*againFlag, ",")
			_ = until(ctx, 10*time.Second, func() error { return r.answering(time.Second) }) // by then all owners are known
			for n := range *timesFlag {
				if d, ok := r.twice(ctx, rng, n, pairs[n%len(pairs)]); ok {
					all = append(all, d)
				}
			}
			close(r.done)
		})
	})
	if len(all) > 0 {
		slices.Sort(all)
		ms := func(i int) int64 { return all[i].Milliseconds() }
		t.Logf("SILENCE %s %d times: p50 %d ms, p90 %d ms, p99 %d ms, max %d ms", *againFlag, len(all),
			ms(len(all)/2), ms(len(all)*9/10), ms(len(all)*99/100), ms(len(all)-1))
	}
}

// twice does two faults, the second until all shards answer, and returns how long
// one was silent then.
func (r *run) twice(ctx context.Context, rng *rand.Rand, n int, names string) (time.Duration, bool) {
	between := func(low, high time.Duration) time.Duration {
		return low + time.Duration(rng.Int64N(int64(max(high-low, 1))))
	}
	first, second, _ := strings.Cut(names, "+")
	length, gap := between(2*time.Second, 13*time.Second), between(200*time.Millisecond, *gapFlag)
	if strings.HasPrefix(first, "kill") {
		length = between(0, 3*time.Second)
	}
	before, end, err := r.one(first, 2*n, rng.Uint64())
	if err != nil {
		r.o.logf("%3d  %v", n, err)
		wait(ctx.Done(), time.Second)
		return 0, false
	}
	wait(ctx.Done(), length)
	end()
	wait(ctx.Done(), gap)
	stalls, begun, leader := testproc.WatchStalls(), time.Now(), r.seen.leader()
	then, end, err := r.one(second, 2*n+1, rng.Uint64())
	if err != nil {
		stalls()
		r.o.logf("%3d  %v", n, err)
		return 0, false
	}
	wait(ctx.Done(), 3*time.Second)
	_ = until(ctx, 20*time.Second, func() error { return r.answering(400 * time.Millisecond) })
	ended := time.Now()
	end()
	d := r.books.silence(r.cluster.sim.Ledger().Posted(), begun, ended)
	r.o.logf("%3d  %s for %.1fs, %.2fs later at %s: %s (led by %s): silent for %v (the machine stalled for %v)", n, before, length.Seconds(),
		gap.Seconds(), begun.UTC().Format("15:04:05.000"), then, leader, d.Round(time.Millisecond), stalls().Round(time.Millisecond))
	r.settle(20 * time.Second)
	wait(ctx.Done(), between(100*time.Millisecond, 3500*time.Millisecond))
	return d, true
}

// one begins a fault of the kind named.
func (r *run) one(name string, n int, seed uint64) (what string, end func(), err error) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if i < 0 || kinds[i].network && !r.o.network || kinds[i].disk && !r.o.disks {
		return "", nil, fmt.Errorf("%w: no fault %q here", errSkipped, name)
	}
	return kinds[i].begin(r, fault{n: n, kind: &kinds[i], seed: seed})
}

// answering returns nil if every shard has answered within a time.
func (r *run) answering(within time.Duration) error {
	last := map[int]time.Time{}
	for _, p := range r.cluster.sim.Ledger().Posted() {
		if _, ok := counted(p); ok {
			last[r.books.of[p.Channel]] = p.At
		}
	}
	for shard := range r.o.shards {
		if time.Since(last[shard]) > within {
			return fmt.Errorf("%w: of shard %d", errMissing, shard)
		}
	}
	return nil
}

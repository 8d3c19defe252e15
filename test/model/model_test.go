package model

import (
	"flag"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seeds = flag.Int("model.seeds", 0, "how many histories TestModel makes; 0 for the usual number")
	first = flag.Uint64("model.start", 1, "the first seed of TestModel")
	only  = flag.Uint64("model.seed", 0, "replay this one seed with its trace")
	lines = flag.Int("model.lines", 120, "how much of a trace is printed")
)

// TestModel makes histories and expects every invariant to hold in each.
func TestModel(t *testing.T) {
	if *only != 0 {
		replay(t, Options{Seed: *only})
		return
	}
	n := *seeds
	switch {
	case n > 0:
	case testing.Short() || raceEnabled:
		n = 1300
	default:
		n = 16000
	}
	debug.SetGCPercent(400)
	began := time.Now()
	v, stats := search(*first, n, Options{})
	if v != nil {
		replay(t, Options{Seed: v.Seed})
	}
	if v == nil && stats.Histories < n {
		t.Logf("this machine is too busy for %d seeds in %v", n, searchTime)
	}
	t.Logf("%d seeds in %v: %+v", stats.Histories, time.Since(began).Round(time.Millisecond), stats)
}

// searchTime bounds a search where several test binaries share the cores; alone
// on two, 16,000 histories take about a minute.
const searchTime = 6 * time.Minute

// search makes n histories on all cores and returns the violation of the
// lowest seed that has one among those that were made.
func search(start uint64, n int, o Options) (*Violation, Stats) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		worst *Violation
		total Stats
		next  atomic.Int64
		stop  atomic.Bool
	)
	end := time.Now().Add(searchTime)
	for range max(2, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for !stop.Load() && time.Now().Before(end) {
				i := next.Add(1) - 1
				if i >= int64(n) {
					return
				}
				mine := o
				mine.Seed = start + uint64(i)
				v, stats := Run(mine)
				mu.Lock()
				total.add(stats)
				total.Histories++
				if v != nil {
					stop.Store(true)
					if worst == nil || v.Seed < worst.Seed {
						worst = v
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return worst, total
}

// replay makes one history again and prints its trace.
func replay(t *testing.T, o Options) {
	t.Helper()
	o.Trace = true
	v, stats := Run(o)
	if v == nil {
		t.Logf("seed %d: no violation; %+v", o.Seed, stats)
		return
	}
	t.Errorf("%v\n\nreplay with: go test ./test/model -run 'TestModel$' -model.seed %d -v\n\n%s", v, o.Seed, v.Story(*lines))
}

//go:build unix

package consensus

import (
	"bytes"
	"slices"
	"syscall"
	"testing"
	"time"
)

func benchCluster(b *testing.B, bolt bool, commit time.Duration) *cluster {
	b.Helper()
	dir := b.TempDir()
	return newCluster(b, 3, func(o *Options) {
		o.Timeouts = Safe()
		o.Timeouts.Commit = commit
		if bolt {
			o.Memory, o.Dir = nil, dir
		}
	})
}

// BenchmarkOneAtATime measures the latency of 1 KiB entries, one after the other, on three nodes.
func BenchmarkOneAtATime(b *testing.B) {
	for name, bolt := range map[string]bool{"bolt": true, "memory": false} {
		b.Run(name, func(b *testing.B) {
			l := benchCluster(b, bolt, 10*time.Millisecond).Leader()
			entry := append([]byte("id "), bytes.Repeat([]byte("x"), 1024)...)
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				if _, _, err := l.Propose(entry).Result(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// BenchmarkInFlight measures throughput with several entries on their way.
func BenchmarkInFlight(b *testing.B) {
	for _, tc := range []struct {
		name         string
		bolt         bool
		size, flying int
	}{
		{"bolt/64KiB x 8", true, 64 << 10, 8},
		{"bolt/256KiB x 4", true, 256 << 10, 4},
		{"bolt/1KiB x 64", true, 1 << 10, 64},
		{"memory/64KiB x 8", false, 64 << 10, 8},
	} {
		b.Run(tc.name, func(b *testing.B) {
			l := benchCluster(b, tc.bolt, 10*time.Millisecond).Leader()
			entry := append([]byte("id "), bytes.Repeat([]byte("x"), tc.size)...)
			b.SetBytes(int64(tc.size))
			var flying []*Future
			for b.Loop() {
				flying = append(flying, l.Propose(entry))
				if len(flying) == tc.flying {
					if _, _, err := flying[0].Result(); err != nil {
						b.Fatal(err)
					}
					flying = flying[1:]
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// BenchmarkFollowerLearns measures how long after the leader's answer on an idle cluster a follower has applied the
// entry. Without the push it is one to two commit timeouts.
func BenchmarkFollowerLearns(b *testing.B) {
	for _, commit := range []time.Duration{2 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond} {
		b.Run(commit.String(), func(b *testing.B) {
			c := benchCluster(b, false, commit)
			l, n := c.Leader(), c.follower()
			var took []time.Duration
			for b.Loop() {
				index, _, err := l.Propose([]byte("id x")).Result()
				if err != nil {
					b.Fatal(err)
				}
				start := time.Now()
				for {
					applied, raised := n.fsm.applied.next()
					if applied >= index {
						break
					}
					<-raised
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// BenchmarkIdle measures the processor time that three idle nodes in one process take, in percent of one core. Run it
// with -benchtime 1x.
func BenchmarkIdle(b *testing.B) {
	for _, commit := range []time.Duration{time.Millisecond, 2 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond} {
		b.Run(commit.String(), func(b *testing.B) {
			c := benchCluster(b, false, commit)
			c.EnsureSame()
			before, start := cpuTime(b), time.Now()
			<-time.After(2 * time.Second)
			b.ReportMetric(100*(cpuTime(b)-before).Seconds()/time.Since(start).Seconds(), "%core")
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

package botnodetest_test

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/botnode/botnode/botnodetest"
	"github.com/botnode/botnode/internal/faket"
)

// BenchmarkStart is a cluster from nothing to a connected bot, and its end.
func BenchmarkStart(b *testing.B) {
	for _, nodes := range []int{1, 3, 5} {
		b.Run(strconv.Itoa(nodes), func(b *testing.B) {
			var start, end time.Duration
			for b.Loop() {
				t, begun := faket.New(), time.Now()
				botnodetest.Start(t, newPing, botnodetest.Nodes(nodes))
				started := time.Now()
				t.End()
				start, end = start+started.Sub(begun), end+time.Since(started)
			}
			b.ReportMetric(perMS(start, b.N), "ms/start")
			b.ReportMetric(perMS(end, b.N), "ms/end")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkKillLeader is the death of the leader, which owns the shard, until
// what a user writes right after it is answered; and the dead node's return.
func BenchmarkKillLeader(b *testing.B) {
	tb := botnodetest.Start(b, newPing, botnodetest.Nodes(3))
	var answer, back time.Duration
	for b.Loop() {
		if leader := tb.Leader(); tb.Owner(0) != leader {
			tb.MoveShard(0, leader)
		}
		begun := time.Now()
		dead := tb.KillLeader()
		tb.Say("!ping").Expect("pong")
		answered := time.Now()
		tb.Restart(dead)
		answer, back = answer+answered.Sub(begun), back+time.Since(answered)
	}
	b.ReportMetric(perMS(answer, b.N), "ms/answer")
	b.ReportMetric(perMS(back, b.N), "ms/restart")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkMemory is what a node of a cluster of three adds to the heap.
func BenchmarkMemory(b *testing.B) {
	var bytes, goroutines float64
	for b.Loop() {
		t := faket.New()
		botnodetest.Start(t, newPing, botnodetest.Nodes(1))
		one, m := heap(), runtime.NumGoroutine()
		t.End()
		t = faket.New()
		botnodetest.Start(t, newPing, botnodetest.Nodes(3))
		three, k := heap(), runtime.NumGoroutine()
		t.End()
		bytes += (float64(three) - float64(one)) / 2
		goroutines += float64(k-m) / 2
	}
	b.ReportMetric(bytes/float64(b.N)/(1<<20), "MB/node")
	b.ReportMetric(goroutines/float64(b.N), "goroutines/node")
	b.ReportMetric(0, "ns/op")
}

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func perMS(d time.Duration, n int) float64 { return float64(d.Microseconds()) / 1000 / float64(n) }

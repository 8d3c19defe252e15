package demo

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// animate draws the live area ten times a second until the function that it
// returns is called.
func (s *show) animate() (stop func()) {
	if !s.screen.live {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(bucket)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.screen.refresh()
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

// area is the live area: the sparkline so far, and the score.
func (s *show) area() []string {
	sum := s.srv.Ledger().Summary()
	lines := append([]string{""}, s.sparkline()...)
	return append(lines, fmt.Sprintf("  sent %d   answered once %d   on its way %d   duplicated %d   typical answer %.1f ms",
		sum.Sent, sum.AnsweredOnce, len(sum.Unanswered), len(sum.Duplicated), sum.P50MS))
}

// sparkline draws the answers of the whole load, with its marks.
func (s *show) sparkline() []string {
	s.mu.Lock()
	marks := slices.Clone(s.marks)
	s.mu.Unlock()
	until := time.Now()
	if !s.res.load.to.IsZero() {
		until = s.res.load.to
	}
	// Without the bucket that isn't full yet: it would look like a dip.
	n := min(int(until.Sub(s.res.load.from)/bucket), chartWidth)
	return chart(s.screen.p, "answers per 100 ms", perShard(s.answers(), s.res.load.from, bucket, n),
		axis(marks, s.res.load.from, bucket, chartWidth))
}

// closeUp draws the time around the kill, four times as fine.
func (s *show) closeUp() []string {
	const before = 20
	from := s.res.kill.window.from.Add(-before * zoom)
	return chart(s.screen.p, "the kill from close by: answers per 25 ms", perShard(s.answers(), from, zoom, chartWidth),
		axis([]mark{{s.res.kill.window.from, "kill -9 " + s.res.kill.node}}, from, zoom, chartWidth))
}

// series is one row of a chart.
type series struct {
	name   string
	counts []int
	par    float64 // what a bucket has when every ping is answered at once
}

// perShard counts answers by bucket: all of them, then those of each shard.
// The load goes to all shards alike.
func perShard(list []answer, from time.Time, step time.Duration, n int) []series {
	par := rate * step.Seconds()
	rows := []series{{"all", bucketed(list, from, step, n), par}}
	for id := range shards {
		own := slices.DeleteFunc(slices.Clone(list), func(a answer) bool { return a.shard != id })
		rows = append(rows, series{"shard " + strconv.Itoa(id), bucketed(own, from, step, n), par / shards})
	}
	return rows
}

// A chart is indented, its rows have names, and it fits 100 columns.
const (
	nameWidth  = 9
	chartWidth = 88
)

// chart is sparklines below a title and above their axis.
func chart(p palette, title string, rows []series, axis []string) []string {
	out := []string{"  " + p.bold(title) + p.dim(fmt.Sprintf("   %c none   %c as many as there are pings", none, levels[parLevel-1]))}
	for _, r := range rows {
		out = append(out, "  "+p.dim(pad(r.name, nameWidth))+paintSpark(p, spark(r.counts, r.par)))
	}
	for _, l := range axis {
		out = append(out, "  "+pad("", nameWidth)+p.dim(l))
	}
	return out
}

// answers reads the simulator's ledger.
func (s *show) answers() []answer {
	shardOf := make(map[sim.ID]int)
	for _, g := range s.srv.GuildIDs() {
		for _, c := range s.srv.TextChannels(g) {
			shardOf[c] = int(uint64(g) >> 22 % shards) // topics/gateway, "Sharding"
		}
	}
	return firstAnswers(s.srv.Ledger().Posted(), shardOf)
}

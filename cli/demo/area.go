package demo

import (
	"fmt"
	"slices"
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
	list := s.answers()
	until := time.Now()
	if !s.res.load.to.IsZero() {
		until = s.res.load.to
	}
	// Without the bucket that isn't full yet: it would look like a dip.
	n := int(until.Sub(s.res.load.from) / bucket)
	return chart(s.screen.p, "answers per 100 ms", bucketed(list, s.res.load.from, bucket, n), rate*bucket.Seconds(),
		axis(marks, s.res.load.from, bucket, 96))
}

// closeUp draws the time around the kill, ten times as fine.
func (s *show) closeUp() []string {
	const before, n = 25, 92
	from := s.res.kill.window.from.Add(-before * zoom)
	return chart(s.screen.p, "the kill from close by: answers per 10 ms", bucketed(s.answers(), from, zoom, n), rate*zoom.Seconds(),
		axis([]mark{{s.res.kill.window.from, "kill -9 " + s.res.kill.node}}, from, zoom, n))
}

// chart is a sparkline with a title and its axis, indented.
func chart(p palette, title string, counts []int, par float64, axis []string) []string {
	out := []string{
		"  " + p.bold(title) + p.dim(fmt.Sprintf("  (%c none, %c all %.0f)", none, levels[parLevel-1], par)),
		"  " + paintSpark(p, spark(counts, par)),
	}
	for _, l := range axis {
		out = append(out, "  "+p.dim(l))
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

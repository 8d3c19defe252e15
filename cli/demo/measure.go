package demo

import (
	"slices"
	"strings"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// answer is the first visible answer to a ping.
type answer struct {
	at    time.Time
	shard int
}

// firstAnswers lists the first visible answer to each ping, in order of time.
// shardOf tells the shard of a channel.
func firstAnswers(posted []sim.Posted, shardOf map[sim.ID]int) []answer {
	seen := make(map[string]bool, len(posted))
	var out []answer
	for _, p := range posted {
		if p.Deduped || seen[p.Content] || !strings.HasPrefix(p.Content, "pong ") {
			continue
		}
		seen[p.Content] = true
		out = append(out, answer{at: p.At, shard: shardOf[p.Channel]})
	}
	slices.SortStableFunc(out, func(a, b answer) int { return a.at.Compare(b.at) })
	return out
}

// span is a time from a moment to another.
type span struct{ from, to time.Time }

// silence is the longest time without an answer of one of the shards (nil for
// all of them) that touches window; load is when pings were sent at all.
func silence(list []answer, load, window span, shards []int) time.Duration {
	var longest time.Duration
	last := load.from
	gap := func(until time.Time) {
		if until.After(window.from) && last.Before(window.to) {
			longest = max(longest, until.Sub(last))
		}
	}
	for _, a := range list {
		if shards != nil && !slices.Contains(shards, a.shard) {
			continue
		}
		if a.at.After(load.to) {
			break
		}
		gap(a.at)
		last = a.at
	}
	gap(load.to)
	return longest
}

// worstSilence is the longest silence of any single one of the shards.
func worstSilence(list []answer, load, window span, shards []int) time.Duration {
	var worst time.Duration
	for _, s := range shards {
		worst = max(worst, silence(list, load, window, []int{s}))
	}
	return worst
}

// replayed counts the successful RESUMEs of shards since a moment, and the
// events that Discord sent again to them.
func replayed(resumes []sim.Resume, since time.Time, shards []int) (count, events int) {
	for _, r := range resumes {
		if r.Result == "ok" && r.At.After(since) && slices.Contains(shards, int(r.Shard[0])) {
			count++
			events += r.Replayed
		}
	}
	return count, events
}

package demo

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/botnode/botnode/discord/sim"
)

var zero = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func ms(n int) time.Time { return zero.Add(time.Duration(n) * time.Millisecond) }

func at(shard int, when ...int) (out []answer) {
	for _, n := range when {
		out = append(out, answer{ms(n), shard})
	}
	return out
}

func TestFirstAnswers(t *testing.T) {
	got := firstAnswers([]sim.Posted{
		{At: ms(1), Channel: 1, Content: "pong 1"},
		{At: ms(2), Channel: 2, Content: "pong 2", Deduped: true}, // invisible
		{At: ms(3), Channel: 1, Content: "pong 1"},                // the second one doesn't count
		{At: ms(4), Channel: 2, Content: "hello"},
		{At: ms(5), Channel: 2, Content: "pong 2"},
	}, map[sim.ID]int{1: 0, 2: 7})
	if want := []answer{{ms(1), 0}, {ms(5), 7}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSilence(t *testing.T) {
	load := span{ms(0), ms(1000)}
	both := append(at(0, 100, 200, 500, 900), at(1, 300, 400, 600, 700, 800, 950)...)
	slices.SortFunc(both, func(a, b answer) int { return a.at.Compare(b.at) })
	for name, c := range map[string]struct {
		list   []answer
		window span
		shards []int
		want   int
	}{
		"no answer at all":                      {nil, load, nil, 1000},
		"all shards":                            {both, load, nil, 100},
		"one shard":                             {both, load, []int{0}, 400},
		"the silence began before the window":   {both, span{ms(600), ms(650)}, []int{0}, 400},
		"the silence ends after the window":     {both, span{ms(450), ms(550)}, []int{0}, 400},
		"a silence that ended before it":        {both, span{ms(900), ms(920)}, []int{0}, 100},
		"a shard that never answers again":      {at(0, 100), span{ms(50), ms(200)}, []int{0}, 900},
		"answers after the load do not count":   {at(0, 100, 1500), span{ms(950), ms(2000)}, []int{0}, 900},
		"before the first answer":               {at(0, 300, 400), span{ms(0), ms(1)}, []int{0}, 300},
		"the worst of several is over them all": {both, load, []int{0, 1}, 100},
	} {
		if got := silence(c.list, load, c.window, c.shards); got != time.Duration(c.want)*time.Millisecond {
			t.Errorf("%s: %s, want %d ms", name, got, c.want)
		}
	}
	if got := worstSilence(both, load, load, []int{0, 1}); got != 400*time.Millisecond {
		t.Errorf("worst of single shards: %s", got)
	}
}

// Over the whole load, the silence is the largest difference of neighbours.
func TestSilenceIsLargestGap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		when := rapid.SliceOf(rapid.IntRange(0, 999)).Draw(t, "when")
		slices.Sort(when)
		load := span{ms(0), ms(1000)}
		points := append(append([]int{0}, when...), 1000)
		want := 0
		for i := range len(points) - 1 {
			want = max(want, points[i+1]-points[i])
		}
		if got := silence(at(0, when...), load, load, nil); got != time.Duration(want)*time.Millisecond {
			t.Fatalf("%s, want %d ms", got, want)
		}
	})
}

func TestReplayed(t *testing.T) {
	list := []sim.Resume{
		{At: ms(1), Result: "ok", Replayed: 5}, // before the kill
		{At: ms(11), Result: "unknown_session", Replayed: 5},
		{At: ms(12), Result: "ok", Shard: [2]int64{1, 3}, Replayed: 5}, // of another shard
		{At: ms(13), Result: "ok", Replayed: 3},
		{At: ms(14), Result: "ok", Replayed: 1},
	}
	if n, events := replayed(list, ms(10), []int{0}); n != 2 || events != 4 {
		t.Errorf("%d resumes, %d events", n, events)
	}
}

package demo

import (
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

func cleanResult() *result {
	r := &result{load: span{ms(0), ms(9000)}, took: 12340 * time.Millisecond, cpus: 2}
	r.sum = sim.Summary{
		Sent: 1800, AnsweredOnce: 1800, Identifies: 3, IdentifiesOK: 3, Resumes: 4, ResumesOK: 4,
		P50MS: 1.25, P99MS: 31.9, MaxMS: 48, LongestSilenceMS: 41.5,
	}
	r.kill = incident{node: "joe", shards: []int{0}, silence: 38 * time.Millisecond, own: 52 * time.Millisecond, replays: 1}
	r.move = incident{node: "joe", from: "mike", shards: []int{0}, silence: 7200 * time.Microsecond, own: 18 * time.Millisecond}
	return r
}

func summary(r *result) []string {
	lines := append(ledgerLines(false, r), "")
	lines = append(lines, nostrumLines(false, r)...)
	return append(append(lines, ""), judgement(false, r)...)
}

func TestLedgerGolden(t *testing.T) {
	r := cleanResult()
	if bad := r.problems(); bad != nil {
		t.Errorf("problems: %q", bad)
	}
	golden(t, "clean.txt", append(intro(false), summary(r)...))
}

func TestFailedLedgerGolden(t *testing.T) {
	r := cleanResult()
	r.kill.shards = []int{0, 2}
	r.sum.AnsweredOnce, r.sum.Deduped, r.sum.Undeliverable, r.sum.Strays = 1787, 2, 5, 1
	r.sum.Unanswered = []int{601, 602, 603, 604, 605, 606, 607, 608, 609, 610, 611, 612}
	r.sum.Duplicated = []int{613}
	r.sum.Identifies = 4
	golden(t, "failed.txt", summary(r))
}

// Each thing that must not happen fails the demo by itself.
func TestProblems(t *testing.T) {
	for want, spoil := range map[string]func(*sim.Summary){
		"no ping was sent":         func(s *sim.Summary) { s.Sent = 0 },
		"1 ping lost (7)":          func(s *sim.Summary) { s.Unanswered = []int{7} },
		"2 pings answered more":    func(s *sim.Summary) { s.Duplicated = []int{7, 9} },
		"3 pings while Discord":    func(s *sim.Summary) { s.Undeliverable = 3 },
		"1 answer to pings":        func(s *sim.Summary) { s.Strays = 1 },
		"4 IDENTIFYs for 3 shards": func(s *sim.Summary) { s.Identifies = 4 },
	} {
		r := cleanResult()
		spoil(&r.sum)
		bad := r.problems()
		if len(bad) != 1 || !strings.HasPrefix(bad[0], want) {
			t.Errorf("want %q, got %q", want, bad)
		}
		if said := judgement(false, r); len(said) != 2 || !strings.HasPrefix(said[1], "  "+want) {
			t.Errorf("%q", said)
		}
	}
}

func TestMeasureLooksAtItsWindow(t *testing.T) {
	load := span{ms(0), ms(1000)}
	x := incident{shards: []int{0}, window: span{ms(300), ms(600)}}
	list := append(at(0, 100, 290, 400, 500, 900), at(1, 950)...)
	x.measure(list, load, []sim.Resume{
		{At: ms(350), Result: "ok", Replayed: 3}, {At: ms(700), Result: "ok", Replayed: 9},
	})
	if x.own != 400*time.Millisecond || x.resumes != 1 || x.replays != 3 {
		t.Errorf("%+v", x)
	}
}

func TestBusyNote(t *testing.T) {
	r := cleanResult()
	if got := busyNote(false, r); got != nil {
		t.Errorf("%q", got)
	}
	r.sum.P50MS = 21.5
	if got := busyNote(false, r); len(got) != 1 || !strings.Contains(got[0], "21 ms") {
		t.Errorf("%q", got)
	}
}

func TestText(t *testing.T) {
	for want, got := range map[string]string{
		"0.3 ms": short(300 * time.Microsecond), "9.5 ms": short(9500 * time.Microsecond), "41 ms": millis(41.5),
		"5.43 s": short(5430 * time.Millisecond), "1,234,567": thousands(1234567), "999": thousands(999),
		"1 event": count(1, "event"), "0 events": count(0, "event"), "shard 2": shardList([]int{2}), "shards 0+2": shardList([]int{0, 2}),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

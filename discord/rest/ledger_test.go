package rest

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// ledgerWorld is nodes that ask a ledger, each as a node does: one question at a
// time, and what it gives back is told before another gets it.
type ledgerWorld struct {
	l       *ledger
	now     time.Time
	seq     map[Member]uint64
	held    map[Member]int // what the node believes to hold
	target  map[Member]int
	waiting map[Member]bool
	members []Member
}

// ask sends one question.
func (w *ledgerWorld) ask(m Member, want int) {
	if w.waiting[m] {
		return
	}
	if t, ok := w.target[m]; ok {
		w.held[m] = min(w.held[m], t)
	}
	w.seq[m]++
	w.waiting[m] = true
	w.l.ask(m, laneMsg{seq: w.seq[m], held: w.held[m], want: want}, w.now, func(a laneAns) {
		w.waiting[m] = false
		w.held[m], w.target[m] = a.held, a.target
	})
}

// check fails if more is held than there is.
func (w *ledgerWorld) check(t *rapid.T) {
	sum := 0
	for m, n := range w.held {
		if n > w.l.holder(m).held {
			t.Fatalf("%v uses %d, the ledger knows of %d", m, n, w.l.holder(m).held)
		}
		sum += n
	}
	if sum > w.l.limit || w.l.taken(w.now) > w.l.limit {
		t.Fatalf("%d of %d places are used, %d taken", sum, w.l.limit, w.l.taken(w.now))
	}
}

// TestLedgerNeverGivesTooMuch plays questions, deaths and time against a ledger.
func TestLedgerNeverGivesTooMuch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &ledgerWorld{
			l: newLedger(rapid.IntRange(1, 60).Draw(t, "limit")), now: time.Unix(0, 0),
			seq: map[Member]uint64{}, held: map[Member]int{}, target: map[Member]int{}, waiting: map[Member]bool{},
		}
		for i := range rapid.IntRange(1, 4).Draw(t, "nodes") {
			w.members = append(w.members, Member{ID: fmt.Sprint("n", i)})
		}
		w.l.begin(nil, time.Time{}, w.now)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			m := rapid.SampledFrom(w.members).Draw(t, "node")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				w.l.leave(m, w.now)
				delete(w.held, m)
				delete(w.target, m)
				w.waiting[m], w.seq[m] = false, 0
			case 1, 2:
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 600).Draw(t, "ms")) * time.Millisecond)
			default:
				w.ask(m, rapid.IntRange(0, 80).Draw(t, "want"))
			}
			w.l.allocate(w.now)
			w.check(t)
		}
	})
}

// TestLedgerIsFair lets nodes ask until nothing changes: each has what it wants or
// an equal share at least, and nothing is left over while somebody wants it.
func TestLedgerIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &ledgerWorld{
			l: newLedger(rapid.IntRange(4, 60).Draw(t, "limit")), now: time.Unix(0, 0),
			seq: map[Member]uint64{}, held: map[Member]int{}, target: map[Member]int{}, waiting: map[Member]bool{},
		}
		want := map[Member]int{}
		for i := range rapid.IntRange(1, 4).Draw(t, "nodes") {
			m := Member{ID: fmt.Sprint("n", i)}
			w.members = append(w.members, m)
			want[m] = rapid.IntRange(0, 80).Draw(t, "want")
		}
		w.l.begin(nil, time.Time{}, w.now)
		for range 20 {
			for _, m := range w.members {
				w.ask(m, want[m])
				w.l.allocate(w.now)
				w.check(t)
			}
			w.now = w.now.Add(staleWant)
		}
		sum, short := 0, false
		for _, m := range w.members {
			if w.held[m] < min(want[m], w.l.limit/len(w.members)) {
				t.Fatalf("%v holds %d, wants %d; %d of %d nodes' share", m, w.held[m], want[m], w.l.limit, len(w.members))
			}
			sum += w.held[m]
			short = short || w.held[m] < want[m]
		}
		if short && sum < w.l.limit {
			t.Fatalf("%d of %d places are held though somebody wants more", sum, w.l.limit)
		}
	})
}

func TestLedgerRestsWhatTheDeadMayHold(t *testing.T) {
	a, b := Member{ID: "a"}, Member{ID: "b"}
	start := time.Unix(100, 0)
	for _, tt := range []struct {
		name   string
		inform bool
		death  time.Time
		want   int // places that a gets at once
		later  int // and after the rest
	}{
		{name: "nobody died", inform: true, want: 50, later: 50},
		{name: "a node died", inform: true, death: start.Add(-100 * time.Millisecond), want: 10, later: 50},
		{name: "a node died long ago", inform: true, death: start.Add(-2 * time.Second), want: 50, later: 50},
		{name: "a node is silent", want: 10, later: 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, got := newLedger(50), 0
			l.inform(a, laneHeld{seq: 1, held: 10, want: 10}, start)
			if tt.inform {
				l.inform(b, laneHeld{}, start)
			}
			l.begin([]Member{a, b}, tt.death, start)
			seq := uint64(1)
			ask := func(now time.Time) int {
				seq++
				held := l.holder(a).held
				got = held
				l.ask(a, laneMsg{seq: seq, held: held, want: 60}, now, func(ans laneAns) { got = ans.held })
				l.settle([]Member{a, b}, now)
				l.allocate(now)
				return got
			}
			if n := ask(start); n != tt.want {
				t.Errorf("%d places at once, want %d", n, tt.want)
			}
			if n := ask(start.Add(laneRest)); n != tt.later {
				t.Errorf("%d places later, want %d", n, tt.later)
			}
		})
	}
}

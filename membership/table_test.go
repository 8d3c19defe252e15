package membership

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(n int) time.Time { return time.Unix(int64(n), 0) }

func TestTableFollowsAMember(t *testing.T) {
	tb := newTable()
	joe := Meta{ID: "joe", Incarnation: 5, ClusterAddr: "a:1"}
	steps := []struct {
		do   func()
		want Status
		at   int
	}{
		{func() { tb.alive(joe, at(1)) }, Alive, 1},
		{func() { tb.alive(joe, at(2)) }, Alive, 1},
		{func() { tb.suspect("joe", 5, true, at(3)) }, Suspect, 3},
		{func() { tb.suspect("joe", 4, false, at(4)) }, Suspect, 3},
		{func() { tb.suspect("joe", 5, false, at(5)) }, Alive, 5},
		{func() { tb.gone("joe", 4, at(6)) }, Alive, 5},
		{func() { tb.gone("joe", 5, at(7)) }, Dead, 7},
		{func() { tb.suspect("joe", 5, false, at(8)) }, Dead, 7},
		{func() { tb.alive(joe, at(9)) }, Alive, 9},
		{func() { joe.Flags = Leaving; tb.alive(joe, at(10)) }, Alive, 9},
		{func() { tb.gone("joe", 5, at(11)) }, Left, 11},
	}
	for i, s := range steps {
		s.do()
		if got := tb.list()[0]; got.Status != s.want || !got.Since.Equal(at(s.at)) {
			t.Errorf("step %d: %v since %d, want %v since %d", i, got.Status, got.Since.Unix(), s.want, s.at)
		}
	}
	if !tb.forget("joe") || len(tb.list()) != 0 || tb.forget("joe") {
		t.Error("forget")
	}
}

func TestTableFindsTwins(t *testing.T) {
	tb := newTable()
	older := Meta{ID: "joe", Incarnation: 1, ClusterAddr: "a:1"}
	newer := Meta{ID: "joe", Incarnation: 2, ClusterAddr: "b:2"}
	if c := tb.alive(older, at(1)); len(c) != 0 {
		t.Errorf("alone: %v", c)
	}
	for range 2 {
		if c := tb.alive(newer, at(2)); len(c) != 1 || c[0].Older.ClusterAddr != "a:1" || c[0].Newer.ClusterAddr != "b:2" {
			t.Errorf("both: %v", c)
		}
	}
	if got := tb.list(); len(got) != 1 || got[0].Incarnation != 2 {
		t.Errorf("the newest is shown: %v", got)
	}
	tb.gone("joe", 1, at(3))
	if c := tb.alive(newer, at(4)); len(c) != 0 {
		t.Errorf("the older is gone: %v", c)
	}
	if c := tb.alive(older, at(5)); len(c) != 1 {
		t.Errorf("the older refutes its death: %v", c)
	}
}

// TestTableShowsTheNewest holds whatever gossip says in whatever order.
func TestTableShowsTheNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tb := newTable()
		newest := map[string]uint64{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			id := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "id")
			inc := rapid.Uint64Range(1, 4).Draw(t, "incarnation")
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				tb.alive(Meta{ID: id, Incarnation: inc}, at(0))
				newest[id] = max(newest[id], inc)
			case 1:
				tb.gone(id, inc, at(0))
			case 2:
				tb.suspect(id, inc, rapid.Bool().Draw(t, "yes"), at(0))
			}
		}
		if len(tb.list()) != len(newest) {
			t.Fatalf("%d members, want %d", len(tb.list()), len(newest))
		}
		for _, m := range tb.list() {
			if m.Incarnation != newest[m.ID] {
				t.Fatalf("%s has incarnation %d, want %d", m.ID, m.Incarnation, newest[m.ID])
			}
			for inc := range tb.older[m.ID] {
				if inc >= m.Incarnation {
					t.Fatalf("older %d of %d", inc, m.Incarnation)
				}
			}
		}
	})
}

func TestSuspicionIsReadFromTheLog(t *testing.T) {
	for line, want := range map[string]string{
		"[INFO] memberlist: Suspect joe#5 has failed, no acks received": "joe#5",
		"[WARN] memberlist: Refuting a suspect message (from: joe#5)":   "",
		"nonsense": "",
	} {
		_, text := splitLine(line)
		if got, _ := suspected(text); got != want {
			t.Errorf("%q: got %q", line, got)
		}
	}
}

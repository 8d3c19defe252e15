package consensus

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func rep(voter string, lastTerm, lastIndex uint64) report {
	return report{Leader: "L", Term: 7, Voter: voter, LastTerm: lastTerm, LastIndex: lastIndex}
}

func viewOf(self string, voters []string, reports ...report) view {
	v := view{Self: self, Leader: "L", Term: 7, Follower: true, Voters: voters, Reports: map[string]report{}}
	for _, r := range reports {
		v.Reports[r.Voter] = r
	}
	return v
}

func TestDecide(t *testing.T) {
	t.Parallel()
	three, five := []string{"L", "a", "b"}, []string{"L", "a", "b", "c", "d"}
	cases := []struct {
		name string
		v    view
		want verdict
	}{
		{"both of three lost it, longer log", viewOf("a", three, rep("a", 7, 9), rep("b", 7, 8)), fire},
		{"both of three lost it, shorter log", viewOf("b", three, rep("a", 7, 9), rep("b", 7, 8)), wait},
		{"a newer term beats a longer log", viewOf("a", three, rep("a", 6, 99), rep("b", 7, 1)), wait},
		{"equal logs: the higher id", viewOf("b", three, rep("a", 7, 9), rep("b", 7, 9)), fire},
		{"alone of three", viewOf("a", three, rep("a", 7, 9)), wait},
		{"only the other lost it", viewOf("a", three, rep("b", 7, 9)), wait},
		{"three of five: a fourth may come", viewOf("c", five, rep("a", 7, 9), rep("b", 7, 9), rep("c", 7, 9)), hold},
		{"four of five", viewOf("d", five, rep("a", 7, 9), rep("b", 7, 9), rep("c", 7, 9), rep("d", 7, 9)), fire},
		{"two of five", viewOf("b", five, rep("a", 7, 9), rep("b", 7, 9)), wait},
		{"two voters have no quorum without the leader", viewOf("a", []string{"L", "a"}, rep("a", 7, 9)), wait},
		{"a non-voter", viewOf("x", three, rep("x", 7, 9), rep("a", 7, 8), rep("b", 7, 8)), wait},
		{"a report of a non-voter counts nothing", viewOf("a", three, rep("a", 7, 9), rep("x", 7, 8)), wait},
		{"reports of an older term", viewOf("a", three, rep("a", 7, 9), report{Leader: "L", Term: 6, Voter: "b"}), wait},
		{"reports of another leader", viewOf("a", three, rep("a", 7, 9), report{Leader: "M", Term: 7, Voter: "b"}), wait},
	}
	for _, tc := range cases {
		if got := decide(tc.v); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
	fourth := viewOf("c", five, rep("a", 7, 9), rep("b", 7, 9), rep("c", 7, 9))
	fourth.Down = map[string]bool{"d": true}
	if got := decide(fourth); got != fire {
		t.Errorf("three of five, the fourth dead as well: %d, want %d", got, fire)
	}
	good := viewOf("a", three, rep("a", 7, 9), rep("b", 7, 8))
	for name, spoil := range map[string]func(*view){
		"no leader known":     func(v *view) { v.Leader = "" },
		"the leader itself":   func(v *view) { v.Leader = "a" },
		"not a follower":      func(v *view) { v.Follower = false },
		"fired in this term":  func(v *view) { v.Fired = 7 },
		"another leader came": func(v *view) { v.Leader = "b" },
		"another term came":   func(v *view) { v.Term = 8 },
	} {
		v := good
		spoil(&v)
		if got := decide(v); got != wait {
			t.Errorf("%s: %d, want wait", name, got)
		}
	}
}

// TestAtMostOneFires: whatever the logs and whoever reported, of the nodes that hold the same reports at most one
// stands, it is a voter that lost the leader, and no voter with a better log is among the reports.
func TestAtMostOneFires(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(t, "voters")
		voters := []string{"L"}
		for i := range n - 1 {
			voters = append(voters, fmt.Sprint("v", i))
		}
		nodes := append([]string{"x", "y"}, voters...)
		reports := map[string]report{}
		for _, id := range nodes {
			if rapid.Bool().Draw(t, "lost "+id) {
				reports[id] = rep(id, rapid.Uint64Range(5, 7).Draw(t, "lt"), rapid.Uint64Range(1, 4).Draw(t, "li"))
			}
		}
		fired := map[string]verdict{}
		for _, id := range nodes {
			v := viewOf(id, voters)
			v.Reports = reports
			v.Follower = id != "L"
			if d := decide(v); d != wait {
				fired[id] = d
			}
		}
		if len(fired) > 1 {
			t.Fatalf("several stand: %v", fired)
		}
		count := 0
		for _, id := range voters[1:] {
			if _, ok := reports[id]; ok {
				count++
			}
		}
		if enough := count >= n/2+1; enough != (len(fired) == 1) {
			t.Fatalf("%d of %d voters lost the leader, standing: %v", count, n, fired)
		}
		for id := range fired {
			if id == "L" || id == "x" || id == "y" {
				t.Fatalf("%s stands", id)
			}
			for _, other := range voters[1:] {
				if r, ok := reports[other]; ok && r.above(reports[id]) {
					t.Fatalf("%s stands below %s", id, other)
				}
			}
		}
	})
}

// TestPartialViews: nodes that hold different parts of the reports. Those that may fire at once, without a grace, hold
// all of them, so there is at most one.
func TestPartialViews(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		voters := []string{"L", "a", "b", "c", "d"}
		all := map[string]report{}
		for _, id := range voters[1:] {
			all[id] = rep(id, 7, rapid.Uint64Range(1, 4).Draw(t, "li"))
		}
		at := 0
		for _, id := range voters[1:] {
			v := viewOf(id, voters, all[id])
			for _, other := range voters[1:] {
				if rapid.Bool().Draw(t, id+" knows "+other) {
					v.Reports[other] = all[other]
				}
			}
			if decide(v) == fire {
				at++
			}
		}
		if at > 1 {
			t.Fatalf("%d fire at once", at)
		}
	})
}

func TestReportRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[a-z0-9.-]{1,60}`)
		want := report{
			Leader: id.Draw(t, "leader"), Voter: id.Draw(t, "voter"), Term: rapid.Uint64().Draw(t, "term"),
			LastTerm: rapid.Uint64().Draw(t, "last term"), LastIndex: rapid.Uint64().Draw(t, "last index"),
		}
		b := want.encode()
		got, err := decodeReport(b)
		if err != nil || got != want {
			t.Fatalf("%+v became %+v, %v", want, got, err)
		}
		for cut := range len(b) {
			if _, err := decodeReport(b[:cut]); err == nil {
				t.Fatalf("%d of %d bytes were accepted", cut, len(b))
			}
		}
	})
}

func FuzzDecodeReport(f *testing.F) {
	f.Add(rep("a", 7, 9).encode())
	f.Add([]byte{reportVersion, 1, 1, 1, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeReport(b)
		if err != nil {
			return
		}
		if again, err := decodeReport(r.encode()); err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

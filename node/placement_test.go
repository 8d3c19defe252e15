package node

import (
	"slices"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
)

// TestAPlacementOfStrangers is a problem of the status, and no reason to call the
// cluster unhealthy.
func TestAPlacementOfStrangers(t *testing.T) {
	st := &admin.Status{
		State: "leader", Leader: &admin.LeaderID{ID: "joe"},
		Nodes: []admin.Node{{ID: "joe", Voter: true, Alive: true}, {ID: "mike", Voter: true, Alive: true}, {ID: "robert", Voter: true, Alive: true}},
	}
	for placement, words := range map[string]string{
		"spread":                 "",
		"prefer:joe,mike+robert": "",
		"prefer:joe,mikr":        "the placement of bot b names mikr, which the cluster doesn't have",
		"prefer:anna+bert":       "the placement of bot b names anna, bert, which the cluster doesn't have, and no other node",
	} {
		st.Bots = []admin.Bot{{Name: "b", Layout: 1, Placement: placement, ShardsByState: map[string]int{"ready": 1}}}
		st.Problems = problems(st, nil, "", func(string) error { return nil })
		i := slices.IndexFunc(st.Problems, func(p admin.Problem) bool { return p.Code == "placement_unknown_node" })
		switch {
		case (i >= 0) != (words != ""):
			t.Errorf("%s: %+v", placement, st.Problems)
		case i >= 0 && (st.Problems[i].Message != words || st.Problems[i].Hint == ""):
			t.Errorf("%s: %+v", placement, st.Problems[i])
		}
		if h := health(st); h != "ok" {
			t.Errorf("%s: %s", placement, h)
		}
	}
}

// TestAPlacementOfStrangersIsToldOnce, and not of nodes that join meanwhile.
func TestAPlacementOfStrangersIsToldOnce(t *testing.T) {
	since, start := make(map[misplaced]time.Time), time.Now()
	slip, late := misplaced{"b", "mikr"}, misplaced{"c", "robert"}
	for second := range 100 {
		have := []misplaced{slip}
		if second < 20 {
			have = append(have, late)
		}
		var want []misplaced
		if second == int(placementGrace/time.Second) {
			want = []misplaced{slip}
		}
		if got := misplacedSince(since, have, start.Add(time.Duration(second)*time.Second)); !slices.Equal(got, want) {
			t.Errorf("after %d s: %v, want %v", second, got, want)
		}
	}
}

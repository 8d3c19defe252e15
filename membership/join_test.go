package membership

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestDecideJoinRequest(t *testing.T) {
	base := JoinState{
		SelfID: "joe", SelfAddr: "10.0.0.1:7101", ClusterID: "c1", LeaderAddr: "10.0.0.3:7101",
		JoinerID: "mike", JoinerAddr: "10.0.0.2:7101", JoinerIncarnation: 5,
	}
	for name, tt := range map[string]struct {
		change func(*JoinState)
		want   Action
		reason error
	}{
		"to a follower":         {func(*JoinState) {}, ForwardToLeader, nil},
		"to the leader":         {func(s *JoinState) { s.Leads = true }, AdmitSelfAsLeader, nil},
		"to a pristine node":    {func(s *JoinState) { s.ClusterID, s.LeaderAddr = "", "" }, BootstrapThenAdmit, nil},
		"without a leader":      {func(s *JoinState) { s.LeaderAddr = "" }, Refuse, ErrJoinNoLeader},
		"leader not ready":      {func(s *JoinState) { s.LeaderAddr = s.SelfAddr }, Refuse, ErrJoinNoLeader},
		"to itself":             {func(s *JoinState) { s.JoinerID, s.JoinerAddr = s.SelfID, s.SelfAddr }, Refuse, ErrJoinSelf},
		"with the asked's id":   {func(s *JoinState) { s.JoinerID = s.SelfID }, Refuse, ErrIDInUse},
		"crossed":               {func(s *JoinState) { s.ClusterID, s.LeaderAddr, s.Joining = "", "", s.JoinerAddr }, Refuse, ErrCrossedJoin},
		"of another cluster":    {func(s *JoinState) { s.JoinerClusterID = "c2" }, Refuse, ErrJoinerElsewhere},
		"member to pristine":    {func(s *JoinState) { s.ClusterID, s.JoinerClusterID = "", "c2" }, Refuse, ErrJoinerElsewhere},
		"again":                 {func(s *JoinState) { s.JoinerClusterID = "c1" }, ForwardToLeader, nil},
		"a live twin elsewhere": {func(s *JoinState) { s.Twin, s.TwinAddr, s.TwinIncarnation = true, "10.0.0.9:1", 4 }, Refuse, ErrIDInUse},
		"a newer twin":          {func(s *JoinState) { s.Twin, s.TwinAddr, s.TwinIncarnation = true, s.JoinerAddr, 6 }, Refuse, ErrIDInUse},
		"its own former self":   {func(s *JoinState) { s.Twin, s.TwinAddr, s.TwinIncarnation = true, s.JoinerAddr, 4 }, ForwardToLeader, nil},
		"it is known already":   {func(s *JoinState) { s.Twin, s.TwinAddr, s.TwinIncarnation = true, "10.0.0.2:9", 5 }, ForwardToLeader, nil},
	} {
		s := base
		tt.change(&s)
		d := DecideJoinRequest(s)
		if d.Action != tt.want || !errors.Is(d.Reason, tt.reason) {
			t.Errorf("%s: %+v", name, d)
		}
		if (d.Action == Refuse) != (d.Hint != "") {
			t.Errorf("%s: hint %q", name, d.Hint)
		}
	}
}

// TestCrossedJoinsFoundNoTwoClusters lets two pristine nodes join each other,
// steps interleaved in every way: at most one founds a cluster, and it isn't one
// that may be admitted elsewhere.
func TestCrossedJoinsFoundNoTwoClusters(t *testing.T) {
	type node struct {
		id, addr, cluster, joining string
		founded                    bool
	}
	rapid.Check(t, func(t *rapid.T) {
		nodes := [2]*node{{id: "a", addr: "h:1"}, {id: "b", addr: "h:2"}}
		var asked [2]bool
		for range 12 {
			k := rapid.IntRange(0, 1).Draw(t, "node")
			self, peer := nodes[k], nodes[1-k]
			switch {
			case self.cluster != "" || asked[k]:
			case self.joining == "":
				self.joining = peer.addr // MarkJoining comes before the request
			default:
				asked[k] = true
				d := DecideJoinRequest(JoinState{
					SelfID: peer.id, SelfAddr: peer.addr, ClusterID: peer.cluster, Joining: peer.joining, Leads: peer.founded,
					JoinerID: self.id, JoinerAddr: self.addr,
				})
				switch d.Action {
				case BootstrapThenAdmit:
					peer.cluster, peer.founded = "of-"+peer.id, true
					self.cluster, self.joining = peer.cluster, ""
				case AdmitSelfAsLeader:
					self.cluster, self.joining = peer.cluster, ""
				case Refuse:
					self.joining = ""
				}
			}
		}
		if nodes[0].founded && nodes[1].founded {
			t.Fatalf("two clusters: %+v %+v", nodes[0], nodes[1])
		}
	})
}

func TestCheckJoinTarget(t *testing.T) {
	for peer, want := range map[string]bool{
		"127.0.0.1:7101": false, "localhost:7101": false, "127.0.0.1:7102": true, "joe:7101": true,
		"joe": false, ":7101": false, "joe:0": false, "joe:x": false, "": false,
	} {
		if err := CheckJoinTarget("127.0.0.1:7101", peer); (err == nil) != want {
			t.Errorf("%q: %v", peer, err)
		}
	}
	if !SameAddr("[::1]:1", "[0:0::1]:1") || SameAddr("a:1", "b:1") || SameAddr("a", "a") {
		t.Error("SameAddr")
	}
}

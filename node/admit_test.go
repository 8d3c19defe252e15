package node

import (
	"testing"

	"github.com/botnode/botnode/consensus"
)

// TestAnIDIsTakenByAVoterElsewhere: a fresh node must not take the vote of a
// voter that is down.
func TestAnIDIsTakenByAVoterElsewhere(t *testing.T) {
	servers := []consensus.Server{
		{ID: "joe", Addr: "127.0.0.1:1", Voter: true}, {ID: "mike", Addr: "127.0.0.1:2"},
	}
	for name, tc := range map[string]struct {
		req  clusterRequest
		want bool
	}{
		"a voter's id at another address":         {clusterRequest{ID: "joe", Addr: "127.0.0.1:9"}, true},
		"a voter that lost its disk":              {clusterRequest{ID: "joe", Addr: "127.0.0.1:1"}, false},
		"a voter that moved and knows its log":    {clusterRequest{ID: "joe", Addr: "127.0.0.1:9", ClusterID: "c"}, false},
		"a non-voter whose join was not complete": {clusterRequest{ID: "mike", Addr: "127.0.0.1:9"}, false},
		"an id that is free":                      {clusterRequest{ID: "robert", Addr: "127.0.0.1:9"}, false},
	} {
		if addr, got := taken(servers, tc.req); got != tc.want || got && addr != "127.0.0.1:1" {
			t.Errorf("%s: %v, %s", name, got, addr)
		}
	}
}

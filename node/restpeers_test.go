package node

import (
	"encoding/binary"
	"testing"

	"go.uber.org/zap"

	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/transport"
)

// A message for the process that a node was before is not taken for the next one's.
func TestMessagesOfLimitersAreForOneProcess(t *testing.T) {
	n := &Node{self: fsm.NodeRef{ID: "joe", Inc: 5}}
	for inc, want := range map[uint64]string{
		4: "this is not the process that the message is for",
		5: "no bot x in this node's program",
	} {
		msg := append(binary.AppendUvarint(nil, inc), 1, 'x')
		calls := 0
		n.handleREST(transport.Peer{ID: "mike", Incarnation: 1}, msg, func(_ []byte, err error) {
			if calls++; err == nil || err.Error() != want {
				t.Errorf("for process %d: %v, want %s", inc, err, want)
			}
		})
		if calls != 1 {
			t.Errorf("answered %d times", calls)
		}
	}
}

// A bot keeps its limiter when its API changes: the other nodes have its requests
// and its places in their books.
func TestLimiterOutlivesTheAPI(t *testing.T) {
	n := &Node{self: fsm.NodeRef{ID: "joe", Inc: 5}, machine: fsm.NewMachine(), log: zap.NewNop()}
	rt := &botRuntime{n: n, bot: &Bot{Name: "default", Seed: fsm.Config{API: "http://127.0.0.1:1/api/v10"}}}
	defer func() { _ = rt.close() }()
	first, _, err := rt.client()
	if err != nil {
		t.Fatal(err)
	}
	limiter := rt.clusterLimiter()
	rt.bot.Seed.API = "http://127.0.0.1:2/api/v10"
	second, api, err := rt.client()
	if err != nil || first == second || api != rt.bot.Seed.API {
		t.Fatalf("the way to %s is the old one: %v", api, err)
	}
	if limiter == nil || rt.clusterLimiter() != limiter {
		t.Error("another limiter")
	}
}

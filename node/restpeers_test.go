package node

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/discord/rest"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/testproc"
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

// A view that came and went at one step of this node is not waited for: what
// another one tells of it would hold up all that it tells after.
func TestAViewThatWasSkippedIsNotWaitedFor(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n := &Node{
		self: fsm.NodeRef{ID: "joe", Inc: 5}, machine: fsm.NewMachine(), log: zap.NewNop(), ctx: ctx, bots: map[string]*botRuntime{},
		transport: listen(t),
	}
	rt := &botRuntime{n: n, bot: &Bot{Name: "default", Seed: fsm.Config{API: "http://127.0.0.1:1/api/v10"}}}
	n.bots["default"] = rt
	mike, robert := fsm.NodeRef{ID: "mike", Inc: 1}, fsm.NodeRef{ID: "robert", Inc: 1}
	apply := func(index uint64, cmds ...fsm.Command) {
		var raw [][]byte
		n.machine.View(func(_ uint64, s *fsm.State) {
			for _, c := range cmds {
				raw = append(raw, fsm.Encode(s.Generation, c))
			}
		})
		for _, res := range n.machine.Apply(index, fsm.EncodeBatch(raw)).([]fsm.Result) { //nolint:errcheck,forcetypeassert // it returns nothing else
			if res.Code != fsm.OK {
				t.Fatal(res.Msg)
			}
		}
	}
	apply(1, &fsm.Up{Node: n.self}, &fsm.Up{Node: mike})
	done := make(chan struct{})
	go func() { n.followViews(); close(done) }()
	defer func() {
		cancel()
		<-done
		_ = rt.close()
	}()
	heard := func(from string, msg ...byte) {
		testproc.Poll(t, "a message of "+from+" to be heard", 5*time.Second, 5*time.Millisecond, func() error {
			l := rt.clusterLimiter()
			if l == nil {
				return errNotReady
			}
			got := make(chan error, 1)
			l.Handle(rest.Member{ID: from, Inc: 1}, msg, func(_ []byte, err error) { got <- err })
			return <-got // a limiter that waits for a view says so after a while
		})
	}
	const told, invalid, inform = 2, 6, 3 // as package rest numbers them
	heard("mike", told, 1, invalid, 0)
	apply(2, &fsm.Up{Node: fsm.NodeRef{ID: "carl", Inc: 1}})
	heard("carl", told, 1, invalid, 0) // the node has seen that
	apply(4, &fsm.Up{Node: robert}, &fsm.Down{Node: robert})
	// It informs of nothing but view 3, whose members this node has never seen.
	heard("mike", told, 2, inform, 3, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

// listen returns a transport on a free port of this machine.
func listen(t *testing.T) *transport.Transport {
	t.Helper()
	tr, err := transport.Listen(transport.Options{
		Bind: "127.0.0.1:0", ID: "joe", Incarnation: 5, ClusterID: func() string { return "test" }, Insecure: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

package botnode

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/node"
)

// testNode starts a node with the ping bot against a simulator.
func testNode(t *testing.T, s *sim.Server, id, dir string, log *zap.Logger, o node.Options) *node.Node {
	t.Helper()
	return testNodeWith(t, s, id, dir, log, o, DefaultIntents())
}

func testNodeWith(t *testing.T, s *sim.Server, id, dir string, log *zap.Logger, o node.Options, intents discord.Intents) *node.Node {
	t.Helper()
	b := pingBot()
	b.Intents = intents
	return startBot(t, s, b, id, dir, log, o)
}

func TestThreeNodesAnswerAndSurviveTheirLeader(t *testing.T) {
	s := sim.New(sim.Options{Shards: 2, MaxConcurrency: 2, GlobalLimit: -1, NoRouteLimits: true, Guilds: 8})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	log := zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel))
	nodes := map[string]*node.Node{}
	nodes["joe"] = testNode(t, s, "joe", t.TempDir(), log, node.Options{Bootstrap: true})
	st, _ := nodes["joe"].Status(ctx)
	for _, id := range []string{"mike", "robert"} {
		nodes[id] = testNode(t, s, id, t.TempDir(), log, node.Options{})
		if _, err := nodes[id].Join(ctx, st.Nodes[0].ClusterAddr, "", nil); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		for _, n := range nodes {
			if err := n.Kill(); err != nil {
				t.Error(err)
			}
		}
	}()
	ping := func() {
		t.Helper()
		m, err := s.Say(sim.Say{Content: fmt.Sprintf("!ping %d", s.Ledger().Summary().Posted)})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := m.Answer(ctx); err != nil {
			t.Fatal(err)
		}
		t.Log("answered after", time.Since(start))
	}
	waitReady(t, ctx, nodes["joe"])
	for range 5 {
		ping()
	}
	st, err := nodes["joe"].Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(st.Leader.ID, st.Shards)
	dead := st.Leader.ID
	if err := nodes[dead].Kill(); err != nil {
		t.Error(err)
	}
	delete(nodes, dead)
	for range 5 {
		ping()
	}
	sum := s.Ledger().Summary()
	t.Logf("%+v", sum)
}

func waitReady(t *testing.T, ctx context.Context, n *node.Node) {
	t.Helper()
	for {
		st, err := n.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if st.Health == "ok" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not ready: %+v", st)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

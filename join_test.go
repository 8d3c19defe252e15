package botnode

import (
	"context"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/node"
)

// smallSim is a simulated Discord that holds nothing back.
func smallSim(t *testing.T, shards int) *sim.Server {
	t.Helper()
	s := sim.New(sim.Options{
		Shards: shards, MaxConcurrency: shards, GlobalLimit: -1, NoRouteLimits: true, Guilds: 8, ReplayBuffer: -1,
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func clusterAddr(t *testing.T, ctx context.Context, n *node.Node, id string) string {
	t.Helper()
	st, err := n.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range st.Nodes {
		if other.ID == id {
			return other.ClusterAddr
		}
	}
	t.Fatalf("%s is in no cluster", id)
	return ""
}

// A join that is cut off after the admission, by a caller who goes away or by
// the joiner's death, still ends with a voter.
func TestCutOffJoinsEndWithVoters(t *testing.T) {
	s := smallSim(t, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	log := zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
	joe := testNode(t, s, "joe", t.TempDir(), log, node.Options{Bootstrap: true})
	defer kill(t, joe)
	waitReady(t, ctx, joe)
	peer := clusterAddr(t, ctx, joe, "joe")

	mike := testNode(t, s, "mike", t.TempDir(), log, node.Options{})
	defer kill(t, mike)
	hasty, leave := context.WithCancel(ctx)
	if _, err := mike.Join(hasty, peer, "", func(string) { leave() }); err != nil {
		t.Errorf("the caller went away: %v", err)
	}
	waitVoters(t, ctx, joe, 2)

	dir := t.TempDir()
	robert := testNode(t, s, "robert", dir, log, node.Options{})
	dead := make(chan struct{})
	_, err := robert.Join(ctx, peer, "", func(stage string) {
		if stage == "nonvoter" {
			kill(t, robert)
			close(dead)
		}
	})
	<-dead
	if err == nil {
		t.Fatal("the joiner's death went unnoticed")
	}
	robert = testNode(t, s, "robert", dir, log, node.Options{ClusterAddr: clusterAddr(t, ctx, joe, "robert")})
	defer kill(t, robert)
	waitVoters(t, ctx, joe, 3)
}

func kill(t *testing.T, n *node.Node) {
	t.Helper()
	if err := n.Kill(); err != nil {
		t.Error(err)
	}
}

func waitVoters(t *testing.T, ctx context.Context, n *node.Node, want int) {
	t.Helper()
	for {
		st, err := n.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		voters := 0
		for _, other := range st.Nodes {
			if other.Voter {
				voters++
			}
		}
		if voters == want {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d voters, want %d", voters, want)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

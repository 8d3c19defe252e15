package botnode

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
)

// handNode starts a node whose bot's shards are connected by hand.
func handNode(t *testing.T, s *sim.Server, id string, b *Bot, o node.Options) *node.Node {
	t.Helper()
	log := zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
	return startBotWith(t, s, b, id, t.TempDir(), log, o, func(seed *fsm.Config) { seed.Shards = "manual" })
}

// TestDisconnectTellsWhatIsUndone disconnects a shard whose handler doesn't come
// to an end, and then kills the node that runs it: the event is named, stays with
// the cluster, and is handled by another node while the shard is disconnected.
func TestDisconnectTellsWhatIsUndone(t *testing.T) {
	s := sim.New(sim.Options{Shards: 1, MaxConcurrency: 1, GlobalLimit: -1, NoRouteLimits: true, Guilds: 2})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	var starts atomic.Int32
	started := make(chan struct{}, 10)
	bot := func() *Bot {
		b := New()
		OnRaw(b, "slow", discord.EventMessageCreate, func(c *Context) error {
			started <- struct{}{}
			if starts.Add(1) == 1 {
				<-c.Done()
				return c.Err()
			}
			return nil
		})
		return b
	}
	nodes := map[string]*node.Node{"joe": handNode(t, s, "joe", bot(), node.Options{Bootstrap: true})}
	st, err := nodes["joe"].Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"mike", "robert"} {
		nodes[id] = handNode(t, s, id, bot(), node.Options{})
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
	waitUp(t, ctx, nodes["mike"], "robert")
	sh, err := nodes["mike"].ConnectShard(ctx, "default", 0, admin.ConnectRequest{Of: 1, To: "robert"})
	if err != nil || sh.State != "ready" || sh.Owner != "robert" {
		t.Fatalf("%+v, %v", sh, err)
	}
	if _, err := s.Say(sim.Say{Content: "hello"}); err != nil {
		t.Fatal(err)
	}
	wait(t, ctx, started)
	r, err := nodes["joe"].DisconnectShard(ctx, "default", 0, 0)
	if err != nil || r.Undone != 1 || len(r.UndoneEvents) != 1 || r.UndoneEvents[0].Type != discord.EventMessageCreate || r.SessionID == "" || r.UserID == "" {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := nodes["robert"].Kill(); err != nil {
		t.Fatal(err)
	}
	delete(nodes, "robert")
	wait(t, ctx, started)
	again, err := nodes["mike"].DisconnectShard(ctx, "default", 0, 20*time.Second)
	if err != nil || again.Undone != 0 || again.Seq != r.Seq || again.SessionID != r.SessionID {
		t.Fatalf("a second time: %+v, %v", again, err)
	}
	st, err = nodes["mike"].Status(ctx)
	if err != nil || st.Shards[0].State != "manual" || st.Shards[0].Owner != "" || starts.Load() != 2 {
		t.Fatalf("%+v after %d starts, %v", st.Shards, starts.Load(), err)
	}
	sh, err = nodes["joe"].ConnectShard(ctx, "default", 0, admin.ConnectRequest{Of: 1, Resume: &again})
	if err != nil || sh.State != "ready" || s.Ledger().Summary().Identifies != 1 {
		t.Fatalf("%+v, %v; %d IDENTIFYs", sh, err, s.Ledger().Summary().Identifies)
	}
}

// waitUp waits until a node is registered with the cluster.
func waitUp(t *testing.T, ctx context.Context, n *node.Node, id string) {
	t.Helper()
	for {
		st, err := n.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range st.Nodes {
			if m.ID == id && m.Fresh && len(st.Bots) > 0 {
				return
			}
		}
		select {
		case <-n.Changed():
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%s does not come: %+v", id, st.Nodes)
		}
	}
}

func wait(t *testing.T, ctx context.Context, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-ctx.Done():
		t.Fatal("the handler does not start")
	}
}

package botnode

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/node"
)

// chaosTime is how long nodes are killed; BOTNODE_CHAOS lengthens it.
func chaosTime(t *testing.T) time.Duration {
	s := os.Getenv("BOTNODE_CHAOS")
	if s == "" {
		return 2 * time.Second
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// chaos is a cluster of nodes in this process, each of which may be killed and
// started again from its directory, under its address.
type chaos struct {
	t     *testing.T
	s     *sim.Server
	ids   []string
	nodes map[string]*node.Node
	dirs  map[string]string
	addrs map[string]string
}

func newChaos(t *testing.T, ctx context.Context, s *sim.Server, ids ...string) *chaos {
	t.Helper()
	c := &chaos{
		t: t, s: s, ids: ids,
		nodes: make(map[string]*node.Node), dirs: make(map[string]string), addrs: make(map[string]string),
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			kill(t, n)
		}
	})
	for i, id := range ids {
		c.dirs[id] = t.TempDir()
		c.start(id, node.Options{Bootstrap: i == 0})
		if i > 0 {
			if _, err := c.nodes[id].Join(ctx, c.addrs[ids[0]], nil); err != nil {
				t.Fatal(err)
			}
		}
		c.addrs[id] = clusterAddr(t, ctx, c.nodes[id], id)
	}
	waitReady(t, ctx, c.nodes[ids[0]])
	return c
}

func (c *chaos) start(id string, o node.Options) {
	c.t.Helper()
	o.ClusterAddr = c.addrs[id]
	c.nodes[id] = testNode(c.t, c.s, id, c.dirs[id], zap.NewNop(), o)
}

// kill ends a node, sees another notice nothing worse, and starts it again.
func (c *chaos) kill(ctx context.Context, id string) {
	c.t.Helper()
	kill(c.t, c.nodes[id])
	delete(c.nodes, id)
	select {
	case <-time.After(time.Duration(rand.IntN(300)) * time.Millisecond):
	case <-ctx.Done():
	}
	c.start(id, node.Options{})
	waitReady(c.t, ctx, c.nodes[id])
}

// Nodes are killed at random under a load of pings, and start again: no ping
// is lost, none answered twice, and no session begun anew.
func TestRandomKillsLoseAndDoubleNothing(t *testing.T) {
	const shards = 3
	s := smallSim(t, shards)
	limit := chaosTime(t)
	ctx, cancel := context.WithTimeout(context.Background(), limit+30*time.Second)
	defer cancel()
	c := newChaos(t, ctx, s, "joe", "mike", "robert")
	load := s.StartLoad(sim.Load{Kind: "ping", Rate: 100})
	kills := 0
	for end := time.Now().Add(limit); time.Now().Before(end); kills++ {
		c.kill(ctx, c.ids[rand.IntN(len(c.ids))])
	}
	if err := load.Stop(); err != nil {
		t.Fatal(err)
	}
	for len(s.Ledger().Summary().Unanswered) > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	sum := s.Ledger().Summary()
	t.Logf("%d kills, %d pings, %d answers made invisible, %d resumes; longest silence %v ms",
		kills, sum.Sent, sum.Deduped, sum.ResumesOK, sum.LongestSilenceMS)
	if len(sum.Unanswered) > 0 || len(sum.Duplicated) > 0 || sum.Sent == 0 || sum.Undeliverable > 0 {
		t.Errorf("of %d pings, unanswered: %v, answered twice: %v, undeliverable: %d", sum.Sent, sum.Unanswered, sum.Duplicated, sum.Undeliverable)
	}
	if sum.Identifies != shards {
		t.Errorf("%d IDENTIFYs for %d shards", sum.Identifies, shards)
	}
}

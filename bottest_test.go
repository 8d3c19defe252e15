package botnode

import (
	"context"
	"testing"

	"go.uber.org/zap"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
)

// startBot starts a node with a bot's handlers against a simulator.
func startBot(t *testing.T, s *sim.Server, b *Bot, id, dir string, log *zap.Logger, o node.Options) *node.Node {
	t.Helper()
	return startBotWith(t, s, b, id, dir, log, o, func(*fsm.Config) {})
}

// startBotWith is startBot with a change of what seeds the configuration.
func startBotWith(t *testing.T, s *sim.Server, b *Bot, id, dir string, log *zap.Logger, o node.Options, change func(*fsm.Config)) *node.Node {
	t.Helper()
	p := program(b)
	seed := fsm.DefaultConfig()
	seed.API, seed.Intents = s.APIURL(), uint64(b.intents())
	change(&seed)
	o.ID, o.DataDir, o.Logger, o.Version = id, dir, log, Version
	if o.ClusterAddr == "" {
		o.ClusterAddr = "127.0.0.1:0"
	}
	o.Bots = []*node.Bot{{Name: "default", Token: s.Token(), Seed: seed, Program: p.Program}}
	o.Fatal = func(err error) { t.Errorf("node %s: %v", id, err) }
	n, err := node.New(o)
	if err != nil {
		t.Fatal(err)
	}
	p.Attach(n)
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	return n
}

func simSay(guild sim.ID, content string) sim.Say { return sim.Say{Guild: guild, Content: content} }

// waitGuilds waits until a node has seen all guilds, so that events flow.
func waitGuilds(t *testing.T, ctx context.Context, n *node.Node, s *sim.Server) {
	t.Helper()
	want := len(s.GuildIDs())
	until(t, ctx, "all guilds are cached", func() bool {
		have := 0
		_, _ = n.View("default", func(_ *fsm.Bot, c *cache.Cache) { have, _ = c.Count(cache.Guilds) })
		return have == want
	})
}

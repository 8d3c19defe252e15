package node_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/node/lab"
	"github.com/botnode/botnode/transport"
)

// plug is a node's network, which may lose Discord and keep the other nodes.
type plug struct {
	transport.Network
	discord string // its address

	mu     sync.Mutex
	pulled bool
	conns  []net.Conn // to Discord
}

var errPulled = errors.New("the plug is pulled")

func (p *plug) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr != p.discord {
		return p.Network.DialContext(ctx, network, addr)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pulled {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errPulled}
	}
	c, err := p.Network.DialContext(ctx, network, addr)
	if err == nil {
		p.conns = append(p.conns, c)
	}
	return c, err
}

func (p *plug) pull() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pulled = true
	for _, c := range p.conns {
		_ = c.Close()
	}
}

// pluggable starts three nodes that can be cut off Discord.
func pluggable(t *testing.T) (*lab.Lab, context.Context, map[string]*plug) {
	t.Helper()
	plugs := make(map[string]*plug)
	l, ctx := tuned(t, "", func(id string, o *node.Options) {
		api, err := url.Parse(o.Bots[0].Seed.API)
		must(t, err)
		plugs[id] = &plug{Network: o.Network, discord: api.Host}
		o.Network = plugs[id]
	}, "joe", "mike", "robert")
	return l, ctx, plugs
}

// TestUnpluggedOwnerLosesItsShards: a node that reaches its cluster and not Discord
// hands its shards on, with their sessions.
func TestUnpluggedOwnerLosesItsShards(t *testing.T) {
	l, ctx, plugs := pluggable(t)
	say(t, ctx, l, "before")
	sessions := len(l.Discord().Ledger().Identifies())
	id, err := l.Owner(0)
	must(t, err)
	plugs[id].pull()
	began := time.Now()
	until(ctx, t, "its shards are with others", func() bool {
		one, err1 := l.Owner(0)
		two, err2 := l.Owner(1)
		return errors.Join(err1, err2) == nil && one != id && two != id
	})
	took := time.Since(began)
	must(t, l.WaitSettled(ctx))
	say(t, ctx, l, "after")
	if n := len(l.Discord().Ledger().Identifies()); n != sessions {
		t.Errorf("%d sessions were begun for it", n-sessions)
	}
	if took < 4*time.Second || took > 20*time.Second {
		t.Errorf("moved after %v, a node says so after 5 s", took)
	}
}

// TestUnpluggedLeaderLetsOthersIdentify: a new leader that doesn't reach Discord
// reads the session start limit by way of another node.
func TestUnpluggedLeaderLetsOthersIdentify(t *testing.T) {
	l, ctx, plugs := pluggable(t)
	owners := make(map[string]bool)
	for k := range 2 {
		id, err := l.Owner(k)
		must(t, err)
		owners[id] = true
	}
	var idle string
	for _, id := range l.Living() {
		if !owners[id] {
			idle = id
		}
	}
	if idle == "" {
		t.Fatalf("two shards are with %v", owners)
	}
	plugs[idle].pull()
	if leader, err := l.WaitLeader(ctx); err != nil || leader != idle {
		must(t, errors.Join(err, l.Node(leader).TransferLeadership(ctx, idle)))
	}
	sessions := len(l.Discord().Ledger().Identifies())
	must(t, l.Discord().Inject(sim.Fault{Kind: "invalid"}))
	until(ctx, t, "the shards identify", func() bool { return len(l.Discord().Ledger().Identifies()) >= sessions+2 })
	must(t, l.WaitSettled(ctx))
	must(t, l.View(func(b *fsm.Bot) {
		if b.Budget.Limit == 0 {
			t.Error("the session start limit is not known")
		}
	}))
	say(t, ctx, l, "after")
	if id, err := l.WaitLeader(ctx); err != nil || id != idle {
		t.Errorf("%s leads, which was to be %s: %v", id, idle, err)
	}
}

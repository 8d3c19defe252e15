package shard

import (
	"context"
	"testing"

	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
)

// connected returns a manager whose only shard has a live session at a simulated
// Discord.
func connected(t *testing.T) (*Manager, *fakeProposer, *sim.Server) {
	t.Helper()
	d := sim.New(sim.Options{Guilds: 1})
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	m, p := newTestManager(t, &BotOptions{
		Name: "default", Token: d.Token, GatewayURL: func(context.Context) (string, error) { return d.GatewayURL(), nil },
		Info: func(context.Context) (GatewayInfo, error) {
			return GatewayInfo{Shards: 1, Remaining: 10, Limit: 10, MaxConcurrency: 1}, nil
		},
	})
	p.do(&fsm.Configure{Bot: "default", Config: []byte(`{}`)})
	p.do(&fsm.Layout{Bot: "default", Total: 1})
	m.Start()
	t.Cleanup(m.Stop)
	m.SetLeadership(1, true)
	eventually(t, "the session is in the state", func() bool { return session(m) != "" })
	return m, p, d
}

// session returns the id of the shard's session.
func session(m *Manager) string {
	v, _ := m.view(fsm.ShardRef{Bot: "default", Shard: testShard})
	return v.SID
}

// lives reports whether the session is disconnected and can be resumed.
func lives(d *sim.Server, sid string) bool {
	for _, s := range d.LiveSessions() {
		if s.ID == sid {
			return !s.Connected
		}
	}
	return false
}

func gone(d *sim.Server) bool {
	for _, s := range d.LiveSessions() {
		if s.Connected {
			return false
		}
	}
	return true
}

// TestDroppedConnectionsKeepTheirSession: the next owner resumes it, or this node
// itself once it is started again.
func TestDroppedConnectionsKeepTheirSession(t *testing.T) {
	for what, end := range map[string]func(*Manager, *fakeProposer){
		"a shard that moves": func(_ *Manager, p *fakeProposer) {
			p.do(&fsm.Grant{Bot: "default", Shard: testShard, Epoch: 1, To: refMike, Adopt: true})
		},
		"a node that stops": func(m *Manager, _ *fakeProposer) { m.Stop() },
	} {
		t.Run(what, func(t *testing.T) {
			m, p, d := connected(t)
			sid := session(m)
			end(m, p)
			eventually(t, "the connection is dropped", func() bool { return gone(d) })
			if !lives(d, sid) {
				t.Error("its session is over")
			}
		})
	}
}

package sim_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// pong answers pings until the connection ends.
func pong(t *testing.T, srv *sim.Server, c *client, times int) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			f, err := c.read()
			if err != nil {
				return
			}
			var d struct {
				Content string `json:"content"`
				Channel string `json:"channel_id"`
			}
			_ = json.Unmarshal(f.D, &d)
			n, isPing := strings.CutPrefix(d.Content, "!ping ")
			for i := 0; isPing && i < times; i++ {
				call(t, srv, "POST", "/channels/"+d.Channel+"/messages", m{"content": "pong " + n})
			}
		}
	}()
	t.Cleanup(func() { _ = c.ws.NetConn().Close(); <-done })
}

func TestPingLoad(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 2, NoRouteLimits: true, GlobalLimit: -1})
	want(t, "nobody listens", srv.Ping(), 1)
	c := login(t, srv, all).guilds(2)
	pong(t, srv, c, 1)
	if err := srv.RunLoad(within(t), sim.Load{Kind: "ping", Rate: 200, N: 50}); err != nil {
		t.Fatal(err)
	}
	if err := srv.Ledger().WaitAnswered(within(t)); err != nil {
		t.Fatal(err)
	}
	s := srv.Ledger().Summary()
	want(t, "undeliverable", s.Undeliverable, 1)
	want(t, "sent", s.Sent, 50)
	want(t, "answered once", s.AnsweredOnce, 50)
	want(t, "posted", s.Posted, 50)
	if s.P50MS <= 0 || s.LongestSilenceMS <= 0 || s.MaxMS < s.P99MS {
		t.Errorf("figures: %+v", s)
	}
	sum := 0
	for _, b := range srv.Ledger().Timeline(50 * time.Millisecond).Buckets {
		sum += b.Answered
	}
	want(t, "timeline", sum, 50)
}

func TestPingDuplicatesAndSilence(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 1, NoRouteLimits: true, GlobalLimit: -1})
	c := login(t, srv, all).guilds(1)
	pong(t, srv, c, 2)
	if err := srv.RunLoad(within(t), sim.Load{Kind: "ping", Rate: 100, N: 5}); err != nil {
		t.Fatal(err)
	}
	l := srv.Ledger()
	if err := l.Wait(within(t), func() bool { return l.Summary().Posted == 10 }); err != nil {
		t.Fatal(err)
	}
	s := l.Summary()
	want(t, "answered once", s.AnsweredOnce, 0)
	want(t, "duplicated", len(s.Duplicated), 5)
	_ = c.ws.NetConn().Close()
	if err := srv.RunLoad(within(t), sim.Load{Kind: "ping", Rate: 50, Seconds: 0.3}); err != nil {
		t.Fatal(err)
	}
	s = l.Summary()
	if len(s.Unanswered) == 0 || s.LongestSilenceMS < 250 {
		t.Errorf("unanswered %v, longest silence %v", s.Unanswered, s.LongestSilenceMS)
	}
}

func TestLoads(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 2})
	login(t, srv, all).guilds(2)
	// In this order, so that each finds what the seed makes of it.
	for _, l := range []struct {
		kind  string
		least int64
	}{
		{"message", 20}, {"interaction", 20}, {"mixed", 15}, {"voice", 15}, {"presence", 20}, {"member", 20},
		{"rejoin", 20}, {"role", 20}, {"channel", 10}, {"thread", 20}, {"join", 20}, {"leave", 20}, {"emoji", 20},
		{"guild", 20}, {"firehose", 20},
	} {
		before := srv.LiveSessions()[0].Seq
		if err := srv.RunLoad(within(t), sim.Load{Kind: l.kind, Rate: 10_000, N: 20}); err != nil {
			t.Errorf("%s: %v", l.kind, err)
		}
		if n := srv.LiveSessions()[0].Seq - before; n < l.least {
			t.Errorf("%s: %d events", l.kind, n)
		}
	}
	want(t, "interactions", srv.Ledger().Summary().Interactions.Sent, 20)
	for _, l := range []sim.Load{{Kind: "nonsense", Rate: 1}, {Kind: "ping"}} {
		if err := srv.RunLoad(within(t), l); !errors.Is(err, sim.ErrLoad) {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

func TestSwitchesOfEvents(t *testing.T) {
	srv := start(t, free(sim.Options{Guilds: 1, Switches: sim.Switches{
		GuildCreateUnavailable: true, NoEcho: true, ThreadDeletes: true,
	}}))
	c := login(t, srv, all)
	mustHave(t, string(c.event("GUILD_CREATE").D), `"unavailable":true`)
	mustHave(t, string(c.event("GUILD_CREATE").D), `"unavailable":false`)
	call(t, srv, "POST", room(srv)+"/messages", m{"content": "unheard"})
	call(t, srv, "DELETE", room(srv), nil) // has the thread
	want(t, "first", c.next().T, "THREAD_DELETE")
	want(t, "then", c.next().T, "CHANNEL_DELETE")
}

package sim_test

import (
	"encoding/json"
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

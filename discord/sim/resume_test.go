package sim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// chat says n messages and returns what was said.
func chat(t *testing.T, srv *sim.Server, from, n int) []string {
	t.Helper()
	var out []string
	for i := from; i < from+n; i++ {
		out = append(out, fmt.Sprintf("m%d", i))
		if _, err := srv.Say(sim.Say{Content: out[len(out)-1]}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// hear reads exactly these messages, in order.
func hear(t *testing.T, c *client, said []string) {
	t.Helper()
	for _, x := range said {
		if got := text(c.event("MESSAGE_CREATE")); got != x {
			t.Fatalf("heard %q, want %q", got, x)
		}
	}
}

// cut drops every connection and waits until the server has noticed.
func cut(t *testing.T, srv *sim.Server, c *client) {
	t.Helper()
	if err := srv.Inject(sim.Fault{Kind: "cut"}); err != nil {
		t.Fatal(err)
	}
	want(t, "close code of a cut", c.closed(), -1)
}

func TestEventsComeTwice(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 1, Switches: sim.Switches{SeqRepeats: 100}})
	c := login(t, srv, all)
	c.guilds(1)
	chat(t, srv, 0, 1)
	var twice []int64
	for len(twice) < 2 {
		if f := c.next(); f.T == "MESSAGE_CREATE" {
			twice = append(twice, *f.S)
		}
	}
	want(t, "s of the repeat", twice[1], twice[0])
}

func TestResumeReplays(t *testing.T) {
	for _, holes := range []int{0, 40} {
		srv := start(t, sim.Options{Guilds: 1, Switches: sim.Switches{SeqHoles: holes}})
		c := login(t, srv, all).guilds(1)
		hear(t, c, chat(t, srv, 0, 20))
		mark := c.seq
		missed := chat(t, srv, 20, 5) // sent, but take them as not received
		hear(t, c, missed)
		cut(t, srv, c)
		missed = append(missed, chat(t, srv, 25, 5)...) // while nobody is connected
		c = c.again(srv.Token(), mark)
		hear(t, c, missed)
		f := c.next()
		want(t, "after the replay", f.T, "RESUMED")
		if holes == 0 {
			want(t, "s of RESUMED", *f.S, mark+11)
		} else if *f.S == mark+11 {
			t.Error("no hole in the sequence")
		}
		hear(t, c, chat(t, srv, 30, 3))
		r := srv.Ledger().Resumes()
		want(t, "resumes", len(r), 1)
		want(t, "replayed", r[0].Replayed, 10)
		want(t, "via the resume URL", r[0].ViaResumeURL, true)
		want(t, "identifies", srv.Ledger().Summary().Identifies, 1)
	}
}

func TestResumeRefusals(t *testing.T) {
	for _, x := range []struct {
		name   string
		o      sim.Options
		before func(*testing.T, *sim.Server, *client)
		seq    func(int64) int64
		code   int // 0 is op 9 false
		result string
	}{
		{name: "seq ahead", seq: func(s int64) int64 { return s + 1 }, code: 4007, result: "bad_seq"},
		{name: "buffer overflowed", o: sim.Options{ReplayBuffer: 3}, result: "buffer_lost",
			before: func(t *testing.T, s *sim.Server, _ *client) { chat(t, s, 0, 5) }},
		{name: "window passed", o: sim.Options{ResumeWindow: time.Nanosecond}, result: "unknown_session"},
		{name: "window passed, with a code", result: "unknown_session", code: 4009,
			o: sim.Options{ResumeWindow: time.Nanosecond, Switches: sim.Switches{ExpiredCode: 4009}}},
		{name: "refused on command", result: "refused", before: func(t *testing.T, s *sim.Server, _ *client) {
			if err := s.Inject(sim.Fault{Kind: "refuse_resume"}); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "trimmed by a heartbeat", result: "buffer_lost", o: sim.Options{Switches: sim.Switches{TrimOnHeartbeat: true}},
			seq: func(s int64) int64 { return s - 2 }},
	} {
		t.Run(x.name, func(t *testing.T) {
			x.o.Guilds = 1
			srv := start(t, x.o)
			c := login(t, srv, all).guilds(1)
			hear(t, c, chat(t, srv, 0, 3))
			c.send(1, c.seq)
			c.op(11)
			mark := c.seq
			cut(t, srv, c)
			if x.before != nil {
				x.before(t, srv, c)
			}
			if x.seq != nil {
				mark = x.seq(mark)
			}
			n := c.again(srv.Token(), mark)
			if x.code != 0 {
				want(t, "close code", n.closed(), x.code)
			} else {
				want(t, "d of op 9", string(n.op(9).D), "false")
			}
			want(t, "result", srv.Ledger().Resumes()[0].Result, x.result)
		})
	}
}

func TestIdentifyAfterOp9OnTheSameConnection(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 1})
	c := dial(t, srv.GatewayURL(), "").hello()
	c.send(6, m{"token": srv.Token(), "session_id": "nonsense", "seq": 3})
	c.op(9)
	c.send(2, identify(srv.Token(), all))
	c.ready()
}

func TestSilentTruncation(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 1, ReplayBuffer: 3, Switches: sim.Switches{SilentTruncate: true}})
	c := login(t, srv, all).guilds(1)
	mark := c.seq
	cut(t, srv, c)
	said := chat(t, srv, 0, 10)
	c = c.again(srv.Token(), mark)
	hear(t, c, said[7:])
	want(t, "then", c.next().T, "RESUMED")
}

func TestResumeClosesTheOldConnection(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 1})
	old := login(t, srv, all).guilds(1)
	c := old.again(srv.Token(), old.seq)
	c.event("RESUMED")
	want(t, "old connection", old.closed(), 4000)
	hear(t, c, chat(t, srv, 0, 1))
}

func TestWhoEndsASession(t *testing.T) {
	for _, x := range []struct {
		name  string
		end   func(*testing.T, *sim.Server, *client)
		lives bool
	}{
		{"client closes with 1000", clientClose(1000), false},
		{"client closes with 1001", clientClose(1001), false},
		{"client closes with 4000", clientClose(4000), true},
		{"client drops TCP", func(_ *testing.T, _ *sim.Server, c *client) { _ = c.ws.NetConn().Close() }, true},
		{"server closes with 4000", serverFault(sim.Fault{Kind: "close", Code: 4000}), true},
		{"server closes with 4009", serverFault(sim.Fault{Kind: "close", Code: 4009}), false},
		{"op 7", serverFault(sim.Fault{Kind: "reconnect"}), true},
		{"op 9 true", serverFault(sim.Fault{Kind: "invalid", Resumable: true}), true},
		{"op 9 false", serverFault(sim.Fault{Kind: "invalid"}), false},
		{"outage", serverFault(sim.Fault{Kind: "outage", MS: 1}), true},
		{"expired", serverFault(sim.Fault{Kind: "expire"}), false},
	} {
		t.Run(x.name, func(t *testing.T) {
			srv := start(t, sim.Options{Guilds: 1})
			c := login(t, srv, 1).guilds(1)
			x.end(t, srv, c)
			eventually(t, "the server notices", func() bool {
				s := srv.LiveSessions()
				return x.name == "op 7" || len(s) == 0 || !s[0].Connected
			})
			want(t, "sessions", len(srv.LiveSessions()) == 1, x.lives)
			if !x.lives {
				return
			}
			eventually(t, "the outage ends", func() bool { return call(t, srv, "GET", "/gateway", nil).status == 200 })
			c.again(srv.Token(), c.seq).event("RESUMED")
		})
	}
}

func clientClose(code int) func(*testing.T, *sim.Server, *client) {
	return func(t *testing.T, _ *sim.Server, c *client) {
		t.Helper()
		if err := c.ws.WriteControl(8, []byte{byte(code >> 8), byte(code)}, time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
	}
}

func serverFault(f sim.Fault) func(*testing.T, *sim.Server, *client) {
	return func(t *testing.T, s *sim.Server, _ *client) {
		t.Helper()
		if err := s.Inject(f); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFormulaOf2016 is the default bound of the replay buffer.
func TestFormulaOf2016(t *testing.T) {
	for guilds, keep := range map[int]int{1: 100, 2: 150, 4: 300} {
		srv := start(t, sim.Options{Guilds: guilds})
		login(t, srv, all).guilds(guilds)
		chat(t, srv, 0, 400)
		want(t, "buffered", srv.LiveSessions()[0].Buffered, keep)
	}
}

func TestNoAcksSilenceGarbageDelay(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 1})
	c := login(t, srv, all).guilds(1)
	for _, f := range []sim.Fault{{Kind: "no_acks", On: true}, {Kind: "delay", MS: 30}} {
		if err := srv.Inject(f); err != nil {
			t.Fatal(err)
		}
	}
	c.send(1, c.seq)
	begin := time.Now()
	hear(t, c, chat(t, srv, 0, 1)) // and no ACK came before it
	if d := time.Since(begin); d < 30*time.Millisecond {
		t.Errorf("after %v in spite of the delay", d)
	}
	want(t, "beats", len(srv.Ledger().Sessions()[0].Beats), 1)
	for _, f := range []sim.Fault{{Kind: "clear"}, {Kind: "reconnect_first"}, {Kind: "garbage"}} {
		if err := srv.Inject(f); err != nil {
			t.Fatal(err)
		}
	}
	if f, err := c.read(); err == nil {
		t.Errorf("garbage was read as %+v", f)
	}
	c.send(1, c.seq)
	c.op(11)
	want(t, "instead of HELLO", dial(t, srv.GatewayURL(), "").next().Op, 7)
	dial(t, srv.GatewayURL(), "").hello()
}

func TestGuildOutage(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 2, IdentifyWindow: time.Nanosecond})
	c := login(t, srv, all).guilds(2)
	g := srv.GuildIDs()[0]
	if err := srv.Inject(sim.Fault{Kind: "guild_outage", Guild: g, On: true}); err != nil {
		t.Fatal(err)
	}
	mustHave(t, string(c.event("GUILD_DELETE").D), `"unavailable":true`)
	if said, err := srv.Say(sim.Say{Guild: g, Content: "into the void"}); err != nil || said.Delivered != 0 {
		t.Errorf("an unavailable guild spoke: %+v %v", said, err)
	}
	late := login(t, srv, all)
	mustHave(t, string(late.event("GUILD_DELETE").D), `"unavailable":true`)
	if err := srv.Inject(sim.Fault{Kind: "guild_outage", Guild: g}); err != nil {
		t.Fatal(err)
	}
	mustHave(t, string(c.next().D), g.String())
	late.guilds(2)
	if err := srv.RemoveGuild(g); err != nil {
		t.Fatal(err)
	}
	want(t, "thrown out", string(c.event("GUILD_DELETE").D), fmt.Sprintf(`{"id":"%s"}`, g))
}

package sim_test

import (
	"io"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// TestFirehose: as many events as asked for, in order, with backpressure, to the
// shard asked for.
func TestFirehose(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 4, Shards: 2, MaxConcurrency: 2, PadMessages: 1100})
	c, other := login(t, srv, all, 1, 2).guilds(2), login(t, srv, all, 0, 2).guilds(2)
	shard := 1
	run := srv.StartLoad(sim.Load{Kind: "firehose", N: 5000, Shard: &shard})
	last := c.seq
	for range 5000 {
		f := c.event("MESSAGE_CREATE")
		if *f.S != last+1 {
			t.Fatalf("s %d after %d", *f.S, last)
		}
		last = *f.S
	}
	if err := run.Wait(); err != nil {
		t.Fatal(err)
	}
	hear(t, other, []string{said(t, srv)})
	// A client that doesn't read holds the firehose up, and Close ends it.
	srv.StartLoad(sim.Load{Kind: "firehose"})
	eventually(t, "the queue fills", func() bool {
		for _, s := range srv.LiveSessions() {
			if s.Queued > 5000 {
				t.Fatalf("%d events queued", s.Queued)
			}
			if s.Queued > 400 {
				return true
			}
		}
		return false
	})
}

func said(t *testing.T, srv *sim.Server) string {
	t.Helper()
	if _, err := srv.Say(sim.Say{Guild: srv.GuildIDs()[shardZero(srv)], Content: "still here"}); err != nil {
		t.Fatal(err)
	}
	return "still here"
}

// shardZero is the position of a guild of shard 0 of 2.
func shardZero(srv *sim.Server) int {
	for i, g := range srv.GuildIDs() {
		if g>>22%2 == 0 {
			return i
		}
	}
	return 0
}

// BenchmarkFirehose is the server's share of an event of 1.1 KB: the client only
// empties the socket.
func BenchmarkFirehose(b *testing.B) {
	for _, query := range []string{"", "&compress=zstd-stream", "&compress=zlib-stream"} {
		b.Run("x"+query, func(b *testing.B) {
			srv := sim.New(sim.Options{Guilds: 10, PadMessages: 1100, KeepSent: 1})
			if err := srv.Start(); err != nil {
				b.Fatal(err)
			}
			defer srv.Close()
			c := dial(b, srv.GatewayURL(), query)
			c.send(2, identify(srv.Token(), all))
			done := make(chan struct{})
			go func() { defer close(done); _, _ = io.Copy(io.Discard, c.ws.NetConn()) }()
			for len(srv.LiveSessions()) == 0 || srv.LiveSessions()[0].Pending > 0 {
				time.Sleep(time.Millisecond)
			}
			b.ResetTimer()
			if err := srv.RunLoad(b.Context(), sim.Load{Kind: "firehose", N: b.N}); err != nil {
				b.Fatal(err)
			}
			for srv.Ledger().Summary().Events < b.N {
				time.Sleep(time.Millisecond)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			_ = c.ws.NetConn().Close()
			<-done
		})
	}
}

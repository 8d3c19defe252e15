//go:build clients

package clients

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/discord/sim/simctl"
	"github.com/botnode/botnode/internal/testproc"
)

// discordsim starts the simulator with Discord's own limits: 200 channels are
// enough for 40 answers a second without a 429.
func discordsim(t *testing.T, args ...string) *simctl.Client {
	t.Helper()
	args = append([]string{"-guilds=20", "-channels=10", "-identify-window=200ms"}, args...)
	p, err := testproc.Start(testproc.Options{
		Path: build(t, root, "./cmd/discordsim"), Args: args, Log: filepath.Join(t.TempDir(), "discordsim.log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		if url, _, whole := strings.Cut(p.Log(), "\n"); whole {
			return simctl.New(url)
		}
		<-tick.C
	}
	t.Fatal("the simulator says nothing")
	return nil
}

// poll waits until the ledger is as cond says.
func poll(t *testing.T, c *simctl.Client, what string, cond func(sim.Summary) bool) sim.Summary {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := c.Summary(t.Context())
		if err != nil {
			t.Fatalf("waiting until %s: %v", what, err)
		}
		if cond(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			l, _ := c.Ledger(t.Context())
			t.Fatalf("never: %s: %+v\nresumes: %+v\nfaults: %+v", what, s, l.Resumes, l.Faults)
		}
	}
}

// TestAtTheSimulator lets libraries judge the simulator.
func TestAtTheSimulator(t *testing.T) {
	t.Parallel()
	for _, l := range libraries {
		if l.name != "discordjs" && l.name != "discordgo" {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			c := discordsim(t, "-shards=2")
			info, err := c.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			cl := launch(t, l, t.TempDir(), "API="+strings.TrimSuffix(info.API, "/v10"), "TOKEN="+info.Token)
			defer cl.end(t)
			judge(t, c)
		})
	}
}

// judge is the same trial for every library: connect, answer, survive.
func judge(t *testing.T, c *simctl.Client) {
	ready(t, c)
	answered := func(n int) func(sim.Summary) bool {
		return func(s sim.Summary) bool { return s.AnsweredOnce+len(s.Duplicated) == n }
	}
	if _, err := c.RunLoad(t.Context(), sim.Load{Kind: "ping", Rate: 40, N: 200}); err != nil {
		t.Fatal(err)
	}
	s := poll(t, c, "200 pings are answered", answered(200))
	t.Logf("before the cuts: p50 %.2f ms, p99 %.2f ms", s.P50MS, s.P99MS)
	r, err := c.Interact(t.Context(), sim.Interact{Name: "ping"}, 5*time.Second)
	if err != nil || r.Answer.Content != "pong" {
		t.Errorf("interaction: %+v %v", r, err)
	}
	before := s
	if err := c.StartLoad(t.Context(), sim.Load{Kind: "ping", Rate: 40, N: 200}); err != nil {
		t.Fatal(err)
	}
	poll(t, c, "load runs", func(s sim.Summary) bool { return s.Sent >= 230 })
	inject(t, c, sim.Fault{Kind: "cut"})
	poll(t, c, "the cut sessions resume", func(s sim.Summary) bool { return s.ResumesOK >= before.ResumesOK+2 })
	// discordgo doesn't survive an op 7 that comes before it has read RESUMED.
	poll(t, c, "the backlog is answered", func(s sim.Summary) bool { return len(s.Unanswered) < 5 })
	inject(t, c, sim.Fault{Kind: "reconnect"})
	poll(t, c, "the sessions resume after op 7", func(s sim.Summary) bool { return s.ResumesOK >= before.ResumesOK+4 })
	s = poll(t, c, "400 pings are answered", answered(400))
	t.Logf("after: %d resumes, longest silence %.0f ms, max %.0f ms", s.ResumesOK, s.LongestSilenceMS, s.MaxMS)
	if s.Sent != 400 || s.AnsweredOnce != 400 || len(s.Duplicated) > 0 || s.Undeliverable > 0 || s.Strays > 0 {
		t.Errorf("ledger: %+v", s)
	}
	if s.IdentifiesOK != before.IdentifiesOK {
		t.Errorf("%d sessions began anew", s.IdentifiesOK-before.IdentifiesOK)
	}
	limited(t, c)
}

// limited judges the 429s. The burst of answers after a resume may pass the
// global limit, which no header announces; a bucket's limit is announced, so
// reaching it means that the headers misled the client.
func limited(t *testing.T, c *simctl.Client) {
	t.Helper()
	requests, err := c.Requests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range requests {
		if r.Status == 429 && r.Scope != "global" {
			t.Errorf("%s %s was limited by bucket %s", r.Method, r.Path, r.Bucket)
		}
	}
}

// ready waits until both shards have all their guilds.
func ready(t *testing.T, c *simctl.Client) {
	t.Helper()
	poll(t, c, "two sessions begin", func(s sim.Summary) bool {
		if s.IdentifiesOK < 2 {
			return false
		}
		info, err := c.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range info.Sessions {
			if x.Pending+x.Queued > 0 {
				return false
			}
		}
		return len(info.Sessions) == 2
	})
}

func inject(t *testing.T, c *simctl.Client, f sim.Fault) {
	t.Helper()
	if err := c.Inject(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

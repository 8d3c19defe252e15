package disgobot

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/internal/testproc"
)

// example is the program examples/disgobot, which TestMain builds.
var example string

func TestMain(m *testing.M) { os.Exit(withExample(m.Run)) }

func withExample(run func() int) int {
	dir, err := os.MkdirTemp("", "disgobot")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		var root string
		if root, err = filepath.Abs(".."); err == nil {
			example, err = testproc.Build(context.Background(), root, "./examples/disgobot", dir)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}

// programs is a cluster of processes of examples/disgobot.
type programs struct {
	t     *testing.T
	s     *sim.Server
	bin   string
	dir   string
	ports testproc.Ports
	procs map[string]*testproc.Proc
	http  map[string]string
}

func newPrograms(t *testing.T, s *sim.Server) *programs {
	t.Helper()
	p := &programs{t: t, s: s, bin: example, dir: t.TempDir(), procs: map[string]*testproc.Proc{}, http: map[string]string{}}
	t.Cleanup(func() {
		for _, proc := range p.procs {
			proc.Close()
		}
	})
	return p
}

func (p *programs) addr() string {
	p.t.Helper()
	a, err := p.ports.Addr()
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

// start starts a node; args say how it comes into its cluster.
func (p *programs) start(id string, args ...string) {
	p.t.Helper()
	p.http[id] = p.addr()
	proc, err := testproc.Start(testproc.Options{
		Path: p.bin,
		Args: append([]string{
			"start", "--id", id, "--data-dir", filepath.Join(p.dir, id+".data"), "--http-addr", p.http[id],
			"--discord-api", p.s.APIURL(), "--log-format", "json",
		}, args...),
		Env: []string{"DISCORD_TOKEN=" + p.s.Token()}, Log: filepath.Join(p.dir, id+".log"),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.procs[id] = proc
}

func (p *programs) status(ctx context.Context, id string) (st admin.Status, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.http[id]+"/v1/status", nil)
	if err != nil {
		return st, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return st, err
	}
	defer func() { _ = res.Body.Close() }()
	return st, json.NewDecoder(res.Body).Decode(&st)
}

func until(t *testing.T, ctx context.Context, what string, ok func() bool) {
	t.Helper()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("never happened: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func newSim(t *testing.T, shards int) *sim.Server {
	t.Helper()
	s := sim.New(sim.Options{
		Shards: shards, MaxConcurrency: shards, GlobalLimit: -1, NoRouteLimits: true, Guilds: 8, ReplayBuffer: -1,
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// A bot with disgo's listeners on three nodes, whose leader is killed under a
// load: nothing is lost, nothing is answered twice, no session begins anew.
func TestListenersSurviveTheLeader(t *testing.T) {
	const shards = 2
	s := newSim(t, shards)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	p := newPrograms(t, s)
	first := p.addr()
	p.start("joe", "--cluster-addr", first, "--bootstrap")
	for _, id := range []string{"mike", "robert"} {
		p.start(id, "--cluster-addr", p.addr(), "--join", first)
	}
	until(t, ctx, "three voters are up and the shards are ready", func() bool {
		st, err := p.status(ctx, "mike")
		voters := 0
		for _, n := range st.Nodes {
			if n.Voter && n.Alive {
				voters++
			}
		}
		return err == nil && voters == 3 && st.Health == "ok" && len(s.LiveSessions()) == shards
	})
	load := s.StartLoad(sim.Load{Kind: "ping", Rate: 100})
	until(t, ctx, "a hundred pings are answered", func() bool { return s.Ledger().Summary().Sent-len(s.Ledger().Summary().Unanswered) > 100 })
	st, err := p.status(ctx, "mike")
	if err != nil || st.Leader == nil {
		t.Fatalf("no leader: %+v, %v", st, err)
	}
	dead := st.Leader.ID
	if err := p.procs[dead].Kill(); err != nil {
		t.Fatal(err)
	}
	sent := s.Ledger().Summary().Sent
	until(t, ctx, "two hundred more are sent", func() bool { return s.Ledger().Summary().Sent > sent+200 })
	if err := load.Stop(); err != nil {
		t.Fatal(err)
	}
	until(t, ctx, "all are answered", func() bool { return len(s.Ledger().Summary().Unanswered) == 0 })
	sum := s.Ledger().Summary()
	t.Logf("%s killed; %d pings, unanswered %d, answered twice %d, %d repeats made invisible, %d IDENTIFYs for %d shards, longest silence %v ms",
		dead, sum.Sent, len(sum.Unanswered), len(sum.Duplicated), sum.Deduped, sum.Identifies, shards, sum.LongestSilenceMS)
	if len(sum.Duplicated) > 0 || sum.Identifies != shards {
		t.Errorf("%+v", sum)
	}
}

// Caches, interactions and presences of disgo's client work on one node.
func TestClientIsTheClusters(t *testing.T) {
	s := newSim(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	p := newPrograms(t, s)
	p.start("joe", "--cluster-addr", p.addr(), "--bootstrap")
	guild := s.GuildIDs()[0]
	until(t, ctx, "the node has its guilds", func() bool {
		st, err := p.status(ctx, "joe")
		return err == nil && len(st.Bots) == 1 && st.Bots[0].Guilds == len(s.GuildIDs())
	})
	said, err := s.Say(sim.Say{Guild: guild, Content: "!where"})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := said.Answer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	truth, _ := s.Truth(guild)
	var g, ch struct{ Name string }
	if err := json.Unmarshal(truth.Guild, &g); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(truth.Channels[said.Channel], &ch); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%s #%s", g.Name, ch.Name); answer.Content != want || answer.Nonce == "" {
		t.Errorf("%q under nonce %q, want %q", answer.Content, answer.Nonce, want)
	}
	x, err := s.Interact(sim.Interact{Name: "say", Options: []map[string]any{{"name": "message", "type": 3, "value": "hi"}}})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := x.Answer(ctx); err != nil || a.Content != "hi" {
		t.Errorf("the interaction's answer: %q, %v", a.Content, err)
	}
	if _, err := s.Say(sim.Say{Guild: guild, Content: "!play chess"}); err != nil {
		t.Fatal(err)
	}
	until(t, ctx, "the bot shows that it plays", func() bool {
		truth, _ := s.Truth(guild)
		return strings.Contains(string(truth.Presences[sim.BotID]), "chess")
	})
}

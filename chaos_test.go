package botnode

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/node/lab"
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

// newLab is three nodes with the ping bot, in memory or in a folder.
func newLab(t *testing.T, ctx context.Context, shards int, dir string) *lab.Lab {
	t.Helper()
	l, err := lab.New(lab.Options{
		Dir: dir,
		Discord: sim.Options{
			Shards: shards, MaxConcurrency: shards, GlobalLimit: -1, NoRouteLimits: true, Guilds: 8, ReplayBuffer: -1,
		},
		Program: func(string) node.Program {
			p := program(pingBot())
			return p.Program
		},
		Fatal: func(id string, err error) { t.Errorf("node %s: %v", id, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, id := range []string{"joe", "mike", "robert"} {
		if err := l.Add(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.WaitSettled(ctx); err != nil {
		t.Fatal(err)
	}
	return l
}

// Nodes are killed at random under a load of pings, and start again: no ping
// is lost, none answered twice, and no session begun anew.
func TestRandomKillsLoseAndDoubleNothing(t *testing.T) {
	for name, dir := range map[string]string{"memory": "", "disk": t.TempDir()} {
		t.Run(name, func(t *testing.T) { killAtRandom(t, dir) })
	}
}

func killAtRandom(t *testing.T, dir string) {
	const shards = 3
	limit := chaosTime(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit+30*time.Second)
	defer cancel()
	l := newLab(t, ctx, shards, dir)
	load := l.Discord().StartLoad(sim.Load{Kind: "ping", Rate: 100})
	kills := 0
	for end := time.Now().Add(limit); time.Now().Before(end); kills++ {
		id := l.Nodes()[rand.IntN(3)]
		l.Kill(id)
		select { // the others have got to whatever they do about it
		case <-time.After(time.Duration(rand.IntN(60)) * time.Millisecond):
		case <-ctx.Done():
		}
		if err := l.Restart(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	if err := load.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitSettled(ctx); err != nil {
		t.Error(err)
	}
	sum := l.Discord().Ledger().Summary()
	t.Logf("%d kills, %d pings, %d answers made invisible, %d resumes; longest silence %v ms",
		kills, sum.Sent, sum.Deduped, sum.ResumesOK, sum.LongestSilenceMS)
	if len(sum.Unanswered) > 0 || len(sum.Duplicated) > 0 || sum.Sent == 0 || sum.Undeliverable > 0 {
		t.Errorf("of %d pings, unanswered: %v, answered twice: %v, undeliverable: %d", sum.Sent, sum.Unanswered, sum.Duplicated, sum.Undeliverable)
	}
	if sum.Identifies != shards {
		t.Errorf("%d IDENTIFYs for %d shards", sum.Identifies, shards)
	}
}

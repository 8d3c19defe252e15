//go:build unix

package chaos

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// TestJudgeFindsWhatIsPlanted has happen what a sound cluster is not to be blamed
// for, without the run's knowledge: answers that are seen twice, since Discord
// forgets nonces and errs after the effect; a session that ends; a process that
// ends. Each must be found.
func TestJudgeFindsWhatIsPlanted(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: real processes are left to the long form, which .ci/run takes")
	}
	buildBot(t)
	o := testOptions(t, 1, 4*time.Second)
	o.nonceOff, o.nodes, o.rate = true, 3, 60
	plant := func(name string, f func(*run)) *kind {
		return &kind{name: name, begin: func(r *run, _ fault) (string, func(), error) { f(r); return name, func() {}, nil }}
	}
	r, err := begin(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { r.close(); _ = os.RemoveAll(r.dir) }()
	r.execute(t.Context(), []fault{
		{n: 1, at: time.Second, kind: plant("errors after the effect", func(r *run) {
			r.inject(sim.Fault{Kind: "rest_error", Bucket: "messages.create", Status: 502, After: true, Count: 10})
		})},
		{n: 2, at: 2 * time.Second, kind: plant("a session's end", func(r *run) {
			shard := 0
			r.inject(sim.Fault{Kind: "expire", Shard: &shard})
			r.inject(sim.Fault{Kind: "cut", Shard: &shard})
		})},
		{n: 3, at: 2500 * time.Millisecond, kind: plant("a process's end", func(r *run) {
			r.cluster.nodes[1].proc().Close()
		})},
	})
	for _, want := range []string{"doubled [", "a RESUME was refused", "mike has ended by itself"} {
		if !slices.ContainsFunc(r.failures(), func(v string) bool { return strings.Contains(v, want) }) {
			t.Errorf("not found: %s; %q", want, r.failures())
		}
	}
}

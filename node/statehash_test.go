package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/membership"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/node/lab"
)

// TestANodeThatDiffersTakesItselfOut damages the state of one node in memory,
// once of a follower and once of the leader: it stops, its directory can't be
// opened again, and the others go on.
func TestANodeThatDiffersTakesItselfOut(t *testing.T) {
	for _, victim := range []string{"follower", "leader"} {
		t.Run(victim, func(t *testing.T) {
			var mu sync.Mutex
			fatal := make(map[string]error)
			l, err := lab.New(lab.Options{
				Discord: sim.Options{GlobalLimit: -1, NoRouteLimits: true},
				Program: func(string) node.Program { return node.Program{Intents: discord.IntentsDefault} },
				Tune:    func(_ string, o *node.Options) { o.HashEvery = 20 },
				Fatal: func(id string, err error) {
					mu.Lock()
					defer mu.Unlock()
					fatal[id] = err
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			defer func() {
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			}()
			for i := range 3 {
				if err := l.Add(ctx, name(i)); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.WaitSettled(ctx); err != nil {
				t.Fatal(err)
			}
			bad, n, _ := l.Leader()
			if victim == "follower" {
				for _, id := range l.Living() {
					if id != bad {
						bad, n = id, l.Node(id)
						break
					}
				}
			}
			n.State(func(s *fsm.State) { s.Bot("default").GapCount++ }) // as a bit of its memory might flip
			stopped := func() error {
				mu.Lock()
				defer mu.Unlock()
				return fatal[bad]
			}
			writer := l.Node(l.Living()[0])
			for i := 0; stopped() == nil; i++ {
				_, err := writer.WriteKV(ctx, "default", fmt.Sprint("k", i), []byte("x"), false, nil)
				if err != nil && ctx.Err() != nil {
					t.Fatalf("it went on for %d writes: %v", i, err)
				}
			}
			if _, ok := errors.AsType[*fsm.DivergedError](stopped()); !ok {
				t.Fatalf("it stopped for another reason: %v", stopped())
			}
			l.Kill(bad) // as its process would
			put(ctx, t, l, "after")
			mu.Lock()
			if len(fatal) != 1 {
				t.Errorf("others stopped, too: %v", fatal)
			}
			mu.Unlock()
			if err := l.Restart(ctx, bad); !errors.Is(err, membership.ErrDiverged) {
				t.Errorf("its directory was opened again: %v", err)
			}
			st, err := l.Node(l.Living()[0]).Status(ctx)
			if err != nil || st.StateHash.AppliedIndex == 0 || len(st.StateHash.Digest) != 32 {
				t.Errorf("the status shows %+v, %v", st.StateHash, err)
			}
		})
	}
}

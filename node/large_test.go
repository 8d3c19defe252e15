package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/node/lab"
	"github.com/botnode/botnode/shard"
)

// noise are bytes that don't compress.
func noise(n int) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{})
	_, _ = src.Read(b) // never fails
	return b
}

// hoarder writes more at once than an entry takes.
type hoarder struct{}

func (hoarder) Handle(context.Context, shard.Delivery) shard.Outcome {
	all := noise(80 * fsm.MaxValue)
	var out shard.Outcome
	for i := range len(all) / fsm.MaxValue {
		out.Writes = append(out.Writes, fsm.KVChange{Key: fmt.Sprint("hoard/", i), Value: all[i*fsm.MaxValue:][:fsm.MaxValue]})
	}
	return out
}

func (hoarder) Policy(string) shard.HandlerPolicy { return shard.HandlerPolicy{Attempts: 1} }

// TestTooLargeForTheLog: what a leader takes any node can propose, and what none takes is
// refused at once, on every node alike, instead of being proposed for ever. A handler whose
// writes are too many fails, and its shard goes on.
func TestTooLargeForTheLog(t *testing.T) {
	l, err := lab.New(lab.Options{
		Discord: sim.Options{Shards: 2, MaxConcurrency: 2, GlobalLimit: -1, NoRouteLimits: true},
		Program: func(string) node.Program {
			return node.Program{
				Intents: discord.IntentsAll, Handlers: hoarder{},
				Interests: []fsm.Interest{{Type: discord.EventMessageCreate, Handlers: []string{"hoarder"}}},
			}
		},
		Fatal: func(id string, err error) { t.Errorf("%s: %v", id, err) },
	})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(func() {
		cancel()
		must(t, l.Close())
	})
	for _, id := range []string{"joe", "mike"} {
		must(t, l.Add(ctx, id))
	}
	must(t, l.WaitSettled(ctx))

	var generation uint64
	l.Node("joe").State(func(s *fsm.State) { generation = s.Generation })
	write := func(value []byte) []byte {
		return fsm.Encode(generation, &fsm.KVWrite{Bot: "default", ID: 1, Change: fsm.KVChange{Key: "k", Value: value}})
	}
	for what, c := range map[string]struct {
		cmd   []byte
		large bool
	}{
		"as much as an entry takes": {write(noise(16<<20 - 256)), false}, // the state then refuses the value
		"a little more":             {write(noise(16 << 20)), true},
		"more than unpacks":         {write(bytes.Repeat([]byte("x"), 65<<20)), true},
	} {
		for _, id := range l.Living() {
			once, cancel := context.WithTimeout(ctx, 10*time.Second)
			res, err := l.Node(id).ProposeRaw(once, c.cmd)
			if errors.Is(err, consensus.ErrTooLarge) != c.large || (err != nil) != c.large || once.Err() != nil {
				t.Fatalf("%s, at %s: %v %v", what, id, res, err)
			}
			if c.large && !consensus.NotAppended(err) {
				t.Errorf("%s, at %s: whether it was appended isn't sure: %v", what, id, err)
			}
			cancel()
		}
	}

	for i := range 8 { // on shards of both nodes
		_, err := l.Discord().Say(sim.Say{Content: fmt.Sprint("message ", i), Guild: l.Discord().Info().Guilds[i%len(l.Discord().Info().Guilds)]})
		must(t, err)
	}
	runners := map[string]bool{}
	until(ctx, t, "every event is a dead letter", func() (all bool) {
		l.Node("joe").State(func(s *fsm.State) {
			b := s.Bot("default")
			for _, d := range b.DeadLetters() {
				if !strings.Contains(d.Err, "too large") {
					t.Errorf("a dead letter says: %s", d.Err)
				}
				runners[fmt.Sprint(d.Entry.Shard.Index)] = true
			}
			pending, _ := b.Pending()
			all = b.DeadCount() == 8 && pending == 0
		})
		return all
	})
	if len(runners) != 2 {
		t.Errorf("events of the shards %v", runners)
	}
}

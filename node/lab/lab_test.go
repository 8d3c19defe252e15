package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keeper is a bot that keeps the last event of each type in its store.
type keeper struct{}

func (keeper) Handle(_ context.Context, d shard.Delivery) shard.Outcome {
	return shard.Outcome{Writes: []fsm.KVChange{{Key: d.Entry.Type, Value: d.Entry.Raw}}}
}

func (keeper) Policy(string) shard.HandlerPolicy { return shard.HandlerPolicy{} }

func program(string) node.Program {
	return node.Program{
		Intents:  discord.IntentsAll,
		Handlers: keeper{},
		Interests: []fsm.Interest{
			{Type: discord.EventMessageCreate, Handlers: []string{"keeper"}},
			{Type: discord.EventInteractionCreate, Handlers: []string{"keeper"}},
		},
	}
}

func start(t *testing.T, o Options, nodes int) (*Lab, context.Context) {
	t.Helper()
	o.Program = program
	o.Fatal = func(id string, err error) { t.Errorf("%s: %v", id, err) }
	o.Discord = sim.Options{Members: 5, GlobalLimit: -1, NoRouteLimits: true}
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	for i := range nodes {
		if err := l.Add(ctx, fmt.Sprintf("node%d", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.WaitSettled(ctx); err != nil {
		t.Fatal(err)
	}
	return l, ctx
}

// say has a user write, and returns what the bot has kept of it in the end.
func say(t *testing.T, ctx context.Context, l *Lab, text string) string {
	t.Helper()
	if _, err := l.Discord().Say(sim.Say{Content: text}); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitSettled(ctx); err != nil {
		t.Fatal(err)
	}
	return kept(t, l, discord.EventMessageCreate).Content
}

func kept(t *testing.T, l *Lab, key string) (out struct {
	Content string
	Data    json.RawMessage
}) {
	t.Helper()
	var item fsm.KVItem
	if err := l.View(func(b *fsm.Bot) { item, _ = b.KVGet(key) }); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(item.Value, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Each leader dies in turn, and comes back; the session goes on.
func TestLeadersDieAndComeBack(t *testing.T) {
	t.Parallel()
	l, ctx := start(t, Options{}, 3)
	for round := range 5 {
		leader, err := l.WaitLeader(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !l.Kill(leader) || l.Kill(leader) {
			t.Fatal("a node dies once")
		}
		if slices.Contains(l.Living(), leader) || l.Node(leader) != nil {
			t.Errorf("%s is dead and among %v", leader, l.Living())
		}
		text := fmt.Sprint("round ", round)
		if got := say(t, ctx, l, text); got != text {
			t.Errorf("kept %q, want %q", got, text)
		}
		if err := l.Restart(ctx, leader); err != nil {
			t.Fatal(err)
		}
	}
	if sum := l.Discord().Ledger().Summary(); sum.Identifies != 1 {
		t.Errorf("%d IDENTIFYs", sum.Identifies)
	}
}

// What a node wrote after its end isn't on the disk that it starts from again.
func TestKilledNodeWritesToNoDisk(t *testing.T) {
	t.Parallel()
	l, ctx := start(t, Options{}, 1)
	say(t, ctx, l, "before")
	zombie := l.Node("node1")
	l.Kill("node1")
	if l.machine("node1").memory == nil {
		t.Fatal("no disk is left")
	}
	// The process is still there for a moment, and may believe that it leads.
	late, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, _ = zombie.WriteKV(late, "default", "late", []byte("x"), false, nil)
	if err := l.Restart(ctx, "node1"); err != nil {
		t.Fatal(err)
	}
	found := false
	if err := l.View(func(b *fsm.Bot) { _, found = b.KVGet("late") }); err != nil || found {
		t.Errorf("what was written after the end is there: %v, %v", found, err)
	}
	if got := say(t, ctx, l, "after"); got != "after" {
		t.Errorf("kept %q", got)
	}
}

// What isn't there is named.
func TestWhatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	l, ctx := start(t, Options{}, 3)
	owner, err := l.Owner(0)
	if err != nil {
		t.Fatal(err)
	}
	l.Kill(owner)
	if err := l.Serving(); err == nil || !strings.Contains(err.Error(), "shard 0: no living node owns it") {
		t.Errorf("right after the owner's death: %v", err)
	}
	for _, id := range l.Living() {
		l.Kill(id)
	}
	if err := l.Settled(); err == nil || !strings.Contains(err.Error(), "no node is up") {
		t.Errorf("without nodes: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	if _, err := l.WaitLeader(short); err == nil || !strings.Contains(err.Error(), "no node leads") {
		t.Errorf("without a leader: %v", err)
	}
	for what, err := range map[string]error{
		"adding a node twice":       l.Add(ctx, owner),
		"starting what isn't there": l.Restart(ctx, "nobody"),
		"stopping what is down":     l.Stop(ctx, owner),
		"moving without a leader":   l.Move(ctx, 0, owner),
	} {
		if err == nil {
			t.Errorf("%s works", what)
		}
	}
}

// A killed process logs nothing, whatever it finds out about its sockets.
func TestKilledProcessIsSilent(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.DebugLevel)
	l, ctx := start(t, Options{Logger: func(id string) *zap.Logger { return zap.New(core).With(zap.String("process", id)) }}, 1)
	l.Kill("node1")
	before := logs.Len()
	proc := l.machine("node1").killed[0]
	select {
	case <-proc.gone:
	case <-ctx.Done():
		t.Fatal("it isn't cleared away")
	}
	// A line may have been on its way at the kill; raft alone would log dozens.
	if n := logs.Len() - before; before == 0 || n > 2 {
		t.Errorf("%d lines before its end, %d after", before, n)
	}
}

func TestCommandOptions(t *testing.T) {
	t.Parallel()
	got, err := CommandOptions(map[string]any{
		"z": "text", "b": true, "n": 3, "f": 1.5, "who": discord.Snowflake(7),
		"group": map[string]any{"sub": map[string]any{"x": int64(1)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(got)
	const want = `[{"name":"b","type":5,"value":true},{"name":"f","type":10,"value":1.5},` +
		`{"name":"group","options":[{"name":"sub","options":[{"name":"x","type":4,"value":1}],"type":1}],"type":2},` +
		`{"name":"n","type":4,"value":3},{"name":"who","type":6,"value":"7"},{"name":"z","type":3,"value":"text"}]`
	if err != nil || string(b) != want {
		t.Errorf("%s, %v", b, err)
	}
	if _, err := CommandOptions(map[string]any{"sub": map[string]any{"x": []int{1}}}); err == nil || !strings.Contains(err.Error(), "option x: a []int") {
		t.Errorf("a list: %v", err)
	}
}

// After Close no goroutine is left, gossip's last probe included: the peer that
// it asks is dead.
func TestCloseLeavesNoGoroutine(t *testing.T) {
	l, ctx := start(t, Options{}, 3)
	leader, err := l.WaitLeader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l.Kill(leader)
	if err := l.WaitSettled(ctx); err != nil {
		t.Fatal(err)
	}
	if !profiled(t, l.label) {
		t.Error("the goroutines aren't labelled")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if profiled(t, l.label) {
		t.Error("goroutines are left")
	}
}

func profiled(t *testing.T, label string) bool {
	t.Helper()
	var b strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		t.Fatal(err)
	}
	return strings.Contains(b.String(), label)
}

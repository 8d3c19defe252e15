package node_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/node/lab"
)

// secureLab starts nodes that speak TLS to each other.
func secureLab(t *testing.T, nodes int, logs ...zapcore.Core) (*lab.Lab, context.Context) {
	t.Helper()
	l, err := lab.New(lab.Options{
		TLS:     true,
		Discord: sim.Options{GlobalLimit: -1, NoRouteLimits: true},
		Program: func(string) node.Program { return node.Program{Intents: discord.IntentsDefault} },
		Fatal:   func(id string, err error) { t.Errorf("%s: %v", id, err) },
		Logger:  func(string) *zap.Logger { return zap.New(zapcore.NewTee(logs...)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(func() {
		cancel()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := range nodes {
		if err := l.Add(ctx, name(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.WaitSettled(ctx); err != nil {
		t.Fatal(err)
	}
	return l, ctx
}

func name(i int) string { return fmt.Sprint("node", i+1) }

// until polls a condition.
func until(ctx context.Context, t *testing.T, what string, ok func() bool) {
	t.Helper()
	for !ok() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

// put writes a key at one node and waits for it at all.
func put(ctx context.Context, t *testing.T, l *lab.Lab, key string) {
	t.Helper()
	if _, err := l.Node(l.Living()[0]).WriteKV(ctx, "default", key, []byte("x"), false, nil); err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	for _, id := range l.Living() {
		until(ctx, t, key+" at "+id, func() (ok bool) {
			l.Node(id).State(func(s *fsm.State) { _, ok = s.Bot("default").KVGet(key) })
			return ok
		})
	}
}

// rotated reports whether a node sees a rotation completed.
func rotated(n *node.Node, epoch uint64) func() bool {
	return func() bool { s := n.TLS(); return s.Epoch == epoch && s.Next == 0 }
}

func TestClusterWithTLSSurvivesItsLeaderAndARotation(t *testing.T) {
	l, ctx := secureLab(t, 3)
	put(ctx, t, l, "a")
	for _, id := range l.Living() {
		s := l.Node(id).TLS()
		if !s.Enabled || s.Epoch != 1 || len(s.Members) != 3 || len(s.Authorities) != 1 {
			t.Errorf("%s: %+v", id, s)
		}
	}
	leader, _, _ := l.Leader()
	l.Kill(leader)
	until(ctx, t, "another leader", func() bool { id, _, ok := l.Leader(); return ok && id != leader })
	put(ctx, t, l, "b")

	// A rotation waits for the node that is down.
	_, n, _ := l.Leader()
	if err := n.RotateTLS(ctx); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, "those that are up have the new keys", func() bool {
		have := 0
		for _, m := range n.TLS().Members {
			if m.Holds == 2 {
				have++
			}
		}
		return have == 2
	})
	if s := n.TLS(); s.Epoch != 1 || s.Next != 2 {
		t.Errorf("it didn't wait: %+v", s)
	}
	if err := n.RotateTLS(ctx); !errors.Is(err, admin.ErrRefused) {
		t.Errorf("a second rotation: %v", err)
	}
	put(ctx, t, l, "c")
	if err := l.Restart(ctx, leader); err != nil {
		t.Fatal(err)
	}
	for _, id := range l.Living() {
		until(ctx, t, id+" is through the rotation", rotated(l.Node(id), 2))
	}
	put(ctx, t, l, "d")
	// Everything by the new keys alone, on every node: they dial each other anew.
	for i := range 3 {
		l.Kill(name(i))
		if err := l.Restart(ctx, name(i)); err != nil {
			t.Fatal(err)
		}
	}
	put(ctx, t, l, "e")
	if err := l.Add(ctx, "node4"); err != nil {
		t.Fatal(err)
	}
	put(ctx, t, l, "f")
}

// TestRotationsOneAfterTheOther leaves nothing behind: each ends by itself.
func TestRotationsOneAfterTheOther(t *testing.T) {
	l, ctx := secureLab(t, 2)
	for epoch := uint64(2); epoch <= 5; epoch++ {
		if err := l.Node(name(int(epoch) % 2)).RotateTLS(ctx); err != nil {
			t.Fatal(err)
		}
		for _, id := range l.Living() {
			until(ctx, t, fmt.Sprintf("%s at epoch %d", id, epoch), rotated(l.Node(id), epoch))
		}
		put(ctx, t, l, fmt.Sprint(epoch))
	}
}

// TestWhoMayJoin has machines without a token, with another cluster's, with a
// revoked one, and with a good one under the id of a node that is up.
func TestWhoMayJoin(t *testing.T) {
	l, ctx := secureLab(t, 2)
	other, _ := secureLab(t, 1)
	n := l.Node("node1")
	good, _, err := n.CreateJoinToken(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	revoked, info, err := n.CreateJoinToken(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.RevokeJoinToken(ctx, info.ID); err != nil {
		t.Fatal(err)
	}
	foreign, _, err := other.Node("node1").CreateJoinToken(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	forged := strings.Join([]string{parts[0], parts[1], parts[2], strings.Split(revoked, ".")[3]}, ".")
	for what, c := range map[string]struct {
		id, token string
		words     string
	}{
		"no token":                         {"a", "", "need a join token"},
		"no token at all":                  {"a", "x", "not a join token"},
		"a revoked token":                  {"a", revoked, "unknown, wrong, or has expired"},
		"another secret":                   {"a", forged, "unknown, wrong, or has expired"},
		"another cluster's token":          {"a", foreign, "of another cluster"},
		"the id of a node that is up":      {"node2", good, "is up"},
		"the id of the node that is asked": {"node1", good, "already in use"},
	} {
		err := l.TryJoin(ctx, c.id, c.token)
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %q", what, err, c.words)
		}
	}
	used := uint64(0)
	for _, k := range n.JoinTokens() {
		used += k.Used
	}
	if used != 1 { // by node2
		t.Errorf("tokens: %+v", n.JoinTokens())
	}
}

// TestARemovedNodeIsShutOut: its certificate is worth nothing any more, whatever
// is still on its disk.
func TestARemovedNodeIsShutOut(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	l, ctx := secureLab(t, 3, core)
	leader, n, _ := l.Leader()
	gone := name(0)
	if gone == leader {
		gone = name(1)
	}
	l.Kill(gone)
	until(ctx, t, "the removal", func() bool { return n.RemoveNode(ctx, gone, false) == nil })
	for _, id := range l.Living() {
		until(ctx, t, "the removal at "+id, func() bool { return len(l.Node(id).TLS().Members) == 2 })
	}
	counted, stop := context.WithCancel(ctx)
	restarted := make(chan error, 1)
	go func() { restarted <- l.Restart(counted, gone) }()
	until(ctx, t, "the removed node is told why", func() bool {
		for _, e := range logs.All() {
			if err, _ := e.ContextMap()["error"].(string); strings.Contains(err, gone+" was removed from the cluster") {
				return true
			}
		}
		return false
	})
	stop()
	if err := <-restarted; err == nil {
		t.Error("the cluster counts on a node that was removed")
	}
	if l.Node(leader).Linked(l.Node(gone).Self()) {
		t.Error("the leader speaks to it")
	}
}

// TestALiveNodeIsRemovedByForceAlone: it would go on, without a cluster.
func TestALiveNodeIsRemovedByForceAlone(t *testing.T) {
	l, ctx := secureLab(t, 3)
	leader, n, _ := l.Leader()
	victim := name(0)
	if victim == leader {
		victim = name(1)
	}
	if err := n.RemoveNode(ctx, victim, false); !errors.Is(err, admin.ErrRefused) || !strings.Contains(err.Error(), "is up") {
		t.Errorf("without force: %v", err)
	}
	if err := n.RemoveNode(ctx, victim, true); err != nil {
		t.Error(err)
	}
	until(ctx, t, "the removal", func() bool { return len(n.TLS().Members) == 2 })
	l.Kill(victim)
}

package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/node/lab"
)

func version(t *testing.T, l *lab.Lab, key string) (v uint64) {
	t.Helper()
	must(t, l.View(func(b *fsm.Bot) {
		item, _ := b.KVGet(key)
		v = item.Version
	}))
	return v
}

func lastPos(t *testing.T, l *lab.Lab) (pos uint64) {
	t.Helper()
	must(t, l.View(func(b *fsm.Bot) { pos = b.LastPos }))
	return pos
}

// watchIndexes watches the nodes' applied indexes until the function that it
// returns is called: none goes back, and each has one digest.
func watchIndexes(ctx context.Context, l *lab.Lab) (end func() []string) {
	ctx, stop := context.WithCancel(ctx)
	var mu sync.Mutex
	var bad []string
	var wg sync.WaitGroup
	digests := map[uint64]string{}
	for _, id := range l.Living() {
		wg.Go(func() {
			last := uint64(0)
			for ctx.Err() == nil {
				changed := l.Node(id).Changed()
				d := l.Node(id).Digest()
				mu.Lock()
				if had, ok := digests[d.AppliedIndex]; ok && had != d.Digest {
					bad = append(bad, fmt.Sprintf("%s: two states at index %d", id, d.AppliedIndex))
				}
				if d.AppliedIndex < last {
					bad = append(bad, fmt.Sprintf("%s: index %d after %d", id, d.AppliedIndex, last))
				}
				last, digests[d.AppliedIndex] = d.AppliedIndex, d.Digest
				mu.Unlock()
				select {
				case <-changed:
				case <-ctx.Done():
				}
			}
		})
	}
	return func() []string {
		stop()
		wg.Wait()
		return bad
	}
}

// TestRestoreUndoesNoRevocation: what is committed about keys and tokens while a
// restore is being prepared stays so, and the restore isn't done.
func TestRestoreUndoesNoRevocation(t *testing.T) {
	l, ctx := tuned(t, "", func(_ string, o *node.Options) { o.ClusterTLS = true }, "joe", "mike", "robert")
	id, err := l.WaitLeader(ctx)
	must(t, err)
	n := l.Node(id)
	for _, name := range []string{"first", "ops"} {
		_, err = n.CreateAdminToken(ctx, name, fsm.AdminAll, 0)
		must(t, err)
	}
	file := save(t, ctx, n)
	for what, change := range map[string]func() error{
		"a token is revoked": func() error { return n.RevokeAdminToken(ctx, "ops") },
		"keys are rotated":   func() error { return n.RotateTLS(ctx) },
	} {
		err := n.RestoreAfter(ctx, bytes.NewReader(file), func() { must(t, change()) })
		if !errors.Is(err, admin.ErrNotReady) || look(n).generation != 1 {
			t.Errorf("%s: %v, generation %d", what, err, look(n).generation)
		}
	}
	for errors.Is(err, admin.ErrNotReady) || look(n).generation == 1 { // the rotation goes on for a moment
		must(t, ctx.Err())
		_, err = n.RestoreSnapshot(ctx, bytes.NewReader(file), admin.RestoreOptions{})
	}
	must(t, err)
	if got := n.AdminTokens(); len(got) != 1 || got[0].Name != "first" {
		t.Errorf("the revoked token is back: %+v", got)
	}
	must(t, l.WaitSettled(ctx))
	agree(t, ctx, l)
}

// TestRestoreBringsNoRulesInForce that a node doesn't know, which would stop it.
func TestRestoreBringsNoRulesInForce(t *testing.T) {
	for _, c := range []struct {
		rules, inForce, known uint64
		all, ok               bool
	}{
		{2, 2, 0, false, true}, {1, 2, 2, true, true}, {2, 1, 2, true, true},
		{2, 1, 1, true, false}, {2, 1, 0, false, false},
	} {
		if err := node.RulesAllow(c.rules, c.inForce, c.known, c.all); (err == nil) != c.ok || err != nil && !errors.Is(err, admin.ErrRefused) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestStopWaitsForARestore stops the leader in the middle of one, and starts it again.
func TestStopWaitsForARestore(t *testing.T) {
	l, ctx := tuned(t, t.TempDir(), nil, "joe", "mike", "robert")
	must(t, l.PutKV(ctx, "a", []byte("1")))
	id, err := l.WaitLeader(ctx)
	must(t, err)
	n := l.Node(id)
	file := save(t, ctx, n)
	stopped := make(chan error, 1)
	_, err = n.RestoreSnapshot(ctx, io.MultiReader(bytes.NewReader(file), &atEnd{func() {
		go func() { stopped <- l.Stop(ctx, id) }()
		time.Sleep(20 * time.Millisecond)
	}}), admin.RestoreOptions{})
	must(t, err)
	must(t, <-stopped)
	must(t, l.Restart(ctx, id))
	must(t, l.WaitSettled(ctx))
	if got := look(l.Node(id)); got.generation != 2 {
		t.Errorf("generation %d", got.generation)
	}
	agree(t, ctx, l)
}

// atEnd is an empty reader that calls f.
type atEnd struct{ f func() }

// Read implements io.Reader.
func (a *atEnd) Read([]byte) (int, error) {
	a.f()
	return 0, io.EOF
}

package node_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap"

	"github.com/botnode/botnode/node"
)

// TestRecoveryIsCutOffAnywhere ends a recovery after each of its steps: no node
// starts on what is left, and the next run completes it, once.
func TestRecoveryIsCutOffAnywhere(t *testing.T) {
	dir := t.TempDir()
	l, ctx := tuned(t, dir, nil, "joe", "mike", "robert")
	must(t, l.PutKV(ctx, "a", []byte("1")))
	agree(t, ctx, l)
	must(t, l.Close())
	read := func(at string) (*node.Recovery, error) { return node.OpenRecovery(at, zap.NewNop()) }
	for cut, more := 0, true; more; cut++ {
		at := filepath.Join(t.TempDir(), "joe")
		must(t, os.CopyFS(at, os.DirFS(filepath.Join(dir, "joe"))))
		r, err := read(at)
		must(t, err)
		if r.Generation != 1 || r.Counts.Keys != 1 || len(r.Survey.Servers) != 3 {
			t.Fatalf("%+v", r)
		}
		last := r.Survey.LastIndex
		more, err = r.RunSteps(cut)
		must(t, err)
		must(t, r.Close())

		what := fmt.Sprintf("cut off after %d steps", cut)
		if cut > 0 && more {
			o := node.Options{ID: "joe", DataDir: at, ClusterAddr: "127.0.0.1:0"}
			if n, err := node.New(o); n != nil || !errors.Is(err, node.ErrRecovering) {
				t.Errorf("%s: a node starts: %v", what, err)
			}
		}
		if more {
			r, err = read(at)
			must(t, err)
			if r.Resumes != (cut > 0) {
				t.Errorf("%s: resumes %v", what, r.Resumes)
			}
			res, err := r.Run(false)
			must(t, err)
			must(t, r.Close())
			if res.Generation != 2 {
				t.Errorf("%s: generation %d", what, res.Generation)
			}
		}
		r, err = read(at)
		if !errors.Is(err, node.ErrRecovered) {
			t.Errorf("%s: recovered once more: %v", what, err)
		}
		if r == nil || r.Generation != 2 || r.Counts.Keys != 1 || len(r.Survey.Servers) != 1 || r.Survey.LastIndex != last+1 {
			t.Errorf("%s: %+v, want generation 2 and the key, at index %d", what, r, last+1)
		}
	}
}

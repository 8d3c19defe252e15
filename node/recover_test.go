package node_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap"

	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/trust"
)

// TestRecoveryIsCutOffAnywhere ends a recovery after each of its steps: no node
// starts on what is left, and the next run completes it, once.
func TestRecoveryIsCutOffAnywhere(t *testing.T) {
	for name, tls := range map[string]bool{"in clear": false, "under TLS": true} {
		t.Run(name, func(t *testing.T) { cutOffAnywhere(t, tls) })
	}
}

func cutOffAnywhere(t *testing.T, tls bool) {
	dir := t.TempDir()
	l, ctx := tuned(t, dir, func(_ string, o *node.Options) { o.ClusterTLS = tls }, "joe", "mike", "robert")
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
			o := node.Options{ID: "joe", DataDir: at, ClusterAddr: "127.0.0.1:0", ClusterTLS: tls}
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
		if tls {
			shutOut(t, at, filepath.Join(dir, "mike"))
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

// shutOut checks that a recovered node believes itself and no node of the cluster
// that it was of, and is believed by none.
func shutOut(t *testing.T, recovered, stale string) {
	t.Helper()
	joe, err := trust.OpenKeychain(trust.Directory(recovered), "joe")
	must(t, err)
	mike, err := trust.OpenKeychain(trust.Directory(stale), "mike")
	must(t, err)
	if joe.Holder().ClusterID == mike.Holder().ClusterID {
		t.Error("the certificate is still the old cluster's")
	}
	chain := func(k *trust.Keychain) []*x509.Certificate {
		own, err := k.Certificate()
		must(t, err)
		return []*x509.Certificate{own.Leaf}
	}
	if id, err := joe.Verify(chain(joe)); id != "joe" || err != nil {
		t.Errorf("it doesn't believe itself: %v", err)
	}
	for what, err := range map[string]error{
		"the survivor is believed": second(joe.Verify(chain(mike))),
		"the survivor believes it": second(mike.Verify(chain(joe))),
	} {
		if err == nil {
			t.Error(what)
		}
	}
}

func second(_ string, err error) error { return err }

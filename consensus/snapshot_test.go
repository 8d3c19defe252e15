package consensus

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSnapshotThatFailedStaysDue: the log behind one that came to nothing, as on a full disk, isn't taken for covered.
// Else each failure would let as much again come to the log before another is tried.
func TestSnapshotThatFailedStaysDue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newCluster(t, 1, func(o *Options) {
		o.leastLog = 8 << 10
		onDisk(dir, nil)(o)
	})
	l := c.Leader()
	c.propose(l, "a "+strings.Repeat("a", 7<<10))
	at := filepath.Join(l.opts.Dir, "snapshots")
	if err := errors.Join(os.Rename(at, at+".aside"), os.WriteFile(at, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := l.Snapshot(t.Context()); err == nil {
		t.Fatal("a snapshot without a place")
	}
	if err := errors.Join(os.Remove(at), os.Rename(at+".aside", at)); err != nil {
		t.Fatal(err)
	}
	c.propose(l, "b "+strings.Repeat("b", 2<<10))
	c.eventually("a snapshot", func() bool { return l.Stats().SnapshotIndex > 0 })
}

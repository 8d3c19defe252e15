package consensus

import (
	"errors"
	"fmt"
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

// TestLogOfANodeThatStartsOften is compacted as well: what trails a snapshot is counted in bytes, and a process knows the
// sizes of those entries alone that came while it ran, or since the last snapshot before.
func TestLogOfANodeThatStartsOften(t *testing.T) {
	t.Parallel()
	const segment, runs = 64 << 10, 16
	dir := t.TempDir()
	c := newCluster(t, 1, func(o *Options) {
		onDisk(dir, nil)(o)
		o.segment, o.TrailingBytes = segment, 2*segment
	})
	most := 0
	for run := range runs {
		l := c.Leader()
		for i := range 16 {
			c.propose(l, fmt.Sprintf("e%d-%d %s", run, i, strings.Repeat("x", segment/16)))
		}
		if err := l.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(l.opts.Dir, walDir, "*.wal"))
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, len(files))
		c.Kill(l, false)
		c.close(l)
		c.start(l.id)
	}
	if most > 6 {
		t.Errorf("%d files of the log, want two that trail the snapshot and what was begun", most)
	}
	if most < 3 {
		t.Errorf("%d files: two should trail the snapshot", most)
	}
}

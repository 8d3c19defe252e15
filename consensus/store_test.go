package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// A directory can be opened again by the process that closed it: nothing of it
// stays locked, and what was appended is there.
func TestStoresOpenAgainInOneProcess(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	done := make(chan error, 1)
	go func() {
		for range 2 {
			s, err := openStores(o, hclog.NewNullLogger())
			if err != nil {
				done <- err
				return
			}
			last, err := s.log.LastIndex()
			if err == nil {
				err = s.log.StoreLog(&raft.Log{Index: last + 1, Term: 1, Data: []byte("entry")})
			}
			if err == nil && last == 1 {
				err = s.log.GetLog(1, &raft.Log{})
			}
			if err != nil {
				done <- err
				return
			}
			if err := s.close(); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the stores are locked by the process that closed them")
	}
}

// TestUnfinishedSnapshotsAreRemoved: a process that ends while it takes or receives a snapshot leaves what it had of it,
// and each is as large as the state.
func TestUnfinishedSnapshotsAreRemoved(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	files := func(begin bool) (n int) {
		t.Helper()
		s, err := openStores(o, hclog.NewNullLogger())
		if err != nil {
			t.Fatal(err)
		}
		for i, end := range []bool{true, false} {
			if !begin {
				break
			}
			sink, err := s.snaps.Create(raft.SnapshotVersionMax, uint64(10+i), 1, raft.Configuration{}, 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = sink.Write([]byte("state")); err == nil && end {
				err = sink.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		list, err := s.snaps.List()
		if err != nil || len(list) != 1 || list[0].Index != 10 {
			t.Errorf("%d snapshots: %v", len(list), err)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		found, err := os.ReadDir(filepath.Join(o.Dir, "snapshots"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	if n := files(true); n != 2 {
		t.Fatalf("%d files, want a snapshot and what was begun of another", n)
	}
	if n := files(false); n != 1 {
		t.Errorf("%d files are left after the next start", n)
	}
}

// A log whose end was cut off, as a new leader does with what was never committed, opens again and has the rest: cut
// once, cut again before anything was appended, and cut into a file that was cut before.
func TestLogOpensAfterItsEndWasCutOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := map[uint64]string{} // what the log has to hold
	last := uint64(0)
	reopen := func(use func(*logFiles) error) {
		t.Helper()
		l, err := openWAL(dir, 1<<16, hclog.NewNullLogger(), func() uint64 { return 0 }, false)
		if err != nil {
			t.Fatal(err)
		}
		for i := uint64(1); i <= last; i++ {
			var got raft.Log
			if err := l.GetLog(i, &got); err != nil || string(got.Data) != want[i] {
				t.Fatalf("entry %d of %d: %q, %v; want %q", i, last, got.Data, err, want[i])
			}
		}
		if err := l.GetLog(last+1, &raft.Log{}); !errors.Is(err, raft.ErrLogNotFound) {
			t.Fatalf("an entry behind the last one, %d: %v", last, err)
		}
		if got, err := l.LastIndex(); got != last || err != nil {
			t.Fatalf("last index %d, %v; want %d", got, err, last)
		}
		if err := errors.Join(use(l), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
	add := func(l *logFiles, n int, term uint64) error {
		for range n {
			last++
			want[last] = fmt.Sprintf("entry %d of term %d", last, term)
			if err := l.StoreLog(&raft.Log{Index: last, Term: term, Data: []byte(want[last])}); err != nil {
				return err
			}
		}
		return nil
	}
	cut := func(l *logFiles, from uint64) error {
		err := l.DeleteRange(from, last)
		last = from - 1
		return err
	}
	reopen(func(l *logFiles) error { return add(l, 10, 1) })
	reopen(func(l *logFiles) error { return errors.Join(cut(l, 9), add(l, 3, 2)) })
	reopen(func(l *logFiles) error { return add(l, 4, 3) })
	reopen(func(l *logFiles) error { return errors.Join(cut(l, 12), cut(l, 10)) })
	reopen(func(l *logFiles) error { return add(l, 2, 4) })
	reopen(func(l *logFiles) error { return errors.Join(cut(l, 5), add(l, 5, 5)) })
	reopen(func(l *logFiles) error {
		err := errors.Join(l.DeleteRange(1, 3), add(l, 1, 6))
		first, ferr := l.FirstIndex()
		if first != 4 {
			t.Errorf("first index %d, want 4", first)
		}
		return errors.Join(err, ferr)
	})
}

// TestNobodyElseReadsTheState: the directory may be older than the node, and open.
func TestNobodyElseReadsTheState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, open := range []string{"n1", filepath.Join("n1", "snapshots")} {
		if err := os.Mkdir(filepath.Join(dir, open), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := newCluster(t, 1, onDisk(dir, nil))
	c.propose(c.Leader(), "a 1")
	if err := c.Leader().Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(filepath.Join(dir, "n1"), func(path string, d os.DirEntry, err error) error {
		if err != nil || filepath.Base(path) == "n1" {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", path, info.Mode())
		}
		if d.IsDir() {
			return filepath.SkipDir // nobody gets below it
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

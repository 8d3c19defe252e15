package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// firstBuild makes the directory of a node as the first builds left it: alone in its cluster, with a term, and entries
// without checksums.
func firstBuild(t *testing.T) (dir string, applied []string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, walDir), 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := wal.Open(filepath.Join(dir, walDir), wal.WithSegmentSize(8<<10), wal.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		t.Fatal(err)
	}
	conf := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: "n1", Address: "127.0.0.1:1"}}}
	entries := []*raft.Log{{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(conf)}}
	for i := range 40 {
		id := fmt.Sprintf("e%d", i)
		applied = append(applied, id)
		entries = append(entries, &raft.Log{Index: uint64(i + 2), Term: 1, Data: fmt.Appendf(nil, "%s %0500d", id, i)})
	}
	for _, e := range entries {
		if err := log.StoreLog(e); err != nil {
			t.Fatal(err)
		}
	}
	bolt, err := openBolt(filepath.Join(dir, legacyVote))
	if err != nil {
		t.Fatal(err)
	}
	// The library's own Close leaves its list of files locked.
	l := &logFiles{WAL: log}
	if err := errors.Join(bolt.SetUint64([]byte("CurrentTerm"), 7), bolt.Close(), l.WAL.Close()); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "n1")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to, applied
}

// TestFirstBuildsAreTakenOver opens such a directory, writes to it, and opens it again.
func TestFirstBuildsAreTakenOver(t *testing.T) {
	t.Parallel()
	dir, want := firstBuild(t)
	for round := range 3 {
		got, err := tryDir(t, dir)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("round %d: %v, %v", round, got, err)
		}
	}
	for _, name := range []string{legacyVote, filepath.Join(walDir, legacyFiles)} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	f, err := OpenOffline(Options{ID: "n1", Dir: dir, segment: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := f.Replay(newToy()); err != nil || s.Term < 8 || s.LastTerm < 8 {
		t.Errorf("%+v, %v: the term was 7 before", s, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	// What was written since has checksums.
	names, used := filesOf(t, filepath.Join(dir, walDir))
	path := filepath.Join(dir, walDir, names[len(names)-2])
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[used[names[len(names)-2]]-20] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tryDir(t, dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged entry: %v", err)
	}
}

// TestTakingOverIsCutOff: as long as the first build's files are there, it begins anew.
func TestTakingOverIsCutOff(t *testing.T) {
	t.Parallel()
	dir, want := firstBuild(t)
	if _, err := adopt(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := tryDir(t, dir); err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v, %v", got, err)
	}
	dir, _ = firstBuild(t)
	if err := os.Remove(filepath.Join(dir, legacyVote)); err != nil {
		t.Fatal(err)
	}
	if _, err := tryDir(t, dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("without its vote: %v", err)
	}
}

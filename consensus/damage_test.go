package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// usedDir makes the directory of a cluster's only node, with a snapshot, several files of log and entries above the
// snapshot, and returns what was applied.
func usedDir(t *testing.T) (dir string, applied []string) {
	t.Helper()
	at := t.TempDir()
	c := newCluster(t, 1, func(o *Options) { onDisk(at, nil)(o); o.segment, o.TrailingBytes = 8<<10, 1 })
	l := c.Leader()
	for i := range 60 {
		if i == 30 {
			if err := l.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		c.propose(l, fmt.Sprintf("e%d-%s v", i, strings.Repeat("x", 37*i%700))) // all of it is in the id, and so compared
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.opts.Dir, l.toy.read().Applied
}

// tryDir opens a directory, has the node lead, and returns what it then has.
func tryDir(t *testing.T, dir string) (applied []string, err error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	toy, fatal := newToy(), make(chan error, 1)
	r, err := Open(Options{
		ID: "n1", Addr: ln.Addr().String(), Layer: &tcpLayer{ln, "n1", emptyCluster(t, nil).net}, Machine: toy, Timeouts: quick(),
		Dir: dir, segment: 8 << 10, Fatal: func(err error) { fatal <- err },
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, ok := r.Established(); ok {
			return toy.read().Applied, nil
		}
		select {
		case err := <-fatal:
			return nil, err
		case <-time.After(time.Millisecond):
		}
	}
	return nil, errors.New("it doesn't lead, and doesn't say why")
}

// files lists a directory's files and how much of each is used.
func filesOf(t *testing.T, dir string) (names []string, used map[string]int) {
	t.Helper()
	used = map[string]int{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		names, used[rel] = append(names, rel), len(bytes.TrimRight(b, "\x00"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names, used
}

// TestDamageIsNeverServed flips bytes of every file of a directory, cuts each off at many places, and removes each. The
// node has all that it had answered for, or says that its directory is damaged.
func TestDamageIsNeverServed(t *testing.T) {
	t.Parallel()
	dir, want := usedDir(t)
	names, used := filesOf(t, dir)
	if len(names) < 6 {
		t.Fatalf("only %v", names)
	}
	refused, served := map[string]int{}, map[string]int{}
	try := func(what, name string, harm func(path string) error) {
		t.Helper()
		at := filepath.Join(t.TempDir(), "n1")
		if err := os.CopyFS(at, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := harm(filepath.Join(at, name)); err != nil {
			t.Fatal(err)
		}
		switch got, err := tryDir(t, at); {
		case err == nil && slices.Equal(got, want):
			served[name]++
		case err == nil:
			t.Errorf("%s of %s: serves %d of %d entries", what, name, len(got), len(want))
		case errors.Is(err, ErrDamaged):
			refused[name]++
		default:
			t.Errorf("%s of %s: %v", what, name, err)
		}
		if err := os.RemoveAll(at); err != nil {
			t.Error(err)
		}
	}
	for _, name := range names {
		for range 25 {
			at, bit := rand.IntN(used[name]), rand.IntN(8)
			try(fmt.Sprintf("bit %d of byte %d", bit, at), name, func(path string) error {
				b, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				b[at] ^= 1 << bit
				return os.WriteFile(path, b, 0o600)
			})
		}
		for range 6 {
			at := rand.IntN(used[name])
			try(fmt.Sprintf("all from byte %d on", at), name, func(path string) error { return os.Truncate(path, int64(at)) })
		}
		try("all", name, os.Remove)
	}
	for _, name := range names {
		t.Logf("%s: %d refused, %d served whole", name, refused[name], served[name])
	}
	if refused[stableFile] < 30 {
		t.Errorf("damage to the vote was found %d times", refused[stableFile])
	}
}

// TestLastAppendIsMissed: the end of the log that was written last is flipped, which by itself looks like an append
// that a crash cut off.
func TestLastAppendIsMissed(t *testing.T) {
	t.Parallel()
	dir, _ := usedDir(t)
	names, used := filesOf(t, filepath.Join(dir, walDir))
	newest := names[len(names)-2] // by index; the last name is the list's
	path := filepath.Join(dir, walDir, newest)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[used[newest]-20] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = tryDir(t, dir)
	d, ok := errors.AsType[*DamageError](err)
	if !ok || d.Part != PartLog || !strings.Contains(err.Error(), "had been written up to") {
		t.Errorf("%v", err)
	}
}

// TestPowerGoesAfterDamage: the record of how far the log had been written is one of long ago, as after a power cut. That
// a frame in the middle of the newest file is damaged shows by what was appended after it.
func TestPowerGoesAfterDamage(t *testing.T) {
	t.Parallel()
	dir, _ := usedDir(t)
	names, used := filesOf(t, filepath.Join(dir, walDir))
	newest := names[len(names)-2]
	path := filepath.Join(dir, walDir, newest)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if used[newest] < 2000 {
		t.Fatalf("the newest file has only %d bytes", used[newest])
	}
	b[walFileHeader] = 7 // the type of the first frame
	old := make([]byte, 2*slotSize)
	if err := errors.Join(os.WriteFile(path, b, 0o600), os.WriteFile(filepath.Join(dir, extentFile), old, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := tryDir(t, dir); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "an append that came later is whole") {
		t.Errorf("%v", err)
	}
}

// TestEntriesKeepTheirSum flips each bit of an entry of the log, and changes what is
// about it: it can't be read, not even where the library has no checksum of its own.
func TestEntriesKeepTheirSum(t *testing.T) {
	t.Parallel()
	whole := raft.Log{Index: 7, Term: 3, Type: raft.LogCommand, Data: []byte("what was said"), Extensions: []byte{1}}
	read := func(harm func(*raft.Log)) error {
		l := *summed(&whole)
		l.Data, l.Extensions = bytes.Clone(l.Data), bytes.Clone(l.Extensions)
		harm(&l)
		return unsum(&l)
	}
	if err := read(func(*raft.Log) {}); err != nil {
		t.Fatalf("a whole one: %v", err)
	}
	for i := range 8 * len(whole.Data) {
		if err := read(func(l *raft.Log) { l.Data[i/8] ^= 1 << (i % 8) }); !errors.Is(err, errEntrySum) {
			t.Errorf("bit %d of the data: %v", i, err)
		}
	}
	for what, harm := range map[string]func(*raft.Log){
		"another index":        func(l *raft.Log) { l.Index++ },
		"another term":         func(l *raft.Log) { l.Term-- },
		"another type":         func(l *raft.Log) { l.Type = raft.LogNoop },
		"other extensions":     func(l *raft.Log) { l.Extensions[0]++ },
		"another checksum":     func(l *raft.Log) { l.Extensions[1]++ },
		"no checksum":          func(l *raft.Log) { l.Extensions = nil },
		"data that is cut off": func(l *raft.Log) { l.Data = l.Data[:3] },
	} {
		if err := read(harm); !errors.Is(err, errEntrySum) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestVoteIsMissed: a directory that has been used and has no vote any more isn't a
// new one.
func TestVoteIsMissed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := openStable(dir, false)
	if err == nil {
		err = s.SetUint64([]byte("CurrentTerm"), 4)
	}
	if err != nil {
		t.Fatal(err)
	}
	if s, err = openStable(dir, true); err != nil {
		t.Fatal(err)
	}
	if term, err := s.GetUint64([]byte("CurrentTerm")); term != 4 {
		t.Errorf("term %d, %v", term, err)
	}
	if err := os.Remove(filepath.Join(dir, stableFile)); err != nil {
		t.Fatal(err)
	}
	_, err = openStable(dir, true)
	if d, ok := errors.AsType[*DamageError](err); !ok || d.Part != PartVote {
		t.Errorf("without its vote: %v", err)
	}
}

// TestSnapshotWithAnotherIndexIsLeftOut: the library has a checksum of a snapshot's
// state, and none of the index that it reaches.
func TestSnapshotWithAnotherIndexIsLeftOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsRetained, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	s := &snapStore{SnapshotStore: files, dir: dir, log: zap.NewNop()}
	sink, err := s.Create(raft.SnapshotVersionMax, 41, 1, raft.Configuration{}, 0, nil)
	if err == nil {
		err = sink.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(); err != nil || len(list) != 1 || list[0].Index != 41 {
		t.Fatalf("%v, %v", list, err)
	}
	path := filepath.Join(dir, "snapshots", sink.ID(), "meta.json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Replace(b, []byte(`"Index":41`), []byte(`"Index":43`), 1)
	if bytes.Equal(other, b) {
		t.Fatalf("no index in %s", b)
	}
	if err := os.WriteFile(path, other, 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("a snapshot of another index is there: %v, %v", list, err)
	}
}

// TestSnapshotAndEntryBelowItAreDamaged: of two snapshots the newest is damaged, and the older one would do if an entry
// between them weren't damaged as well. Nothing looks at that entry before raft does, which panics; start and recovery
// say what is wrong.
func TestSnapshotAndEntryBelowItAreDamaged(t *testing.T) {
	t.Parallel()
	at := t.TempDir()
	c := newCluster(t, 1, onDisk(at, nil))
	l := c.Leader()
	for _, id := range []string{"first", "damaged", "last"} {
		c.propose(l, id+" v")
		if id == "damaged" {
			continue
		}
		if err := l.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	harm := func(pattern, text string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(l.opts.Dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		path := slices.Max(files)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		i := bytes.Index(b, []byte(text))
		if i < 0 {
			t.Fatalf("%s has no %q", path, text)
		}
		b[i] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	harm("snapshots/*/state.bin", "last")
	if got, err := tryDir(t, l.opts.Dir); err != nil || len(got) != 3 {
		t.Fatalf("with the snapshot damaged alone: %v, %v", got, err)
	}
	harm("wal/*.wal", "damaged v")
	_, err := tryDir(t, l.opts.Dir)
	if d, ok := errors.AsType[*DamageError](err); !ok || d.Part != PartLog || !errors.Is(err, errBelowDamagedSnapshot) {
		t.Errorf("start: %v", err)
	}
	f, err := OpenOffline(Options{ID: "n1", Dir: l.opts.Dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Replay(newToy()); !errors.Is(err, ErrDamaged) || !errors.Is(err, errBelowDamagedSnapshot) {
		t.Errorf("recovery: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// modelLog is a log and what it has to hold.
type modelLog struct {
	dir         string
	log         *logFiles
	first, last uint64 // 0 and 0 if it is empty
	want        map[uint64]string
	written     int
	snapshot    uint64 // what was compacted is in it
	compacting  bool
}

func (m *modelLog) append(t *rapid.T) {
	var batch []*raft.Log
	next := m.last + 1
	if m.last == 0 {
		next = m.snapshot + rapid.Uint64Range(1, 50).Draw(t, "index of the first entry") // as after a snapshot
		m.snapshot = next - 1
		m.first = next
	}
	for range rapid.IntRange(1, 5).Draw(t, "entries") {
		m.written++
		size := rapid.IntRange(0, 900).Draw(t, "bytes")
		m.want[next] = fmt.Sprintf("%d:%s", m.written, strings.Repeat("x", size))
		batch = append(batch, &raft.Log{Index: next, Term: 1, Data: []byte(m.want[next])})
		m.last = next
		next++
	}
	if err := m.log.StoreLogs(batch); err != nil {
		t.Fatalf("append: %v", err)
	}
}

func (m *modelLog) cut(t *rapid.T, from, to uint64) {
	if from == m.first && m.compacting {
		m.snapshot = to
	}
	if err := m.log.DeleteRange(from, to); err != nil {
		t.Fatalf("delete %d to %d of %d to %d: %v", from, to, m.first, m.last, err)
	}
	switch {
	case from == m.first && to == m.last:
		m.first, m.last = 0, 0
	case from == m.first:
		m.first = to + 1
	default:
		m.last = from - 1
	}
}

// reopen closes the log, or leaves it as a kill does, and opens it.
func (m *modelLog) reopen(t *rapid.T, killed bool) {
	old := m.log
	if killed {
		m.open(t, m.copy(t, m.dirOf()))
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if !killed {
		m.open(t, filepath.Dir(old.dir))
	}
}

// tear reopens the log as it is after an append that was cut off: the disk was full, or the power gone.
func (m *modelLog) tear(t *rapid.T) {
	before, after := m.copy(t, m.dirOf()), m.copy(t, m.dirOf())
	files, err := filepath.Glob(before + "/wal/*.wal")
	if err != nil || len(files) == 0 {
		t.Fatal("no file", err)
	}
	newest := filepath.Base(files[len(files)-1])
	for _, f := range files { // the list is sorted by index, the newest has the highest id
		if f[len(f)-20:] > newest[len(newest)-20:] {
			newest = filepath.Base(f)
		}
	}
	other := modelLog{dir: m.dir, last: m.last, snapshot: m.snapshot, want: map[uint64]string{}}
	other.open(t, after)
	other.append(t)
	if err := other.log.Close(); err != nil {
		t.Fatal(err)
	}
	old, err1 := os.ReadFile(before + "/wal/" + newest)
	torn, err2 := os.ReadFile(after + "/wal/" + newest)
	if errors.Is(err2, os.ErrNotExist) {
		return // an empty log begins anew elsewhere
	}
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	old = append(old, make([]byte, max(0, len(torn)-len(old)))...)
	from, to := -1, 0 // the append's bytes
	for i := range torn {
		if torn[i] != old[i] {
			to = i
			if from < 0 {
				from = i
			}
		}
	}
	if from < 0 {
		return // it went into another file
	}
	cut := rapid.IntRange(from, to).Draw(t, "cut")
	left := append(torn[:cut:cut], old[cut:]...)
	if rapid.Bool().Draw(t, "the file ends there") { // as after a power cut within the removal of a cut-off append
		left = left[:cut]
	}
	if err := os.WriteFile(before+"/wal/"+newest, left, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.log.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t, before)
}

func (m *modelLog) copy(t *rapid.T, from string) string {
	for {
		dir, err := os.MkdirTemp(m.dir, "copy")
		if err == nil {
			err = os.CopyFS(dir, os.DirFS(from))
		}
		if errors.Is(err, os.ErrNotExist) {
			continue // a rotation was under way, and a file has got its name
		}
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
}

func (m *modelLog) open(t *rapid.T, dir string) {
	var err error
	if m.log, err = openWAL(dir, 4<<10, hclog.NewNullLogger(), func() uint64 { return m.snapshot }, false); err != nil {
		t.Fatalf("open: %v", err)
	}
}

// dirOf returns the directory that the log is in.
func (m *modelLog) dirOf() string { return filepath.Dir(m.log.dir) }

func (m *modelLog) check(t *rapid.T) {
	first, err1 := m.log.FirstIndex()
	last, err2 := m.log.LastIndex()
	if first != m.first || last != m.last || err1 != nil || err2 != nil {
		t.Fatalf("%d to %d, %v, %v; want %d to %d", first, last, err1, err2, m.first, m.last)
	}
	for i := m.first; i <= m.last && i > 0; i++ {
		var got raft.Log
		if err := m.log.GetLog(i, &got); err != nil || string(got.Data) != m.want[i] {
			t.Fatalf("entry %d of %d to %d: %.20q, %v; want %.20q", i, m.first, m.last, got.Data, err, m.want[i])
		}
	}
	// What was compacted away may be found for a while longer, what was cut off not.
	if err := m.log.GetLog(m.last+1, &raft.Log{}); !errors.Is(err, raft.ErrLogNotFound) {
		t.Fatalf("entry %d behind %d to %d: %v", m.last+1, m.first, m.last, err)
	}
}

// TestLogHoldsWhatItShould does to the log what raft does to it, in any order, with small files: append, cut off the
// end, compact the beginning, give all up for a snapshot, and open it after an end of the process, a kill,
// or an append that was cut off.
func TestLogHoldsWhatItShould(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := &modelLog{dir: t.TempDir(), want: map[uint64]string{}}
		m.open(rt, m.dir+"/log")
		defer func() { _ = m.log.Close() }()
		pick := func(what string) uint64 { return rapid.Uint64Range(m.first, m.last).Draw(rt, what) }
		rt.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"append2": m.append,
			"cut the end": func(rt *rapid.T) {
				if m.last > 0 {
					m.cut(rt, pick("from"), m.last)
				}
			},
			"compact": func(rt *rapid.T) {
				if m.last > 0 {
					m.compacting = true
					m.cut(rt, m.first, pick("to"))
					m.compacting = false
				}
			},
			"end":  func(rt *rapid.T) { m.reopen(rt, false) },
			"kill": func(rt *rapid.T) { m.reopen(rt, true) },
			"tear": m.tear,
			"":     m.check,
		})
	})
}

// TestEntriesTakenBackLeaveFewFiles: each time that entries are taken back, the log begins a new file. Where leaders
// change often these are many before their entries are, so that files count for snapshots and for what trails them.
func TestEntriesTakenBackLeaveFewFiles(t *testing.T) {
	t.Parallel()
	const segment, changes = 16 << 10, 200
	var snapshot uint64
	dir := t.TempDir()
	l, err := openWAL(dir, segment, hclog.NewNullLogger(), func() uint64 { return snapshot }, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	due := false
	o := Options{segment: segment}
	s := newLogSizes(l, 4*segment, o.takenBack(), func() { due = true })
	s.opened(nil)
	first, next, most := uint64(1), uint64(1), 0
	for range changes {
		if err := s.StoreLogs(entries(next, next+2)); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteRange(next+1, next+2); err != nil {
			t.Fatal(err)
		}
		next++
		files, err := filepath.Glob(filepath.Join(dir, walDir, "*.wal"))
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, len(files))
		if !due {
			continue
		}
		snapshot, due = next-1, false
		s.snapshotted()
		if keep := s.trailing(2 * segment); keep < next-first {
			if err := s.DeleteRange(first, next-1-keep); err != nil {
				t.Fatal(err)
			}
			first = next - keep
		}
	}
	if most > 20 {
		t.Errorf("%d files of the log at once after %d changes of leaders", most, changes)
	}
	if most < 4 {
		t.Errorf("%d files: entries that are taken back begin none", most)
	}
}

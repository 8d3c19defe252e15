package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// openWAL opens the log, in files of a size. An append is one write and one sync, where a transaction of bbolt needs
// two of each and copies pages: with small entries that is what a commit's latency is made of
// (docs/design/consensus.md, "Why a write-ahead log").
//
// snapshot returns how far snapshots reach. used says that the directory has been used.
func openWAL(at string, size int, hl hclog.Logger, snapshot func() uint64, used bool) (_ *logFiles, err error) {
	l := &logFiles{dir: filepath.Join(at, walDir), snapshot: snapshot, commit: func() uint64 { return 0 }}
	l.meta, l.files = &walMeta{l.dir}, newSegmentFiler(l.dir)
	if err := makePrivate(l.dir); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
	}
	if l.extent, err = openExtent(at, used); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.extent.file.Close())
		}
	}()
	if err = l.files.mend(l.meta, l.dir, size); err == nil {
		l.WAL, err = wal.Open(l.dir, wal.WithMetaStore(l.meta), wal.WithSegmentFiler(l.files),
			wal.WithSegmentSize(size), wal.WithLogger(hl.Named("wal")))
	}
	if err != nil {
		return nil, damaged(PartLog, fmt.Errorf("open log %s: %w", l.dir, err))
	}
	l.unsummed.Store(l.extent.now.Unsummed)
	return l, nil
}

// verify compares the log with what had been written to it, and reads all of it that is needed.
func (l *logFiles) verify() error {
	last, err := l.LastIndex()
	if err != nil {
		return err
	}
	first, err := l.FirstIndex()
	if err != nil {
		return err
	}
	snapshot := l.snapshot()
	if err := l.extent.check(last, snapshot); err != nil {
		return err
	}
	var e raft.Log
	for i := max(first, snapshot+1); i <= last; i++ {
		if err := l.GetLog(i, &e); err != nil {
			return damaged(PartLog, fmt.Errorf("entry %d of %d to %d: %w", i, first, last, err))
		}
	}
	return nil
}

// GetLog reads one entry. One that is damaged isn't there if a snapshot covers it: whoever needs it gets the snapshot.
func (l *logFiles) GetLog(index uint64, out *raft.Log) error {
	err := l.read(index, out)
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) && index <= l.snapshot() {
		return raft.ErrLogNotFound
	}
	return err
}

// logFiles is raft-wal v0.4.0 with what it lacks. When a file is full, it is sealed with the append that fills it, and
// another goroutine lists it as sealed and makes the next one, its rotation. In between, DeleteRange would have that
// goroutine rotate a file that is not the full one; an end of the process would leave a file that takes no append and
// is never rotated. An append that was cut off within the index of its file makes the library take the file for sealed
// (mend). And a file whose end was cut off can't be opened again (segmentFiler.Open).
type logFiles struct {
	*wal.WAL
	meta   *walMeta
	files  *segmentFiler
	dir    string
	extent *extentRecord
	// snapshot returns how far snapshots reach, commit an index that is committed.
	snapshot, commit func() uint64
	// unsummed is the last entry of a first build.
	unsummed atomic.Uint64

	// mu keeps appends, which may begin a rotation, and deletions apart. Raft compacts beside its appends.
	mu sync.Mutex
}

// StoreLog appends one entry.
func (l *logFiles) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs appends entries.
func (l *logFiles) StoreLogs(logs []*raft.Log) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(logs) == 0 {
		return nil
	}
	if err := l.dropOutrun(logs[0].Index); err != nil {
		return err
	}
	sealed := make([]*raft.Log, len(logs))
	for i, e := range logs {
		sealed[i] = summed(e)
	}
	if err := l.WAL.StoreLogs(sealed); err != nil {
		return err
	}
	return l.extent.stored(logs[len(logs)-1].Index, l.commit())
}

// dropOutrun removes a log that ends below a snapshot, which is what the entry next follows. Raft removes it as it installs
// the snapshot; where the process ended in between, it doesn't as it starts, and the library takes no entry that doesn't
// follow its last one.
func (l *logFiles) dropOutrun(next uint64) error {
	last, err := l.LastIndex()
	if err != nil || last == 0 || next <= last+1 || l.snapshot() < next-1 {
		return err
	}
	first, err := l.FirstIndex()
	if err != nil {
		return err
	}
	return l.remove(first, last)
}

// DeleteRange deletes entries, both ends included, once no rotation is under way. If one fails, that is never: the guard
// ends the process.
func (l *logFiles) DeleteRange(lo, hi uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.remove(lo, hi)
}

// remove is DeleteRange with the lock held.
func (l *logFiles) remove(lo, hi uint64) error {
	<-l.files.rotated()
	first, err := l.FirstIndex()
	if err != nil {
		return err
	}
	if err := l.extent.deleting(first, lo, hi, l.snapshot()); err != nil {
		return err
	}
	l.unsummed.Store(l.extent.now.Unsummed)
	return l.WAL.DeleteRange(lo, hi)
}

// full lists the files that take no more entries, the lowest first.
func (l *logFiles) full() (files []fullFile, err error) {
	state, err := l.meta.Load(l.dir)
	for _, f := range state.Segments {
		if !f.SealTime.IsZero() {
			files = append(files, fullFile{f.MinIndex, f.MaxIndex, int64(f.SizeLimit)})
		}
	}
	return files, err
}

// Close closes the log.
func (l *logFiles) Close() error { return errors.Join(l.WAL.Close(), l.extent.file.Close()) }

// segmentFiler opens the log's files for it, and knows when a rotation is under way.
type segmentFiler struct {
	*segment.Filer

	mu sync.Mutex // guards done
	// done is closed when no rotation is under way.
	done chan struct{}
}

func newSegmentFiler(dir string) *segmentFiler {
	f := &segmentFiler{Filer: segment.NewFiler(dir, fs.New()), done: make(chan struct{})}
	close(f.done)
	return f
}

func (f *segmentFiler) rotated() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done
}

// Open opens a sealed file for reading. One whose end was cut off has no index (raft-wal's issue 31): a leader that comes
// back with entries that were never committed has them cut off by its successor, and the start after that one would
// fail for ever. Such a file is read like one that wasn't sealed, from which the index is rebuilt. What was cut off is in
// it still; the log asks for no index above the highest that its list has for the file.
func (f *segmentFiler) Open(info types.SegmentInfo) (types.SegmentReader, error) {
	if info.IndexStart == 0 {
		return f.Filer.RecoverTail(info)
	}
	return f.Filer.Open(info)
}

// Create makes a new file, which ends a rotation.
func (f *segmentFiler) Create(info types.SegmentInfo) (types.SegmentWriter, error) {
	w, err := f.Filer.Create(info)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.done:
	default:
		close(f.done)
	}
	return &segmentWriter{w, f}, nil
}

// RecoverTail opens the newest file for appends.
func (f *segmentFiler) RecoverTail(info types.SegmentInfo) (types.SegmentWriter, error) {
	w, err := f.Filer.RecoverTail(info)
	if err != nil {
		return nil, err
	}
	return &segmentWriter{w, f}, nil
}

// mend brings the newest file into a state that raft-wal can go on from, whatever the process's end left: it removes an
// append that was cut off, and lists the file as sealed if it is.
func (f *segmentFiler) mend(meta types.MetaStore, dir string, size int) error {
	state, err := meta.Load(dir)
	if err != nil || len(state.Segments) == 0 {
		return err
	}
	newest := &state.Segments[len(state.Segments)-1]
	if !newest.SealTime.IsZero() {
		return nil
	}
	w, err := f.Filer.RecoverTail(*newest)
	if errors.Is(err, os.ErrNotExist) {
		return nil // the log makes it anew
	}
	if err != nil {
		return err
	}
	last := w.LastIndex()
	if err := w.Close(); err != nil {
		return err
	}
	t, err := openTail(dir, *newest, last)
	if err != nil {
		return err
	}
	if err := errors.Join(t.clear(), t.file.Close()); err != nil || t.index == 0 {
		return err
	}
	newest.SealTime, newest.IndexStart, newest.MaxIndex = time.Now(), t.index, last
	state.Segments = append(state.Segments, types.SegmentInfo{
		ID: state.NextSegmentID, BaseIndex: last + 1, MinIndex: last + 1, SizeLimit: uint32(size),
		Codec: newest.Codec, CreateTime: newest.SealTime,
	})
	state.NextSegmentID++
	return meta.CommitState(state)
}

// segmentWriter notes the append that fills its file, with which a rotation begins.
type segmentWriter struct {
	types.SegmentWriter
	files *segmentFiler
}

// Append appends entries.
func (w *segmentWriter) Append(entries []types.LogEntry) error {
	if err := w.SegmentWriter.Append(entries); err != nil {
		return err
	}
	if sealed, _, err := w.Sealed(); err != nil || !sealed {
		return err
	}
	w.files.mu.Lock()
	defer w.files.mu.Unlock()
	w.files.done = make(chan struct{})
	return nil
}

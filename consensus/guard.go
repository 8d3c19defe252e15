package consensus

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// logStore is what this package needs of a log store.
type logStore = raft.LogStore

// guard stands between raft and the disk.
//
// Raft's heartbeats run beside its log store: a node whose disk hangs keeps its leadership for ever and commits nothing.
// So any error, a write that takes longer than limit, and a write that was answered but isn't there, end the process by
// way of fatal. After the first failure nothing is written again: after a failed fsync the kernel may have dropped the
// pages, and a second fsync that succeeds would prove nothing.
type guard struct {
	limit time.Duration
	fatal func(error)
	// failed holds the first failure, once there is one.
	failed atomic.Pointer[error]
	once   sync.Once
}

func newGuard(limit time.Duration, fatal func(error)) *guard {
	return &guard{limit: limit, fatal: fatal}
}

func (g *guard) fail(op string, cause error) error {
	err := fmt.Errorf("%w: %s: %w", ErrStore, op, cause)
	g.once.Do(func() {
		g.failed.Store(&err)
		g.fatal(err)
	})
	return err
}

var errStuck = errors.New("write takes too long")

// write runs one write under the guard.
func (g *guard) write(op string, f func() error) error {
	if err := g.failed.Load(); err != nil {
		return *err
	}
	w := newWatch(g.limit, func() {
		_ = g.fail(op, fmt.Errorf("%w: in flight for more than %v", errStuck, g.limit))
	})
	defer w.stop()
	if err := f(); err != nil {
		return g.fail(op, err)
	}
	if err := g.failed.Load(); err != nil {
		return *err // it came back after all, but too late: the decision was made
	}
	return nil
}

// watchSteps is the number of steps that a watch counts its limit in.
const watchSteps = 10

// watch calls a function when its limit has passed while the process ran. A process that was stopped (SIGSTOP, a
// suspended machine) finds its clock far ahead when it goes on, with a write in flight that had no chance to end. So
// the limit is counted in steps, each begun when the one before has ended: a pause costs one of them.
type watch struct {
	step time.Duration
	late func()

	mu    sync.Mutex // guards what follows
	timer *time.Timer
	left  int // steps until it is late; 0 when it is over
}

func newWatch(limit time.Duration, late func()) *watch {
	w := &watch{step: limit / watchSteps, late: late, left: watchSteps}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.step, w.tick)
	return w
}

// tick ends a step.
func (w *watch) tick() {
	w.mu.Lock()
	if w.left == 0 {
		w.mu.Unlock()
		return
	}
	w.left--
	late := w.left == 0
	if !late {
		w.timer.Reset(w.step)
	}
	w.mu.Unlock()
	if late {
		w.late()
	}
}

// stop ends the watch.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = 0
	w.timer.Stop()
}

// guardedLog is a log store under a guard.
type guardedLog struct {
	guard *guard
	inner logStore
	// stored is told of every durable append.
	stored func(entries int, bytes int64, took time.Duration)
}

var (
	_ raft.LogStore          = (*guardedLog)(nil)
	_ raft.MonotonicLogStore = (*guardedLog)(nil)
)

// IsMonotonic passes the inner store's property on. Hiding it would silently change how raft truncates its log.
func (l *guardedLog) IsMonotonic() bool {
	m, ok := l.inner.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// FirstIndex returns the first index, 0 for none.
func (l *guardedLog) FirstIndex() (uint64, error) {
	i, err := l.inner.FirstIndex()
	if err != nil {
		return 0, l.guard.fail("first index", err)
	}
	return i, nil
}

// LastIndex returns the last index, 0 for none.
func (l *guardedLog) LastIndex() (uint64, error) {
	i, err := l.inner.LastIndex()
	if err != nil {
		return 0, l.guard.fail("last index", err)
	}
	return i, nil
}

// GetLog reads one entry. An entry that isn't there is no failure: raft asks for compacted ones.
func (l *guardedLog) GetLog(index uint64, out *raft.Log) error {
	err := l.inner.GetLog(index, out)
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		return l.guard.fail("read", err)
	}
	return err
}

// StoreLog appends one entry.
func (l *guardedLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs appends entries, and looks whether the last of them is there.
func (l *guardedLog) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	start := time.Now()
	err := l.guard.write("append", func() error {
		if err := l.inner.StoreLogs(logs); err != nil {
			return err
		}
		return l.landed(logs[len(logs)-1].Index)
	})
	if err != nil {
		return err
	}
	var bytes int64
	for _, e := range logs {
		bytes += int64(len(e.Data))
	}
	l.stored(len(logs), bytes, time.Since(start))
	return nil
}

func (l *guardedLog) landed(want uint64) error {
	last, err := l.inner.LastIndex()
	if err != nil {
		return err
	}
	if last != want {
		return fmt.Errorf("short write: last index is %d, want %d", last, want)
	}
	return nil
}

// DeleteRange deletes entries, both ends included.
func (l *guardedLog) DeleteRange(lo, hi uint64) error {
	return l.guard.write("delete", func() error { return l.inner.DeleteRange(lo, hi) })
}

// guardedStable is a stable store under a guard. It holds the term and the vote: to lose one is to vote twice.
type guardedStable struct {
	guard *guard
	inner raft.StableStore
}

var _ raft.StableStore = (*guardedStable)(nil)

// Set stores a value.
func (s *guardedStable) Set(key, val []byte) error {
	return s.guard.write("set", func() error { return s.inner.Set(key, val) })
}

// SetUint64 stores a number.
func (s *guardedStable) SetUint64(key []byte, val uint64) error {
	return s.guard.write("set", func() error { return s.inner.SetUint64(key, val) })
}

// Get reads a value. Raft compares the text of "not found", so errors pass unchanged.
func (s *guardedStable) Get(key []byte) ([]byte, error) { return s.inner.Get(key) }

// GetUint64 reads a number.
func (s *guardedStable) GetUint64(key []byte) (uint64, error) { return s.inner.GetUint64(key) }

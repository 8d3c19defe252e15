package consensus

import (
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// machineFSM shows a Machine to raft. All its methods run on raft's one FSM goroutine, but for Persist.
type machineFSM struct {
	machine Machine
	applied *watermark
	// newest is the index of the newest finished snapshot; after a restore the state is at least there.
	newest func() uint64
	fatal  func(error)
	// running is false while the node opens: then raft itself goes on to an older snapshot, or Open fails.
	running func() bool
	// failed is why the last restore failed while the node opened: raft only logs it.
	failed error
	// committed is told before committed entries are applied; it doesn't block.
	committed func()
}

var _ raft.BatchingFSM = (*machineFSM)(nil)

// Apply applies one entry.
func (m *machineFSM) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies entries in order. Raft hands over configuration entries too, and panics unless it gets as many
// results as it gave entries. An empty command is this package's barrier: the machine doesn't see it.
func (m *machineFSM) ApplyBatch(logs []*raft.Log) []any {
	m.committed()
	out := make([]any, len(logs))
	for i, l := range logs {
		if l.Type == raft.LogCommand && len(l.Data) > 0 {
			out[i] = m.machine.Apply(l.Index, l.Data)
		}
	}
	m.applied.advance(logs[len(logs)-1].Index)
	return out
}

// Snapshot captures the state: handles only, the writing is Persist's.
func (m *machineFSM) Snapshot() (raft.FSMSnapshot, error) {
	snap, err := m.machine.Capture()
	if err != nil {
		return nil, fmt.Errorf("capture state: %w", err)
	}
	return fsmSnapshot{snap}, nil
}

// Restore replaces the state. If that fails while the node runs, it must not serve half of a state.
func (m *machineFSM) Restore(r io.ReadCloser) error {
	if err := m.machine.Restore(r); err != nil {
		err = fmt.Errorf("%w: %w", ErrRestore, err)
		if m.running() {
			m.fatal(err)
		} else {
			m.failed = err
		}
		return err
	}
	m.applied.advance(m.newest())
	return nil
}

type fsmSnapshot struct{ snap Snapshot }

// Persist writes the snapshot and seals it.
func (s fsmSnapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := s.snap.WriteTo(sink); err != nil {
		_ = sink.Cancel()
		return err
	}
	return sink.Close()
}

// Release releases the captured state.
func (s fsmSnapshot) Release() { s.snap.Release() }

// watermark is an index that only rises and can be waited for.
type watermark struct {
	mu    sync.Mutex
	index uint64
	// raised is closed and replaced at each rise, if somebody asked for it.
	raised chan struct{}
}

func (w *watermark) advance(index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if index <= w.index {
		return
	}
	w.index = index
	if w.raised != nil {
		close(w.raised)
		w.raised = nil
	}
}

func (w *watermark) load() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.index
}

// next returns the index and a channel that is closed when it rises.
func (w *watermark) next() (uint64, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.raised == nil {
		w.raised = make(chan struct{})
	}
	return w.index, w.raised
}

package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"

	"github.com/hashicorp/raft"
)

// Memory stands for a node's directory: its log, its vote and its newest
// snapshot. It outlives the Raft that was opened on it, so that another one can
// be, as after a restart. One Raft at a time may use it.
type Memory struct {
	mu          sync.Mutex // guards what follows
	first, last uint64     // both 0 while the log is empty
	logs        map[uint64]*raft.Log
	bytes       map[string][]byte
	numbers     map[string]uint64
	snapshot    *memorySnapshot // nil while there is none
}

// memorySnapshot is a finished snapshot; it never changes.
type memorySnapshot struct {
	meta raft.SnapshotMeta
	data []byte
}

var (
	_ raft.LogStore      = (*Memory)(nil)
	_ raft.StableStore   = (*Memory)(nil)
	_ raft.SnapshotStore = (*memorySnapshots)(nil)
)

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	return &Memory{logs: make(map[uint64]*raft.Log), bytes: make(map[string][]byte), numbers: make(map[string]uint64)}
}

// Clone returns a copy of what is stored now. It is what a crash leaves behind:
// the program that goes on writing to the original can't change it any more.
func (m *Memory) Clone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Memory{
		first: m.first, last: m.last, logs: maps.Clone(m.logs),
		bytes: maps.Clone(m.bytes), numbers: maps.Clone(m.numbers), snapshot: m.snapshot,
	}
}

// FirstIndex implements raft.LogStore.
func (m *Memory) FirstIndex() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.first, nil
}

// LastIndex implements raft.LogStore.
func (m *Memory) LastIndex() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last, nil
}

// GetLog implements raft.LogStore.
func (m *Memory) GetLog(index uint64, into *raft.Log) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.logs[index]
	if !ok {
		return raft.ErrLogNotFound
	}
	*into = *l
	return nil
}

// StoreLog implements raft.LogStore.
func (m *Memory) StoreLog(l *raft.Log) error { return m.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (m *Memory) StoreLogs(logs []*raft.Log) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range logs {
		m.logs[l.Index] = l
		if m.first == 0 {
			m.first = l.Index
		}
		m.last = max(m.last, l.Index)
	}
	return nil
}

// DeleteRange implements raft.LogStore: from one of the log's ends, or all of it.
func (m *Memory) DeleteRange(from, to uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := max(from, m.first); i <= min(to, m.last); i++ {
		delete(m.logs, i)
	}
	switch {
	case from <= m.first && to >= m.last:
		m.first, m.last = 0, 0
	case from <= m.first:
		m.first = max(m.first, to+1)
	case to >= m.last:
		m.last = min(m.last, from-1)
	}
	return nil
}

// errNoValue has the text by which raft tells an absent value from a failure.
var errNoValue = errors.New("not found")

// Set implements raft.StableStore.
func (m *Memory) Set(key, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bytes[string(key)] = bytes.Clone(value)
	return nil
}

// Get implements raft.StableStore.
func (m *Memory) Get(key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.bytes[string(key)]; ok {
		return v, nil
	}
	return nil, errNoValue
}

// SetUint64 implements raft.StableStore.
func (m *Memory) SetUint64(key []byte, value uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.numbers[string(key)] = value
	return nil
}

// GetUint64 implements raft.StableStore.
func (m *Memory) GetUint64(key []byte) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.numbers[string(key)], nil
}

// memorySnapshots is a Memory's snapshots, of which it keeps the newest.
type memorySnapshots struct{ m *Memory }

// Create implements raft.SnapshotStore.
func (s *memorySnapshots) Create(version raft.SnapshotVersion, index, term uint64, conf raft.Configuration,
	confIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	return &memorySink{m: s.m, meta: raft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf("%d-%d", term, index), Index: index, Term: term,
		Configuration: conf, ConfigurationIndex: confIndex,
	}}, nil
}

// List implements raft.SnapshotStore.
func (s *memorySnapshots) List() ([]*raft.SnapshotMeta, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.m.snapshot == nil {
		return nil, nil
	}
	meta := s.m.snapshot.meta
	return []*raft.SnapshotMeta{&meta}, nil
}

// Open implements raft.SnapshotStore.
func (s *memorySnapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	snap := s.m.snapshot
	if snap == nil || snap.meta.ID != id {
		return nil, nil, fmt.Errorf("there is no snapshot %s", id)
	}
	meta := snap.meta
	return &meta, io.NopCloser(bytes.NewReader(snap.data)), nil
}

// memorySink is a snapshot that is being written.
type memorySink struct {
	m         *Memory
	meta      raft.SnapshotMeta
	buf       bytes.Buffer
	cancelled bool
}

// Write appends to the snapshot.
func (s *memorySink) Write(p []byte) (int, error) { return s.buf.Write(p) }

// ID implements raft.SnapshotSink.
func (s *memorySink) ID() string { return s.meta.ID }

// Cancel drops the snapshot.
func (s *memorySink) Cancel() error {
	s.cancelled = true
	return nil
}

// Close seals the snapshot, which becomes the newest unless a newer one came first.
func (s *memorySink) Close() error {
	if s.cancelled {
		return nil
	}
	s.meta.Size = int64(s.buf.Len())
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if old := s.m.snapshot; old == nil || old.meta.Index <= s.meta.Index {
		s.m.snapshot = &memorySnapshot{meta: s.meta, data: s.buf.Bytes()}
	}
	return nil
}

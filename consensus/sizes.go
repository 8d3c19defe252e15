package consensus

import (
	"math"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// logSizes remembers the size of each entry in the log, to answer two questions that raft only asks in entries: how many
// bytes were appended since the last snapshot, and how many entries make up the bytes that should trail it.
//
// Entries that were on disk at the start are noted when raft reads them then, which is from the snapshot on. Of those below
// it the files are known that hold them: else no process that ends before enough has come would compact the log, and one
// after the other would leave more.
//
// What counts is what the disk holds. Entries that are taken back, after a change of leaders, leave a file of the log
// whose rest stays empty: the next entry is charged for it. Where leaders change often, entries alone would let thousands
// of such files trail a snapshot.
type logSizes struct {
	raft.LogStore
	// waste is what taking entries back is charged with.
	waste int64

	mu sync.Mutex
	// first is the index of sizes[0].
	first uint64
	sizes []uint32
	// below are full files of the log that hold entries below first, the lowest first.
	below []fullFile
	// since is the number of bytes above the last snapshot.
	since int64
	// full is told when since passes limit; it must not block.
	limit int64
	full  func()
	// opening is true until raft runs.
	opening bool
	// taken is true after entries were taken back, until the next one comes.
	taken bool
}

// fullFile is a file of the log that takes no more entries.
type fullFile struct {
	min, max uint64 // the entries in it
	bytes    int64
}

var (
	_ raft.LogStore          = (*logSizes)(nil)
	_ raft.MonotonicLogStore = (*logSizes)(nil)
)

func newLogSizes(inner logStore, limit, waste int64, full func()) *logSizes {
	return &logSizes{LogStore: inner, limit: limit, waste: waste, full: full, opening: true}
}

// IsMonotonic passes the inner store's property on.
func (s *logSizes) IsMonotonic() bool {
	m, ok := s.LogStore.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// GetLog reads one entry; while the node opens, it also notes its size.
func (s *logSizes) GetLog(index uint64, out *raft.Log) error {
	if err := s.LogStore.GetLog(index, out); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opening {
		s.note(out)
	}
	return nil
}

// opened ends the opening phase. files are those of the log that were full.
func (s *logSizes) opened(files []fullFile) {
	s.mu.Lock()
	s.opening = false
	s.below = slices.DeleteFunc(files, func(f fullFile) bool { return f.max >= s.first })
	over := s.since >= s.limit
	s.mu.Unlock()
	if over {
		s.full()
	}
}

// StoreLog stores one entry.
func (s *logSizes) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// StoreLogs stores entries and counts them.
func (s *logSizes) StoreLogs(logs []*raft.Log) error {
	if err := s.LogStore.StoreLogs(logs); err != nil {
		return err
	}
	s.mu.Lock()
	for _, e := range logs {
		s.note(e)
	}
	over := s.since >= s.limit
	s.mu.Unlock()
	if over {
		s.full()
	}
	return nil
}

// note appends e's size. After a jump it starts anew: raft reads its last entry first when it opens, and an installed
// snapshot leaves a hole.
func (s *logSizes) note(e *raft.Log) {
	size := uint32(min(int64(len(e.Data)+logOverhead)+s.owed(), 1<<31))
	if next := s.first + uint64(len(s.sizes)); len(s.sizes) == 0 || e.Index != next {
		s.first, s.sizes, s.since, s.below = e.Index, s.sizes[:0], 0, nil
	}
	s.sizes = append(s.sizes, size)
	s.since += int64(size)
}

// owed is what the next entry is charged with beside its own size.
func (s *logSizes) owed() int64 {
	if !s.taken {
		return 0
	}
	s.taken = false
	return s.waste
}

// DeleteRange deletes entries and forgets their sizes.
func (s *logSizes) DeleteRange(lo, hi uint64) error {
	if err := s.LogStore.DeleteRange(lo, hi); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.below = slices.DeleteFunc(s.below, func(f fullFile) bool { return lo <= f.max && hi >= f.max })
	end := s.first + uint64(len(s.sizes))
	switch {
	case lo <= s.first && hi >= s.first: // a prefix
		cut := min(hi+1, end) - s.first
		s.sizes = append(s.sizes[:0], s.sizes[cut:]...)
		s.first += cut
	case lo > s.first && lo < end: // a suffix
		s.sizes, s.taken = s.sizes[:lo-s.first], true
	}
	return nil
}

// keepAll is more trailing entries than a log has, and far from overflowing raft's sums.
const keepAll = math.MaxUint64 / 4

// trailing returns how many of the newest entries hold at least want bytes, with all that is in a file if they begin in one
// that was there at the start. While fewer are known, all are kept.
func (s *logSizes) trailing(want int64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sum int64
	for n := range s.sizes {
		if sum >= want {
			return uint64(n)
		}
		sum += int64(s.sizes[len(s.sizes)-1-n])
	}
	for _, f := range slices.Backward(s.below) {
		if sum += f.bytes; sum >= want {
			return s.first + uint64(len(s.sizes)) - f.min
		}
	}
	return keepAll
}

// snapshotted starts to count anew: a snapshot covers all up to about here, which is so many bytes.
func (s *logSizes) snapshotted() (covered int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	covered, s.since = s.since, 0
	return covered
}

// notSnapshotted counts again what snapshotted has returned: the snapshot came to nothing.
func (s *logSizes) notSnapshotted(covered int64) {
	s.mu.Lock()
	s.since += covered
	s.mu.Unlock()
}

// setLimit sets how many bytes are to come before the next snapshot.
func (s *logSizes) setLimit(limit int64) {
	s.mu.Lock()
	s.limit = limit
	s.mu.Unlock()
}

package consensus

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/botnode/botnode/internal/durable"
)

// stableFile holds the term and the vote.
const stableFile = "vote.json"

// fileStable keeps raft's few values in a file that is replaced whole and has a checksum: a page of bbolt has none, and a
// flipped bit of the term or of the vote is a vote that was never given. They change with elections only.
type fileStable struct {
	dir string

	mu     sync.Mutex // guards values
	values map[string][]byte
}

var _ raft.StableStore = (*fileStable)(nil)

// openStable reads the file. known says that the directory has been used: then there must be one.
func openStable(dir string, known bool) (*fileStable, error) {
	s := &fileStable{dir: dir, values: map[string][]byte{}}
	b, err := durable.ReadChecked(dir, stableFile)
	if errors.Is(err, os.ErrNotExist) && !known {
		return s, durable.WriteChecked(dir, stableFile, []byte("{}"))
	}
	if err == nil {
		err = json.Unmarshal(b, &s.values)
	}
	return s, damaged(PartVote, err)
}

// Set implements raft.StableStore.
func (s *fileStable) Set(key, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := maps.Clone(s.values)
	next[string(key)] = append([]byte{}, value...)
	b, err := json.Marshal(next)
	if err == nil {
		err = durable.WriteChecked(s.dir, stableFile, b)
	}
	if err != nil {
		return err
	}
	s.values = next
	return nil
}

// Get implements raft.StableStore.
func (s *fileStable) Get(key []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.values[string(key)]; ok {
		return v, nil
	}
	return nil, errNoValue
}

// SetUint64 implements raft.StableStore.
func (s *fileStable) SetUint64(key []byte, value uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore.
func (s *fileStable) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("%s has %d bytes, want a number", key, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

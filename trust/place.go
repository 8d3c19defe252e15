package trust

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"

	"github.com/botnode/botnode/internal/durable"
)

// FileName is the file of a node's keys in its data directory.
const FileName = "trust.json"

// Directory is a Place in a data directory.
type Directory string

// Read implements Place.
func (d Directory) Read() ([]byte, error) { return os.ReadFile(filepath.Join(string(d), FileName)) }

// Write implements Place.
func (d Directory) Write(b []byte) error { return durable.WriteFile(string(d), FileName, b) }

// Memory is a Place without a directory, for nodes that live in a test.
type Memory struct {
	mu sync.Mutex
	b  []byte // nil while nothing was written
}

// Clone returns a copy of what is held now.
func (m *Memory) Clone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Memory{b: m.b} // written whole, never in place
}

// Read implements Place.
func (m *Memory) Read() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.b == nil {
		return nil, os.ErrNotExist
	}
	return m.b, nil
}

// Write implements Place.
func (m *Memory) Write(b []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.b = bytes.Clone(b)
	return nil
}

package membership

import (
	"bytes"
	"os"
	"sync"
)

// Memory holds an identity where there is no directory: for nodes that live in
// a test. It outlives the Identity that was opened on it, as a directory does.
type Memory struct {
	mu  sync.Mutex // guards rec
	rec []byte     // nil while nothing was written
}

// Clone returns a copy of what is held now, which whoever writes to the
// original can't change any more.
func (m *Memory) Clone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Memory{rec: m.rec} // written whole, never in place
}

func (m *Memory) read() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rec == nil {
		return nil, os.ErrNotExist
	}
	return m.rec, nil
}

func (m *Memory) write(b []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rec = bytes.Clone(b)
	return nil
}

func (*Memory) close() error { return nil }

package consensus

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft-wal/types"

	"github.com/botnode/botnode/internal/durable"
)

// walMetaFile lists the log's files.
const walMetaFile = "files.json"

// walMeta is the list of the log's files, in a file with a checksum. It changes with a rotation and with a deletion.
type walMeta struct{ dir string }

var _ types.MetaStore = (*walMeta)(nil)

// Load implements types.MetaStore. Without a list there must be no file of the log: those that aren't listed are removed.
func (m *walMeta) Load(dir string) (s types.PersistentState, err error) {
	m.dir = dir
	b, err := durable.ReadChecked(dir, walMetaFile)
	if errors.Is(err, os.ErrNotExist) {
		files, bad := filepath.Glob(filepath.Join(dir, "*.wal"))
		if bad == nil && len(files) > 0 {
			bad = damaged(PartLog, fmt.Errorf("there are files of a log and no %s", walMetaFile))
		}
		return s, bad
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	return s, damaged(PartLog, err)
}

// CommitState implements types.MetaStore.
func (m *walMeta) CommitState(s types.PersistentState) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.WriteChecked(m.dir, walMetaFile, b)
}

// errNotStable: the term and the vote are elsewhere.
var errNotStable = errors.New("the list of the log's files keeps no other values")

// GetStable implements types.MetaStore.
func (m *walMeta) GetStable([]byte) ([]byte, error) { return nil, errNotStable }

// SetStable implements types.MetaStore.
func (m *walMeta) SetStable([]byte, []byte) error { return errNotStable }

// Close implements types.MetaStore.
func (m *walMeta) Close() error { return nil }

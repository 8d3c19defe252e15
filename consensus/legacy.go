package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/hashicorp/raft-wal/metadb"

	"github.com/botnode/botnode/internal/durable"
)

// The first builds kept the vote and the list of the log's files in bbolt, no record of how far the log had been
// written, and no checksums of entries. Their directories are taken over when they are opened.
const (
	legacyVote  = "raft.db"
	legacyFiles = "wal-meta.db"
)

// adopt takes a directory of a first build over. Each file is written before the next and removed last, so that it may be
// cut off anywhere. unsummed reports whether the log was one of theirs.
func adopt(dir string) (unsummed bool, err error) {
	at := filepath.Join(dir, walDir, legacyFiles)
	if _, err := os.Stat(at); err != nil {
		return false, ignoreAbsent(err)
	}
	if err := adoptVote(dir); err != nil {
		return false, fmt.Errorf("take over %s: %w", legacyVote, err)
	}
	old := new(metadb.BoltMetaDB)
	s, err := old.Load(filepath.Join(dir, walDir))
	if err = errors.Join(err, old.Close()); err != nil {
		return false, fmt.Errorf("take over %s: %w", at, err)
	}
	return true, (&walMeta{filepath.Join(dir, walDir)}).CommitState(s)
}

// adopted removes what was taken over, once all of it is in its new place.
func adopted(dir string) error {
	if err := durable.Remove(filepath.Join(dir, walDir), legacyFiles); err != nil {
		return err // it goes first: as long as it is there, the vote is taken over, too
	}
	return durable.Remove(dir, legacyVote)
}

func ignoreAbsent(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func adoptVote(dir string) error {
	at := filepath.Join(dir, legacyVote)
	if _, err := os.Stat(at); err != nil {
		return err // or it would be made, without a vote in it
	}
	old, err := openBolt(at)
	if err != nil {
		return err
	}
	defer func() { _ = old.Close() }() // nothing was written
	s := &fileStable{dir: dir, values: map[string][]byte{}}
	for _, key := range []string{"CurrentTerm", "LastVoteTerm", "LastVoteCand"} {
		v, err := old.Get([]byte(key))
		if errors.Is(err, raftboltdb.ErrKeyNotFound) {
			continue
		}
		if err == nil {
			err = s.Set([]byte(key), v)
		}
		if err != nil {
			return err
		}
	}
	if len(s.values) == 0 {
		return durable.WriteChecked(dir, stableFile, []byte("{}"))
	}
	return nil
}

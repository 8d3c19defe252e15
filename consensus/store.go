package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	"go.uber.org/zap"
)

// stores are what raft keeps: log, term and vote, snapshots.
type stores struct {
	log    raft.LogStore
	stable raft.StableStore
	snaps  *snapStore
	// close closes the files.
	close func() error
}

// snapshotsRetained is how many snapshots stay on disk: the newest may be the one that turns out to be unreadable.
const snapshotsRetained = 2

// openTimeout is how long to wait for another process to let go of the log file, before saying so.
const openTimeout = 2 * time.Second

func openStores(o Options, hl hclog.Logger) (*stores, error) {
	if m := o.Memory; m != nil {
		return &stores{
			log: m, stable: m, close: func() error { return nil },
			snaps: &snapStore{SnapshotStore: &memorySnapshots{m}},
		}, nil
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make consensus directory: %w", err)
	}
	if err := makePrivate(filepath.Join(o.Dir, "snapshots")); err != nil {
		return nil, fmt.Errorf("make snapshot directory: %w", err)
	}
	used, err := isUsed(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := removeUnfinished(filepath.Join(o.Dir, "snapshots")); err != nil {
		return nil, err
	}
	files, err := raft.NewFileSnapshotStoreWithLogger(o.Dir, snapshotsRetained, hl)
	if err != nil {
		return nil, fmt.Errorf("open snapshot store: %w", err)
	}
	snaps := &snapStore{SnapshotStore: files, dir: o.Dir, log: o.Logger}
	if o.NoSync {
		// What the log is for, an append that lasts, is switched off.
		bolt, err := openBolt(filepath.Join(o.Dir, "raft.db"))
		if err != nil {
			return nil, err
		}
		return &stores{log: bolt, stable: bolt, snaps: snaps, close: bolt.Close}, nil
	}
	list, err := snaps.List()
	if err != nil {
		return nil, damaged(PartSnapshot, err)
	}
	if len(list) > 0 {
		snaps.reach.Store(list[0].Index)
	}
	unsummed, err := adopt(o.Dir)
	if err != nil {
		return nil, damaged(PartLog, err)
	}
	stable, err := openStable(o.Dir, used)
	if err != nil {
		return nil, err
	}
	log, err := openWAL(o.Dir, o.segment, hl, snaps.reach.Load, !unsummed && (used || len(stable.values) > 0))
	if err != nil {
		return nil, err
	}
	if unsummed {
		if err = log.adopt(); err == nil {
			err = adopted(o.Dir)
		}
	} else {
		err = log.verify()
	}
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return &stores{log: log, stable: stable, snaps: snaps, close: log.Close}, nil
}

// makePrivate makes a directory, or one that is there, this user's alone. The library's files are readable by all, and
// the directory around them may be older than the node, as systemd's is.
func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700) //nolint:gosec // a directory
}

// removeUnfinished removes snapshots that a process was taking or receiving when it ended: the library passes over them,
// for ever, and each is as large as the state.
func removeUnfinished(snapshots string) error {
	left, err := filepath.Glob(filepath.Join(snapshots, "*.tmp"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	if err != nil {
		return fmt.Errorf("remove snapshots that were cut off: %w", err)
	}
	return nil
}

// isUsed reports whether a directory has a log or a snapshot. Whatever else belongs to it was made before.
func isUsed(dir string) (bool, error) {
	for _, pattern := range []string{filepath.Join(walDir, "*"), filepath.Join("snapshots", "*")} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) > 0 {
			return true, err
		}
	}
	return false, nil
}

// walDir holds the log.
const walDir = "wal"

// segmentSize is the size of a log file. It is allocated whole, so that an append changes no metadata of the file.
const segmentSize = 64 << 20

// openBolt opens a log that isn't synced. The free list isn't written with each transaction: it is rebuilt on opening, which is
// cheap beside what it costs to write it on every append.
func openBolt(path string) (*raftboltdb.BoltStore, error) {
	bolt, err := raftboltdb.New(raftboltdb.Options{
		Path: path, NoSync: true, MsgpackUseNewTimeFormat: true,
		BoltOptions: &bbolt.Options{
			Timeout: openTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("open log store %s: %w", path, err)
	}
	return bolt, nil
}

// snapStore notes the index of the newest snapshot that was finished, taken here or received.
type snapStore struct {
	raft.SnapshotStore
	dir    string // "" in memory
	log    *zap.Logger
	newest atomic.Uint64
	// reach is newest, or the index of the newest snapshot that there was when the store was opened.
	reach atomic.Uint64
}

// Create starts a snapshot.
func (s *snapStore) Create(version raft.SnapshotVersion, index, term uint64, conf raft.Configuration,
	confIndex uint64, trans raft.Transport,
) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(version, index, term, conf, confIndex, trans)
	if err != nil {
		return nil, err
	}
	return &snapSink{SnapshotSink: sink, store: s, index: index}, nil
}

type snapSink struct {
	raft.SnapshotSink
	store *snapStore
	index uint64
}

// Close seals the snapshot.
func (s *snapSink) Close() error {
	if err := s.SnapshotSink.Close(); err != nil {
		return err
	}
	if err := s.store.seal(s.ID()); err != nil {
		return err
	}
	raise(&s.store.newest, s.index)
	raise(&s.store.reach, s.index)
	return nil
}

// raise makes to at least v.
func raise(to *atomic.Uint64, v uint64) {
	for {
		old := to.Load()
		if v <= old || to.CompareAndSwap(old, v) {
			return
		}
	}
}

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
	bolt, err := openBolt(filepath.Join(o.Dir, "raft.db"), o.NoSync)
	if err != nil {
		return nil, err
	}
	files, err := raft.NewFileSnapshotStoreWithLogger(o.Dir, snapshotsRetained, hl)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open snapshot store: %w", err), bolt.Close())
	}
	s := &stores{log: bolt, stable: bolt, snaps: &snapStore{SnapshotStore: files}, close: bolt.Close}
	if o.NoSync {
		return s, nil // what the log is for, an append that lasts, is switched off
	}
	log, err := openWAL(filepath.Join(o.Dir, "wal"), segmentSize, hl)
	if err != nil {
		return nil, errors.Join(err, bolt.Close())
	}
	s.log = log
	s.close = func() error { return errors.Join(log.Close(), bolt.Close()) }
	return s, nil
}

// segmentSize is the size of a log file. It is allocated whole, so that an append changes no metadata of the file.
const segmentSize = 64 << 20

// openBolt opens the log file. The free list isn't written with each transaction: it is rebuilt on opening, which is
// cheap beside what it costs to write it on every append.
func openBolt(path string, noSync bool) (*raftboltdb.BoltStore, error) {
	bolt, err := raftboltdb.New(raftboltdb.Options{
		Path: path, NoSync: noSync, MsgpackUseNewTimeFormat: true,
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
	newest atomic.Uint64
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
	for {
		old := s.store.newest.Load()
		if s.index <= old || s.store.newest.CompareAndSwap(old, s.index) {
			return nil
		}
	}
}

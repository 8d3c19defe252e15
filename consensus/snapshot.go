package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// snapshotter takes a snapshot when enough bytes of log came together.
type snapshotter struct {
	r *Raft
	// due holds one token if a snapshot should be taken.
	due chan struct{}
	// one is held while a snapshot is taken or restored: what a restore leaves on disk must be told from a snapshot.
	one sync.Mutex
}

func newSnapshotter(r *Raft) *snapshotter { return &snapshotter{r: r, due: make(chan struct{}, 1)} }

// trigger is called on each append above the limit; it doesn't block.
func (s *snapshotter) trigger() {
	select {
	case s.due <- struct{}{}:
	default:
	}
}

func (s *snapshotter) start() { s.r.wg.Go(s.run) }

// snapshotRetry keeps a failing snapshot from being tried again with every append.
const snapshotRetry = 10 * time.Second

func (s *snapshotter) run() {
	for {
		select {
		case <-s.due:
		case <-s.r.ctx.Done():
			return
		}
		err := s.r.Snapshot(s.r.ctx)
		if err == nil || errors.Is(err, ErrNothingToSnapshot) {
			continue
		}
		s.r.log.Warn("snapshot failed", zap.Error(err), zap.String("code", "snapshot_failed"))
		select {
		case <-time.After(snapshotRetry):
		case <-s.r.ctx.Done():
			return
		}
	}
}

// Snapshot takes a snapshot now and compacts the log behind it.
func (r *Raft) Snapshot(ctx context.Context) error {
	start := time.Now()
	err := r.await(ctx, func() error {
		r.snapshots.one.Lock()
		defer r.snapshots.one.Unlock()
		if err := r.setTrailing(); err != nil {
			return err
		}
		covered := r.sizes.snapshotted()
		err := r.raft.Snapshot().Error()
		if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
			r.sizes.notSnapshotted(covered) // or none would be tried before as much again has come
		}
		r.sizes.setLimit(r.snapshotAfter())
		return err
	})
	r.opts.Metrics.SnapshotTaken(time.Since(start), err)
	return err
}

// snapshotAfter returns how many bytes of new log make the next snapshot due: twice the size of the last one, so that
// snapshots add half to what the log writes, within bounds. The log that a start has to read and apply should be short:
// while a node applies it, raft neither votes nor takes entries.
func (r *Raft) snapshotAfter() int64 {
	var last int64
	if list, err := r.store.snaps.List(); err == nil && len(list) > 0 {
		last = list[0].Size
	}
	return min(max(2*last, r.opts.leastLog), r.opts.SnapshotBytes)
}

// setTrailing tells raft, which counts entries, how many of them hold the bytes to keep. ReloadConfig copies zero
// values, so it starts from what is set.
func (r *Raft) setTrailing() error {
	conf := r.raft.ReloadableConfig()
	conf.TrailingLogs = r.sizes.trailing(r.opts.TrailingBytes)
	return r.raft.ReloadConfig(conf)
}

// SaveSnapshot takes a snapshot if there is anything new, and writes the newest one to w. The index is that of the last
// entry that it covers.
func (r *Raft) SaveSnapshot(ctx context.Context, w io.Writer) (index uint64, err error) {
	if err := r.Snapshot(ctx); err != nil && !errors.Is(err, ErrNothingToSnapshot) {
		return 0, fmt.Errorf("save snapshot: %w", err)
	}
	list, err := r.store.snaps.List()
	if err != nil {
		return 0, fmt.Errorf("list snapshots: %w", err)
	}
	if len(list) == 0 {
		return 0, ErrNothingToSnapshot
	}
	meta, body, err := r.store.snaps.Open(list[0].ID)
	if err != nil {
		return 0, fmt.Errorf("open snapshot: %w", err)
	}
	_, err = io.Copy(w, body)
	return meta.Index, errors.Join(err, body.Close())
}

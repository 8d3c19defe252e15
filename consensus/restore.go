package consensus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/botnode/botnode/internal/durable"
)

// Errors of a restore.
var (
	// ErrNotRestored says that a restore was surely not done: nothing has changed.
	ErrNotRestored = errors.New("not restored")
	// ErrRestoreUnfinished says that this node led a restore and doesn't know whether the cluster has taken it.
	ErrRestoreUnfinished = errors.New("a restore that this node led was not finished")
)

// RestoreSnapshot replaces the state of the whole cluster by a saved one, on the leader. The log goes on above it and
// above index, so every node installs it. What is in flight is lost. It is for recovery, not for normal operation.
//
// Raft's restore is the one change of the state that no majority agrees on before it happens: the leader takes the
// snapshot and then has the others install it. A leader that is deposed in between holds a state that was never
// committed, above entries of its successor's, and would apply what comes next to it. So it notes what it is about to
// do, ends if it can't finish, and Open refuses to go on from there.
func (r *Raft) RestoreSnapshot(ctx context.Context, body io.Reader, size int64, index uint64) error {
	if !r.IsLeader() {
		return fmt.Errorf("%w: %w", ErrNotRestored, ErrNotLeader)
	}
	if err := r.Verify(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrNotRestored, err)
	}
	b := &restoreBody{from: body}
	meta := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Size: size, Index: index}
	err := r.await(ctx, func() error {
		r.snapshots.one.Lock()
		defer r.snapshots.one.Unlock()
		var err error
		if b.begin, err = r.markRestore(); err != nil {
			return err
		}
		err = r.raft.Restore(meta, b, 0)
		switch {
		case !b.giveUp():
		case err == nil:
			err = r.unmarkRestore()
		case r.ctx.Err() == nil:
			r.fatal(fmt.Errorf("%w: %w", ErrRestoreUnfinished, err))
		}
		return err
	})
	if err != nil && !b.giveUp() {
		return fmt.Errorf("%w: %w", ErrNotRestored, err)
	}
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	return nil
}

// restoreBody is a snapshot that raft reads once it has begun to restore it, on its main loop.
type restoreBody struct {
	from  io.Reader
	begin func() error

	mu     sync.Mutex // guards what follows
	begun  bool
	gaveUp bool
}

// Read implements io.Reader.
func (b *restoreBody) Read(p []byte) (int, error) {
	if err := b.start(); err != nil {
		return 0, err
	}
	return b.from.Read(p)
}

func (b *restoreBody) start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gaveUp {
		return ErrNotRestored
	}
	if b.begun {
		return nil
	}
	if err := b.begin(); err != nil {
		b.gaveUp = true
		return err
	}
	b.begun = true
	return nil
}

// giveUp keeps a restore that hasn't begun from beginning, and reports whether it has.
func (b *restoreBody) giveUp() (begun bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gaveUp = !b.begun
	return b.begun
}

// restoreFile is in the directory from the moment on at which a restore may change the state, until it is committed.
const restoreFile = "restoring.json"

// restoreMark is what it holds: the snapshots that there were before.
type restoreMark struct {
	Snapshots []string `json:"snapshots"`
}

// markRestore returns what writes the mark.
func (r *Raft) markRestore() (func() error, error) {
	if r.opts.Memory != nil {
		return func() error { return nil }, nil // it ends with the process that could have finished
	}
	list, err := r.store.snaps.List()
	if err != nil {
		return nil, err
	}
	mark := restoreMark{Snapshots: []string{}}
	for _, s := range list {
		mark.Snapshots = append(mark.Snapshots, s.ID)
	}
	b, err := json.Marshal(mark)
	return func() error { return durable.WriteFile(r.opts.Dir, restoreFile, b) }, err
}

func (r *Raft) unmarkRestore() error {
	if r.opts.Memory != nil {
		return nil
	}
	return durable.Remove(r.opts.Dir, restoreFile)
}

// checkRestore refuses to go on from a snapshot that the cluster may not have taken. A node that no other voter could
// disagree with has finished with the snapshot itself.
func (r *Raft) checkRestore() error {
	if r.opts.Memory != nil {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(r.opts.Dir, restoreFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var mark restoreMark
	if err := json.Unmarshal(b, &mark); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrRestoreUnfinished, restoreFile, err)
	}
	list, err := r.store.snaps.List()
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	if len(list) > 0 && !slices.Contains(mark.Snapshots, list[0].ID) {
		for _, s := range list[0].Configuration.Servers {
			if s.Suffrage == raft.Voter && string(s.ID) != r.opts.ID {
				return ErrRestoreUnfinished
			}
		}
	}
	return r.unmarkRestore()
}

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
	"time"

	"github.com/hashicorp/raft"

	"github.com/botnode/botnode/internal/durable"
)

// Errors of a restore.
var (
	// ErrNotRestored says that a restore was surely not done: nothing has changed.
	ErrNotRestored = errors.New("not restored")
	// ErrRestoreUnfinished says that this node led a restore and doesn't know whether the cluster has taken it.
	ErrRestoreUnfinished = errors.New("a restore that this node led was not finished")
	// ErrRestoring refuses to move the leadership, or to change the members, while this node restores.
	ErrRestoring = errors.New("a backup is being restored: wait until that is done")
)

// Restoration is a state that is to replace the cluster's.
type Restoration struct {
	Body io.Reader
	Size int64
	// Index is one that the log goes on above, if it isn't there yet. It goes on above its own end in any case, by restoreGap.
	Index uint64
	// Check, if there is one, has the last word: nothing is appended or applied between it and the restore, and its error
	// keeps the restore from beginning. It must be quick.
	Check func() error
}

// checkPatience bounds the wait for what was committed before a restore to be applied, while raft's main loop stands still.
const checkPatience = 5 * time.Second

// RestoreSnapshot replaces the state of the whole cluster by a saved one, on the leader. The log goes on above it and
// above its index, so every node installs it. What is in flight is lost. It is for recovery, not for normal operation.
//
// Raft's restore is the one change of the state that no majority agrees on before it happens: the leader takes the
// snapshot and then has the others install it. A leader that is deposed in between holds a state that was never
// committed, above entries of its successor's, and would apply what comes next to it. So it notes what it is about to
// do, ends if it can't finish, and Open refuses to go on from there. Until it has finished it doesn't give the leadership
// away, and changes no members.
func (r *Raft) RestoreSnapshot(ctx context.Context, to Restoration) error {
	if !r.IsLeader() {
		return fmt.Errorf("%w: %w", ErrNotRestored, ErrNotLeader)
	}
	if err := r.Verify(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrNotRestored, err)
	}
	b := &restoreBody{from: to.Body}
	err := r.await(ctx, func() error {
		r.tenure.Lock()
		defer r.tenure.Unlock()
		r.snapshots.one.Lock()
		defer r.snapshots.one.Unlock()
		return r.restore(to, b)
	})
	if err != nil && !b.giveUp() {
		return fmt.Errorf("%w: %w", ErrNotRestored, err)
	}
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	return nil
}

// restore restores, and ends the process if nobody can say how that ended.
func (r *Raft) restore(to Restoration, b *restoreBody) error {
	mark, err := r.newRestoreMark()
	if err != nil {
		return err
	}
	b.begin = func() error {
		if err := r.lastWord(to.Check); err != nil {
			return err
		}
		return r.markRestore(mark)
	}
	index := max(to.Index, r.LastIndex()+restoreGap)
	err = r.raft.Restore(&raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Size: to.Size, Index: index}, b, 0)
	if !b.giveUp() {
		r.passOn()
		return err
	}
	if err != nil {
		if left, bad := r.restoreLeft(mark); bad == nil && !left && r.ctx.Err() == nil {
			b.undo() // such as on a full disk: there is no snapshot, so that nothing has changed
			r.passOn()
			return errors.Join(err, r.unmarkRestore())
		}
		if r.ctx.Err() == nil {
			r.fatal(fmt.Errorf("%w: %w", ErrRestoreUnfinished, err))
		}
		return err
	}
	return r.unmarkRestore()
}

// passOn has the leader apply what was on its way when a restore came to nothing. Raft answers that, as aborted, before it
// reads the first byte, and what nobody waits for it applies only together with an entry for which somebody does.
func (r *Raft) passOn() { r.proposals.propose(nil) }

// restoreGap is by how much a restored state is above the leader's log at least. A node that is away may have a log that goes
// further, with entries that were never committed. Raft, when such a node installs a snapshot below that end, removes the
// log and still takes its end for the one that it had: the node refuses all that follows, and is sent the snapshot again, until
// it is restarted. What one leader can append alone, before its lease ends, is far less.
const restoreGap = 1 << 16

// lastWord has check judge a state to which all that was committed has been applied. Raft's main loop, on which it is
// called, commits nothing meanwhile.
func (r *Raft) lastWord(check func() error) error {
	if check == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, checkPatience)
	defer cancel()
	if err := r.WaitApplied(ctx, r.raft.AppliedIndex()); err != nil {
		return err
	}
	return check()
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

// undo notes that a restore that had begun has changed nothing.
func (b *restoreBody) undo() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun, b.gaveUp = false, true
}

// restoreFile is in the directory from the moment on at which a restore may change the state, until it is committed.
const restoreFile = "restoring.json"

// restoreMark is what it holds: the snapshots that there were before.
type restoreMark struct {
	Snapshots []string `json:"snapshots"`
}

// newRestoreMark lists the snapshots that there are.
func (r *Raft) newRestoreMark() (mark restoreMark, err error) {
	list, err := r.store.snaps.List()
	mark.Snapshots = []string{}
	for _, s := range list {
		mark.Snapshots = append(mark.Snapshots, s.ID)
	}
	return mark, err
}

// markRestore writes the mark.
func (r *Raft) markRestore(mark restoreMark) error {
	if r.opts.Memory != nil {
		return nil // it ends with the process that could have finished
	}
	b, err := json.Marshal(mark)
	if err != nil {
		return err
	}
	return durable.WriteFile(r.opts.Dir, restoreFile, b)
}

// restoreLeft reports whether there is a snapshot that there wasn't before a restore.
func (r *Raft) restoreLeft(mark restoreMark) (bool, error) {
	list, err := r.store.snaps.List()
	return len(list) > 0 && !slices.Contains(mark.Snapshots, list[0].ID), err
}

func (r *Raft) unmarkRestore() error {
	if r.opts.Memory != nil {
		return nil
	}
	return durable.Remove(r.opts.Dir, restoreFile)
}

// checkRestore refuses to go on from a snapshot that the cluster may not have taken.
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
		if r.dispensable(list[0].Configuration) && !r.wasCommitted(list[0].Index) {
			return ErrRestoreUnfinished
		}
	}
	return r.unmarkRestore()
}

// wasCommitted reports whether this node is known to have learned that an index was committed, as it is if anything
// was appended here after that. The log that has a snapshot's index committed has that snapshot.
func (r *Raft) wasCommitted(index uint64) bool {
	files, ok := r.store.log.(*logFiles)
	return ok && files.extent.now.Commit >= index
}

// dispensable reports whether the voters could have elected another leader without this node. Where they couldn't, as
// where it is the only voter or one of two, a restored snapshot on its disk is the end of the log that counts: since
// then it has voted, and will vote, for nobody who hasn't taken the snapshot. Either it leads again and has the others
// install it, or one leads that has. The configuration is the one of the restore, during which it doesn't change.
func (r *Raft) dispensable(c raft.Configuration) bool {
	voters, others := 0, 0
	for _, s := range c.Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if string(s.ID) != r.opts.ID {
			others++
		}
	}
	return 2*others > voters
}

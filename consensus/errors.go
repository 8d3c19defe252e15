package consensus

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

var (
	// ErrNotLeader says that this node isn't the leader: the entry was surely not appended.
	ErrNotLeader = errors.New("not the leader")
	// ErrNoLeader says that no leader is known: the command was surely not appended.
	ErrNoLeader = errors.New("no leader is known")
	// ErrUnknownOutcome says that the entry may or may not be committed, now or later. Propose the same bytes again.
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrShutdown says that the node was closed before the call: the entry was surely not appended.
	ErrShutdown = errors.New("consensus is shut down")
	// ErrClosed says that the proposer was closed before the command was sent: it was surely not appended.
	ErrClosed = errors.New("proposer is closed")
	// ErrBusy says that the proposer's queue is full: the command was surely not appended.
	ErrBusy = errors.New("proposer queue is full")
	// ErrTooLarge says that an entry exceeds what may be proposed.
	ErrTooLarge = errors.New("entry is too large")
	// ErrHasState says that a node that already belongs to a cluster was asked to bootstrap.
	ErrHasState = errors.New("the directory already belongs to a cluster")
	// ErrLogGap says that the log on disk doesn't continue the snapshot that could be restored.
	ErrLogGap = errors.New("log does not continue the snapshot")
	// ErrStore is in every error that the guard reports: the log or stable store failed and must not be used again.
	ErrStore = errors.New("log store failed")
	// ErrRestore is in the error that is reported when the state machine couldn't be restored from a snapshot.
	ErrRestore = errors.New("state machine restore failed")
	// ErrNothingToSnapshot says that there is nothing new since the last snapshot.
	ErrNothingToSnapshot = errors.New("nothing new to snapshot")
)

// NotAppended reports whether err proves that the entry was not appended and never will be.
func NotAppended(err error) bool {
	if errors.Is(err, ErrUnknownOutcome) {
		return false // one attempt of several, or one that the shutdown interrupted
	}
	for _, sure := range []error{ErrNotLeader, ErrNoLeader, ErrShutdown, ErrClosed, ErrBusy, ErrTooLarge} {
		if errors.Is(err, sure) {
			return true
		}
	}
	return false
}

// classify turns an error of one of raft's futures into one of the classes above. What isn't known to be harmless is
// unknown: that is always safe, because every command is idempotent.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader),
		errors.Is(err, raft.ErrLeadershipTransferInProgress),
		errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("%w: %w", ErrNotLeader, err)
	case errors.Is(err, raft.ErrNothingNewToSnapshot):
		return ErrNothingToSnapshot
	case errors.Is(err, raft.ErrCantBootstrap):
		return ErrHasState
	default:
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
}

// unknown wraps the cause of an unknown outcome.
func unknown(cause error) error {
	if cause == nil {
		return ErrUnknownOutcome
	}
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, cause)
}

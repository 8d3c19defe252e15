package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/consensus"
)

const (
	// leaveQuorum bounds the wait for a word of a quorum before a node that is to
	// leave lets go of anything.
	leaveQuorum = 5 * time.Second
	// leavePatience is how long no leader may answer a node that is leaving, before
	// that gives up: longer than any election takes while a majority lives.
	leavePatience = 5 * time.Second
	// abdicatePatience bounds the wait for another leader, and abdicateAgain is the
	// pause between two attempts to make one.
	abdicatePatience = 15 * time.Second
	abdicateAgain    = 100 * time.Millisecond
)

var (
	errQuorumLost  = fmt.Errorf("no leader has answered for %v", leavePatience)
	errNoSuccessor = fmt.Errorf("no other node has taken the leadership for %v", abdicatePatience)
)

const hintLeave = "nodes that are missing: `botnode status` shows them; start them again, or `botnode node remove` those that are gone for good while a majority is left. " +
	"To end this process alone, stop it: it stays a member and can come back. Where the majority is gone for good: `botnode recover`"

// Leave implements admin.Backend.
func (n *Node) Leave(ctx context.Context) error {
	if !n.inCluster() {
		return admin.ErrNotInCluster
	}
	switch r := n.raft.Load(); {
	case n.alone():
		return admin.WithHint(fmt.Errorf("%w: this is the cluster's only node", admin.ErrRefused), "stop it instead")
	case n.voter() && !otherVoter(r, n.o.ID):
		return admin.WithHint(fmt.Errorf("%w: this is the cluster's only voter: nobody else could lead it", admin.ErrRefused), "promote another node first")
	}
	if err := n.leavable(ctx); err != nil {
		return admin.WithHint(fmt.Errorf("%w: nothing was done: the node is a member and keeps its shards: %w", admin.ErrNoQuorum, err), hintLeave)
	}
	during, end := n.whileQuorum(ctx)
	defer end()
	n.addLeaving(1)
	if err := n.removeSelf(during); err != nil && n.inCluster() {
		n.addLeaving(-1) // or it would stay a member that gets nothing to do
		if cause := context.Cause(during); cause != nil {
			err = cause
		}
		return admin.WithHint(fmt.Errorf("%w: the node is still a member; shards that it has handed over stay where they are, or come back to it: %w", admin.ErrNoQuorum, err), hintLeave)
	}
	_ = n.members.Leave(time.Second) // gossip finds out by itself otherwise
	n.log.Info("left the cluster")
	n.leftOnce.Do(func() { close(n.left) })
	return nil
}

// leavable asks a quorum whether there is one.
func (n *Node) leavable(ctx context.Context) error {
	if err := n.awaitLeader(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, leaveQuorum, errors.New("no majority of the voters answers"))
	defer cancel()
	if err := n.catchUp(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return err
	}
	return nil
}

// whileQuorum returns a context that ends when no leader has answered this node for
// a while, or with end.
func (n *Node) whileQuorum(ctx context.Context) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		for last := time.Now(); pause(ctx, 50*time.Millisecond) == nil; {
			switch {
			case n.manager.Fresh():
				last = time.Now()
			case time.Since(last) > leavePatience:
				cancel(errQuorumLost)
			}
		}
	})
	return ctx, func() {
		cancel(nil)
		watch.Wait()
	}
}

// removeSelf hands everything over and has the leader remove this node.
func (n *Node) removeSelf(ctx context.Context) error {
	n.handOver(ctx)
	err := abdicate(ctx, n.o.ID, n.raft.Load())
	if err == nil {
		_, err = n.askLeader(ctx, clusterRequest{Kind: "remove", ID: n.o.ID})
	}
	return err
}

// office is what there is to know and to do about the leadership.
type office interface {
	Leader() consensus.Leader
	TransferLeadership(ctx context.Context, to string) error
}

// abdicate waits until another node leads than this one, which gives its leadership
// away until it has none: a transfer fails while nobody has caught up, or while a
// backup is being restored.
func abdicate(ctx context.Context, self string, r office) error {
	ctx, cancel := context.WithTimeoutCause(ctx, abdicatePatience, errNoSuccessor)
	defer cancel()
	var failed error
	for {
		again := 5 * time.Millisecond
		switch l := r.Leader(); {
		case l.Known && l.ID != self:
			return nil
		case l.Known:
			failed, again = r.TransferLeadership(ctx, ""), abdicateAgain
		}
		if err := pause(ctx, again); err != nil {
			return errors.Join(err, failed)
		}
	}
}

// alone reports whether there is no other node.
func (n *Node) alone() bool { return len(n.raft.Load().Servers()) < 2 }

// handOver moves shards away, then leadership.
func (n *Node) handOver(ctx context.Context) {
	if n.alone() {
		return
	}
	for !n.manager.Idle() {
		select {
		case <-n.machine.Changed():
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			n.log.Warn("stopping with shards that could not be moved", zap.String("code", "handover_incomplete"))
			return
		}
	}
	r := n.raft.Load()
	if r.IsLeader() {
		if err := r.TransferLeadership(ctx, ""); err != nil {
			n.log.Warn("leadership not transferred", zap.String("code", "transfer_failed"), zap.Error(err))
		}
	}
}

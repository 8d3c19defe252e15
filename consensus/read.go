package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Barrier waits, on the leader, until every entry appended before is committed and applied here. It is an empty
// command, which the machine doesn't see: raft's own kind of barrier doesn't reach the followers' state machines, so
// they couldn't tell that they are past it.
func (r *Raft) Barrier(ctx context.Context) error {
	_, _, err := r.proposals.propose(nil).Wait(ctx)
	return err
}

// Verify asks a quorum whether this node still leads. It says nothing of the disk, and only of the moment in between
// call and return.
func (r *Raft) Verify(ctx context.Context) error { return r.verify.verify(ctx) }

// VerifyTerm asks a quorum whether this node leads, and has led since term began: one that was deposed and elected again
// may not have applied yet what was committed in between.
func (r *Raft) VerifyTerm(ctx context.Context, term uint64) error {
	if err := r.Verify(ctx); err != nil {
		return err
	}
	if now := r.Leader(); now.ID != r.opts.ID || now.Term != term {
		return fmt.Errorf("%w: the term changed", ErrNotLeader)
	}
	return nil
}

// LinearizableIndex returns, on the leader, an index that covers every entry committed before the call: a read of a
// state that is applied up to it is linearizable.
func (r *Raft) LinearizableIndex(ctx context.Context) (uint64, error) {
	before := r.Leader()
	if before.ID != r.opts.ID {
		return 0, ErrNotLeader
	}
	if term, ok := r.Established(); !ok || term != before.Term {
		// Nothing was committed in this term as far as is known: the commit index may lag what an older leader
		// answered. A barrier makes it cover that.
		index, _, err := r.proposals.propose(nil).Wait(ctx)
		return index, err
	}
	index := r.raft.CommitIndex()
	if err := r.VerifyTerm(ctx, before.Term); err != nil {
		return 0, err
	}
	return index, nil
}

// waitPoll is how often WaitApplied looks again for what nobody announces.
const waitPoll = 2 * time.Millisecond

// WaitApplied waits until the machine's state covers index.
func (r *Raft) WaitApplied(ctx context.Context, index uint64) error {
	for {
		applied, raised := r.fsm.applied.next()
		if applied >= index || r.coversTail(index, applied) {
			return nil
		}
		select {
		case <-raised:
		case <-time.After(waitPoll):
		case <-ctx.Done():
			return fmt.Errorf("wait for index %d, applied %d: %w", index, applied, context.Cause(ctx))
		case <-r.ctx.Done():
			return ErrShutdown
		}
	}
}

// coversTail reports whether only entries that never reach a state machine lie between applied and index.
func (r *Raft) coversTail(index, applied uint64) bool {
	if r.raft.CommitIndex() < index {
		return false
	}
	for i := index; i > applied; i-- {
		var l raft.Log
		if err := r.logs.GetLog(i, &l); err != nil {
			return false // compacted, so a snapshot covers it, and the watermark will tell
		}
		if l.Type != raft.LogNoop && l.Type != raft.LogBarrier {
			return false
		}
	}
	return true
}

// verifyTimeout bounds one round. Raft itself answers at the latest when the leader's lease ends.
const verifyTimeout = 3 * time.Second

// verifier shares rounds of VerifyLeader: callers that come while a round is in flight wait for the next one together,
// since a round that began before a call proves nothing about the time after it.
type verifier struct {
	r *Raft

	mu sync.Mutex
	// next is the round that callers join, nil if there are none yet; flying is true while another is in flight.
	next   *round
	flying bool
}

type round struct {
	// done is closed when err is final.
	done chan struct{}
	err  error
}

func newVerifier(r *Raft) *verifier { return &verifier{r: r} }

func (v *verifier) verify(ctx context.Context) error {
	v.mu.Lock()
	if v.next == nil {
		v.next = &round{done: make(chan struct{})}
	}
	mine := v.next
	if !v.flying {
		v.launch()
	}
	v.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return unknown(context.Cause(ctx))
	}
}

// launch starts the next round. The lock is held.
func (v *verifier) launch() {
	cur := v.next
	v.next = nil
	v.flying = v.r.spawnIn(&v.r.rounds, func() {
		cur.err = v.ask()
		close(cur.done)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.flying = false
		if v.next != nil {
			v.launch()
		}
	})
	if !v.flying {
		cur.err = ErrShutdown
		close(cur.done)
	}
}

// ask has raft verify that this node leads, until a majority has said so to requests that were sent since: see acks.
func (v *verifier) ask() error {
	begun, limit := time.Now(), time.NewTimer(verifyTimeout)
	defer limit.Stop()
	for {
		term := v.r.raft.CurrentTerm()
		answer := make(chan error, 1)
		go func() { answer <- v.r.raft.VerifyLeader().Error() }()
		select {
		case err := <-answer:
			if errors.Is(err, raft.ErrLeadershipLost) {
				return fmt.Errorf("%w: %w", ErrNotLeader, err)
			}
			if err != nil || v.r.wire.acks.quorum(v.r.Servers(), v.r.opts.ID, term, begun) {
				return classify(err)
			}
		case <-limit.C:
			return unknown(context.DeadlineExceeded)
		}
	}
}

package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// retryMin and retryMax bound the pause between two attempts of Propose.
const (
	retryMin = 2 * time.Millisecond
	retryMax = 100 * time.Millisecond
)

// Propose proposes a command until it is applied or ctx ends, over changes of the leader: the same bytes, since a
// command is idempotent. If ctx ends, the error says whether an attempt may have been appended.
func (p *Proposer) Propose(ctx context.Context, cmd []byte) ([]byte, error) {
	type outcome struct {
		res []byte
		err error
	}
	var maybe error // the first attempt whose outcome is unknown
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		answer := make(chan outcome, 1)
		err := p.SubmitContext(ctx, cmd, func(res []byte, err error) { answer <- outcome{res, err} })
		if err == nil {
			select {
			case o := <-answer:
				if o.err == nil {
					return o.res, nil
				}
				err = o.err
			case <-ctx.Done():
				return nil, unknown(context.Cause(ctx))
			}
		}
		if maybe == nil && !NotAppended(err) {
			maybe = err
		}
		if errors.Is(err, ErrClosed) || errors.Is(err, ErrTooLarge) || !sleep(ctx, pause) {
			return nil, errors.Join(maybe, err, context.Cause(ctx))
		}
	}
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// LinearizableIndex returns an index that covers every entry committed before the call, as the leader says: once this
// node has applied it, its state is fresh. It works on every node.
func (p *Proposer) LinearizableIndex(ctx context.Context) (uint64, error) {
	sent := time.Now()
	index, err := p.askIndex(ctx)
	if err != nil {
		return 0, err
	}
	p.setVerified(sent)
	return index, nil
}

func (p *Proposer) askIndex(ctx context.Context) (uint64, error) {
	leader := p.o.Raft.Leader()
	switch {
	case !leader.Known:
		return 0, ErrNoLeader
	case leader.ID == p.o.Raft.opts.ID:
		return p.o.Raft.LinearizableIndex(ctx)
	}
	answer, err := p.o.Caller.Call(ctx, leader.Addr, []byte{askIndex})
	if err != nil {
		return 0, fmt.Errorf("ask leader %s: %w", leader.ID, err)
	}
	index, _, err := decodeOutcome(answer)
	return index, err
}

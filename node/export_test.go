package node

import (
	"context"

	"github.com/botnode/botnode/fsm"
)

// ProposeRaw proposes an encoded command through this node.
func (n *Node) ProposeRaw(ctx context.Context, cmd []byte) (fsm.Result, error) {
	b, err := n.proposer.Propose(ctx, cmd)
	if err != nil {
		return fsm.Result{}, err
	}
	return fsm.DecodeResult(b)
}

// RunSteps runs the first n steps of a recovery, as one that is cut off does, and
// reports whether there are more.
func (r *Recovery) RunSteps(n int) (more bool, err error) {
	steps := r.steps(false)
	for _, step := range steps[:n] {
		if err := step(); err != nil {
			return false, err
		}
	}
	return n < len(steps), nil
}

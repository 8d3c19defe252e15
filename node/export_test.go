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

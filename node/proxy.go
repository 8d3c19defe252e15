package node

import (
	"context"
	"errors"

	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/proxy"
	"github.com/botnode/botnode/shard"
)

var _ proxy.Backend = (*Node)(nil)

// ViewState implements proxy.Backend.
func (n *Node) ViewState(f func(*fsm.State)) { n.State(f) }

// ProposeState implements proxy.Backend.
func (n *Node) ProposeState(ctx context.Context, build func(*fsm.State) fsm.Command) (fsm.Result, error) {
	return n.propose(ctx, build)
}

// Serving implements proxy.Backend.
func (n *Node) Serving() error {
	draining := false
	n.State(func(s *fsm.State) {
		known, _ := s.Node(n.o.ID)
		draining = known.Draining
	})
	switch {
	case n.ctx.Err() != nil || n.leaving.Load():
		return errors.New("the node stops")
	case !n.registered():
		return errors.New("the cluster doesn't count on this node")
	case draining:
		return errors.New("the node is draining")
	case !n.manager.Fresh():
		return shard.ErrNotFresh
	}
	return nil
}

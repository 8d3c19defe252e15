package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/proxy"
)

var _ proxy.Backend = (*Node)(nil)

// Why this node may not serve clients of the proxy.
var (
	errNotMember  = errors.New("it is in no cluster yet")
	errNotFresh   = errors.New("no leader has answered it of late")
	errUnknown    = errors.New("the cluster doesn't count on it yet")
	errNodeDrains = fmt.Errorf("%w: it is being drained", proxy.ErrLeaving)
	errStops      = fmt.Errorf("%w: it is stopping", proxy.ErrLeaving)
)

// (Sync, which proxy.Backend wants, is admin.Backend's.)

// ViewState implements proxy.Backend.
func (n *Node) ViewState(f func(*fsm.State)) { n.State(f) }

// ProposeState implements proxy.Backend.
func (n *Node) ProposeState(ctx context.Context, build func(*fsm.State) fsm.Command) (fsm.Result, error) {
	if !n.inCluster() {
		return fsm.Result{}, errNotMember
	}
	res, err := n.propose(ctx, build)
	if err != nil {
		return res, err
	}
	// Whoever leads has applied it; what was committed by then is what this
	// node waits for.
	return res, n.catchUp(ctx)
}

// Serving implements proxy.Backend.
func (n *Node) Serving() error {
	switch {
	case n.ctx.Err() != nil || n.leaving.Load() > 0:
		return errStops
	case !n.inCluster():
		return errNotMember
	case !n.manager.Fresh():
		return errNotFresh
	}
	err := errUnknown
	n.machine.View(func(_ uint64, s *fsm.State) {
		me, ok := s.Node(n.o.ID)
		switch {
		case !ok || !s.IsUp(n.self):
		case me.Draining:
			err = errNodeDrains
		default:
			err = nil
		}
	})
	return err
}

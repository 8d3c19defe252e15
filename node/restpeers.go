package node

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/botnode/botnode/discord/rest"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/transport"
)

// restPeers reaches the limiters of one bot on the other nodes.
type restPeers struct {
	n   *Node
	bot string
}

var _ rest.Peers = restPeers{}

// Call implements rest.Peers. The message names the process that it is for: the
// next one of the node has the same address, and would take what was meant for
// another's books into its own, where nobody ever ends it.
func (p restPeers) Call(ctx context.Context, to rest.Member, msg []byte) ([]byte, error) {
	addr, ok := p.n.addrOf(to.ID)
	if !ok {
		return nil, errors.New("the address of node " + to.ID + " is not known")
	}
	b := binary.AppendUvarint(make([]byte, 0, len(p.bot)+len(msg)+2*binary.MaxVarintLen64), to.Inc)
	b = binary.AppendUvarint(b, uint64(len(p.bot)))
	return p.n.transport.Call(ctx, addr, methodREST, append(append(b, p.bot...), msg...))
}

// handleREST gives a message to the limiter of the bot that it names. It doesn't block.
func (n *Node) handleREST(from transport.Peer, req []byte, reply func([]byte, error)) {
	inc, read := binary.Uvarint(req)
	if read > 0 && inc != n.self.Inc {
		reply(nil, errors.New("this is not the process that the message is for"))
		return
	}
	req = req[max(read, 0):]
	size, read := binary.Uvarint(req)
	if read <= 0 || size > uint64(len(req)-read) {
		reply(nil, errors.New("unreadable message of a REST limiter: is the node of another version?"))
		return
	}
	bot, msg := string(req[read:read+int(size)]), req[read+int(size):]
	rt := n.bots[bot]
	if rt == nil {
		reply(nil, errors.New("no bot "+bot+" in this node's program"))
		return
	}
	l := rt.clusterLimiter()
	if l == nil {
		reply(nil, errNotReady)
		return
	}
	l.Handle(rest.Member{ID: from.ID, Inc: from.Incarnation}, msg, reply)
}

// clusterLimiter returns the bot's limiter, nil before there is one.
func (rt *botRuntime) clusterLimiter() *rest.Cluster {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.limiter
}

// view returns which processes are alive, as this node has applied it.
func (n *Node) view() rest.View {
	var v rest.View
	n.machine.View(func(index uint64, s *fsm.State) {
		v.Number = index
		for _, id := range s.Nodes() {
			if node, ok := s.Node(id); ok && node.Up {
				v.Members = append(v.Members, rest.Member{ID: id, Inc: node.Inc})
			}
		}
	})
	return v
}

// followViews tells the limiters when a process has come or gone.
func (n *Node) followViews() {
	for _, rt := range n.bots {
		_, _, _ = rt.client() // it keeps buckets of others', before it has sent anything; an API that is wrong fails requests
	}
	var last rest.View
	for {
		changed := n.machine.Changed()
		v := n.view()
		same := sameMembers(v.Members, last.Members)
		last = v
		for _, rt := range n.bots {
			switch l := rt.clusterLimiter(); {
			case l == nil:
			case same: // a view that came and went at one step isn't waited for
				l.SeenUpTo(v.Number)
			default:
				l.SetView(v)
			}
		}
		select {
		case <-n.ctx.Done():
			return
		case <-changed:
		}
	}
}

// sameMembers compares two sets.
func sameMembers(a, b []rest.Member) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(m rest.Member) bool { return !slices.Contains(b, m) })
}

// setReachable tells the limiters whether a node answers.
func (n *Node) setReachable(id string, ok bool) {
	for _, rt := range n.bots {
		if l := rt.clusterLimiter(); l != nil {
			l.SetReachable(id, ok)
		}
	}
}

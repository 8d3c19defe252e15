package node

import "context"

// TakeSnapshot has raft take a snapshot, as it does once its log has grown.
func (n *Node) TakeSnapshot(ctx context.Context) error { return n.raft.Load().Snapshot(ctx) }

// Ask calls the node at addr, over the connection that stands if there is one.
func (n *Node) Ask(ctx context.Context, addr string) error {
	_, err := n.askReport(ctx, addr)
	return err
}

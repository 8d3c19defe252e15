package node

import "context"

// TakeSnapshot has raft take a snapshot, as it does once its log has grown.
func (n *Node) TakeSnapshot(ctx context.Context) error { return n.raft.Load().Snapshot(ctx) }

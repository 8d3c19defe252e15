// Package membership knows who is in the cluster, where each node is reached,
// and whether it seems to be alive; and it holds the rules by which a node gets
// into a cluster in the first place.
//
// The first half is gossip: memberlist over the cluster port, each node with a
// compact Meta. All of it is a hint. Nothing here decides who leads, who owns a
// shard, or who is a voter: raft and the replicated state do. A node that gossip
// calls dead may be alive, and is fenced by epochs, not by this package.
//
// The second half is pure: Identity is the small file in the data directory that
// says which node and which cluster the directory belongs to, and
// DecideJoinRequest is what a node answers to a request to join.
package membership

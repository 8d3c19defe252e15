// Package consensus is a thin wrapper over hashicorp/raft: it proposes entries, reads at a linearizable index, changes
// the membership, takes snapshots, and elects a new leader within milliseconds of a confirmed death.
//
// It refuses to know what an entry means: a [Machine] applies opaque bytes, a [Proposer] batches opaque commands with an
// encoder that it is given. It knows nothing of Discord, of shards, or of how peers find each other; the network is a
// [StreamLayer] for Raft's own streams and a [Caller] for single requests.
//
// What the wrapper adds to the library, and why, is told in docs/design/consensus.md:
//
//   - errors fall into three classes: surely not appended, unknown, shut down (errors.go);
//   - the log store is guarded, so that a stalled or failing disk ends the process instead of keeping its leadership
//     (guard.go);
//   - caches, trailing logs and the snapshot trigger are sized in bytes (cache.go, sizes.go, snapshot.go);
//   - leadership is level-triggered and counts only once a barrier succeeded (leadership.go);
//   - a restarted follower is caught up at once, not after the library's backoff of up to ten seconds (wire.go);
//   - fast election: a pure rule and thin I/O (election_rule.go, election.go).
package consensus

// Package model is a deterministic simulation of the ownership protocol.
//
// It runs the rules that a cluster runs: fsm.Machine on every node, shard.Owner
// for every node and shard, shard.Lanes on every node and shard.Leader for
// every term. Around them it puts a model of what they are exposed to: clocks
// that are never compared, a network that loses, delays, repeats and reorders,
// a log whose leader changes, processes that die, restart and freeze, and a
// Discord with several sessions a shard. Clients of the proxy follow it from
// whatever node they reach, operators disconnect shards and restore backups,
// programs write to the store under locks. One seed is one history; the same
// seed gives the same history again.
//
// An oracle applies the log beside the nodes, one command at a time, and
// judges every step by the invariants of the design: I1 to I9, and I10 for what
// clients are sent, I11 for writes and locks. The package models no Raft, no
// socket and no JSON: these have tests of their own. Neither does it model the
// limiter of REST requests, whose leases are exercised in a time of their own by
// package rest (TestClusterExceedsNoLimit), nor the rule of the fast election,
// for which package consensus does the same (TestElectionInTime).
package model

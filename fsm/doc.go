// Package fsm is the replicated state machine of a cluster: nodes, and for
// every bot its shards with their gateway sessions, identify permits, journal,
// key-value store, configuration and caches.
//
// A log entry is a batch of commands. Each command is one type in which its
// encoding and its effect stand side by side; the table in command.go lists
// them all. A command whose guard fails changes nothing and its Result says
// why. Every command is safe to propose again with the same bytes, because
// every error of a proposal means that its outcome is unknown.
//
// Apply is total and deterministic. The package reads no clock, draws no
// random number, logs nothing, and knows neither Raft nor the network: what
// depends on these is stamped into a command by whoever proposes it. It does
// not decide anything either: who is granted what is decided in package shard.
package fsm

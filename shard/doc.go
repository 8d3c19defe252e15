// Package shard decides who runs a bot's shards and what an owner does: the
// ownership protocol over the replicated state.
//
// Its rules are pure: Owner (a node's side of one shard), Leader (the side of
// the cluster's leader), Lanes (which journal entry may start) and Place
// (which node gets which shard) take the time, the applied state and what was
// heard, and return actions. They do no I/O, start no goroutine and read no
// clock, so the simulation in test/model runs the very code that runs a
// cluster. Manager, runner and Dispatcher are the thin loops that carry the
// actions out.
//
// The package never changes replicated state by itself: it proposes commands
// of package fsm, and believes only what has been applied.
package shard

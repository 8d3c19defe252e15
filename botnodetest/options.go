package botnodetest

import (
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// Option changes what Start starts.
type Option func(*options)

type options struct {
	nodes   int
	shards  int
	disk    bool
	timeout time.Duration
	discord []func(*sim.Options)
}

// Nodes sets the number of nodes; 1 if it isn't given. They are named node1,
// node2 and so on. Of three, one may be killed at a time.
func Nodes(n int) Option { return func(o *options) { o.nodes = n } }

// Shards sets the number of shards; 1 if it isn't given. Guild i belongs to
// shard i modulo n, so that with as many guilds each shard has one.
func Shards(n int) Option { return func(o *options) { o.shards = n } }

// OnDisk keeps the nodes' state in temporary directories, as in production,
// rather than in memory. It is slower by the time of the disk's fsync.
func OnDisk() Option { return func(o *options) { o.disk = true } }

// Timeout sets how long a step may take before it fails the test; 10 s if it
// isn't given.
func Timeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// Discord changes the simulated Discord: the size of its guilds, its limits, and
// how it behaves where Discord's documents leave it open. Without it there are
// two guilds of ten members or, with more shards, one for each, and no limits.
func Discord(f func(*sim.Options)) Option {
	return func(o *options) { o.discord = append(o.discord, f) }
}

func collect(opts []Option) options {
	o := options{nodes: 1, shards: 1, timeout: 10 * time.Second}
	for _, f := range opts {
		f(&o)
	}
	return o
}

// world returns the simulator's options.
func (o *options) world() sim.Options {
	w := sim.Options{
		Guilds: max(2, o.shards), Members: 10, Shards: o.shards, MaxConcurrency: o.shards,
		GlobalLimit: -1, NoRouteLimits: true, ReplayBuffer: -1,
	}
	for _, f := range o.discord {
		f(&w)
	}
	return w
}

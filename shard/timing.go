package shard

import "time"

// Timing holds the protocol's intervals. Both sides of the protocol must use
// the same.
type Timing struct {
	// Fresh (F) is how long a node may act after it sent the newest request
	// that a verified leader answered.
	Fresh time.Duration
	// Permit (T) is how long after asking an owner may use a permit.
	Permit time.Duration
	// Identify is Discord's interval between identifies of one key
	// (events/gateway.mdx, "Rate Limiting").
	Identify time.Duration
	// Handoff bounds how long a planned target waits for the old owner to
	// drop its connection before it resumes.
	Handoff time.Duration
	// Prepare bounds how long a planned target holds a connection at HELLO.
	Prepare time.Duration
	// Drain bounds how long an old owner may run entries after a planned move.
	Drain time.Duration
	// Ask is the interval at which a waiting owner asks for a permit again.
	Ask time.Duration
	// Retry is the wait before a proposal of unknown outcome is repeated.
	Retry time.Duration
	// Answer bounds how long Discord may take to answer RESUME or IDENTIFY.
	Answer time.Duration
	// BackoffMax bounds the wait between two dials.
	BackoffMax time.Duration
	// Unreached is for how long an owner dials in vain before it says so.
	Unreached time.Duration
	// Avoid is for how long a node that could not connect a shard gets no others
	// where there is a choice.
	Avoid time.Duration
}

// DefaultTiming returns the intervals of a cluster.
func DefaultTiming() Timing {
	return Timing{
		Fresh:      time.Second,
		Permit:     2 * time.Second,
		Identify:   5 * time.Second,
		Handoff:    20 * time.Millisecond,
		Prepare:    5 * time.Second,
		Drain:      30 * time.Second,
		Ask:        500 * time.Millisecond,
		Retry:      20 * time.Millisecond,
		Answer:     30 * time.Second,
		BackoffMax: 30 * time.Second,
		Unreached:  5 * time.Second,
		Avoid:      30 * time.Second,
	}
}

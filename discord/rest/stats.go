package rest

import (
	"sync/atomic"
	"time"
)

// Stats is a snapshot of what a RoundTripper has done and does.
type Stats struct {
	Requests int64           // requests of callers
	Waiting  int64           // those that wait for a limit now
	Inflight int64           // those on the wire now
	Retries  int64           // repetitions, for whatever reason
	Limited  map[Scope]int64 // 429s, by scope
	Invalid  int             // invalid requests of the last ten minutes
	Others   int             // those of the cluster's other nodes
	Buckets  int             // buckets kept, if the limiter is this node's own
}

// counters holds the live numbers.
type counters struct {
	requests, waiting, inflight, retries atomic.Int64
	user, global, shared, edge           atomic.Int64
}

// limited counts a 429.
func (c *counters) limited(s Scope) {
	switch s {
	case ScopeGlobal:
		c.global.Add(1)
	case ScopeShared:
		c.shared.Add(1)
	case ScopeEdge:
		c.edge.Add(1)
	default:
		c.user.Add(1)
	}
}

// Stats returns the present numbers.
func (t *RoundTripper) Stats() Stats {
	s := Stats{
		Requests: t.stats.requests.Load(), Waiting: t.stats.waiting.Load(),
		Inflight: t.stats.inflight.Load(), Retries: t.stats.retries.Load(),
		Invalid: t.refusals.count(time.Now()), Others: t.othersInvalid(),
		Limited: map[Scope]int64{
			ScopeUser: t.stats.user.Load(), ScopeGlobal: t.stats.global.Load(),
			ScopeShared: t.stats.shared.Load(), ScopeEdge: t.stats.edge.Load(),
		},
	}
	if l, ok := t.limiter.(interface{ count() int }); ok {
		s.Buckets = l.count()
	}
	return s
}

package rest

import (
	"context"
	"time"
)

// Limiter decides when a request may go on the wire. The one of this package
// counts for one node; a cluster's asks whoever keeps the bucket.
type Limiter interface {
	// Acquire returns once the request may be sent. It keeps the order of the
	// requests' ages within a bucket, and lets no bucket wait for another. If the wait
	// would outlast the context's deadline it returns a *RateLimitError at once.
	// It is safe for concurrent use.
	Acquire(ctx context.Context, r Request) (Permit, error)
}

// Permit is the right to send one request. Done must be called exactly once,
// when the answer's headers are there or when it is known that none will come.
type Permit interface {
	Done(a Answer)
}

// Identity is whose limits a request counts for: limits are counted by what
// authorizes the request (topics/rate-limits.mdx).
type Identity uint8

// The identities of a request.
const (
	IdentityBot    Identity = iota // the bot's token
	IdentityNone                   // no Authorization header: counted for the IP address
	IdentityBearer                 // an OAuth2 token of the caller's
	identities                     // how many there are
)

// Request is what a Limiter needs to know of a request.
type Request struct {
	// Route names the method and template: what a bucket is learnt for.
	Route string
	// Major is the top-level resource.
	Major string
	// Identity is whose limits count.
	Identity Identity
	// Exempt is true for what the global limit doesn't bind.
	Exempt bool
	// Since is when the request began to wait: who has waited for longest goes
	// first. A repeated request keeps it, and so its place. No two requests of one
	// RoundTripper have the same. Another node is told the age, never the time.
	Since time.Time
	// Template is shown in errors.
	Template string
	// private keeps the request out of the cluster's buckets: this node counts for itself.
	private bool
}

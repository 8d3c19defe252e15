package rest

import "context"

// Limiter decides when a request may go on the wire. The one of this package
// counts for one node; a cluster's asks whoever keeps the bucket.
type Limiter interface {
	// Acquire returns once the request may be sent. It keeps the order of the
	// tickets within a bucket, and lets no bucket wait for another. If the wait
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
	// Ticket is the request's place in line: lower goes first. A repeated
	// request keeps its ticket, and so its place.
	Ticket uint64
	// Template is shown in errors.
	Template string
}

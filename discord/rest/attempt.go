package rest

import (
	"context"
	"sync"
)

// Attempt is one run of one handler for one event. Its requests carry it in
// their context; the RoundTripper gives their messages nonces that a later
// attempt repeats, and asks its gate before each write.
type Attempt struct {
	bot, sid, handler string
	seq               uint64
	gate              func() error

	mu       sync.Mutex        // guards all below
	ordinals map[string]uint64 // calls so far, by method and path
	pending  int               // calls without an answer yet
	idle     chan struct{}     // closed when pending is back at 0; nil while nobody waits
}

// AttemptOptions says which handler runs for which event.
type AttemptOptions struct {
	Bot, SID string
	Seq      uint64
	Handler  string
	// Gate, if set, is asked before each write. Its error fails the request: the
	// entry has another runner by now.
	Gate func() error
}

// NewAttempt returns the attempt of one run. A second run of the same handler
// for the same event needs a new one, so that its calls are counted from the start.
func NewAttempt(o AttemptOptions) *Attempt {
	return &Attempt{
		bot: o.Bot, sid: o.SID, seq: o.Seq, handler: o.Handler, gate: o.Gate,
		ordinals: map[string]uint64{},
	}
}

// Wait returns when every request of the attempt has its answer, or the context
// is done. Done of an entry is proposed after it: a request on its way is an
// effect whose outcome nobody knows yet.
func (a *Attempt) Wait(ctx context.Context) error {
	a.mu.Lock()
	if a.pending == 0 {
		a.mu.Unlock()
		return nil
	}
	if a.idle == nil {
		a.idle = make(chan struct{})
	}
	idle := a.idle
	a.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin counts a request in. It works on nil.
func (a *Attempt) begin() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending++
}

// end counts it out.
func (a *Attempt) end() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending--; a.pending == 0 && a.idle != nil {
		close(a.idle)
		a.idle = nil
	}
}

// nonce returns the nonce of the next message to a route.
func (a *Attempt) nonce(method, route, key string) string {
	p := NonceParts{
		Bot: a.bot, SID: a.sid, Seq: a.seq, Handler: a.handler,
		Method: method, Route: route, Key: key,
	}
	if key == "" {
		a.mu.Lock()
		p.Ordinal = a.ordinals[method+" "+route]
		a.ordinals[method+" "+route]++
		a.mu.Unlock()
	}
	return Nonce(p)
}

// contextKey keeps the package's context values apart.
type contextKey uint8

const (
	attemptKey contextKey = iota
	nonceKey
	safeKey
	waitKey
)

// WithAttempt returns a context whose requests belong to the attempt.
func WithAttempt(ctx context.Context, a *Attempt) context.Context {
	return context.WithValue(ctx, attemptKey, a)
}

// AttemptFrom returns the attempt of a context, or nil.
func AttemptFrom(ctx context.Context) *Attempt {
	a, _ := ctx.Value(attemptKey).(*Attempt)
	return a
}

// WithNonceKey returns a context whose messages take their nonce from the
// author's key in place of the order of the calls: for handlers that don't call
// in the same order each time. Two messages under one key to one channel are one message.
func WithNonceKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, nonceKey, key)
}

// Safe returns a context whose requests may be repeated after a 5xx or a broken
// connection although their method isn't idempotent. The caller vouches that a
// second one does no harm, as with a nonce and enforce_nonce in the body.
func Safe(ctx context.Context) context.Context {
	return context.WithValue(ctx, safeKey, true)
}

// isSafe is true under Safe.
func isSafe(ctx context.Context) bool {
	safe, _ := ctx.Value(safeKey).(bool)
	return safe
}

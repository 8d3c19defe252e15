package rest

import (
	"context"
	"io"
	"net/http"
	"time"
)

// What is in this file serves requests that somebody else made and that are only
// passed on: the proxy's.

// WithWaitUntil returns a context whose requests wait for limits until a moment
// and no longer, however long their answers may take then. A request that would
// have to wait longer fails at once with a [RateLimitError].
func WithWaitUntil(ctx context.Context, until time.Time) context.Context {
	return context.WithValue(ctx, waitKey, until)
}

// waitUntil returns the moment of WithWaitUntil, or zero.
func waitUntil(ctx context.Context) time.Time {
	until, _ := ctx.Value(waitKey).(time.Time)
	return until
}

// AddNonce puts a nonce and enforce_nonce into the body of a Create Message
// request, JSON or a form, and makes the body repeatable. It reads the body into
// memory. A body with a nonce of its own, one that says enforce_nonce: false, and
// one that can't be read pass as they are. It returns whether the message may be
// sent twice and appear once.
func AddNonce(req *http.Request, nonce string) (safe bool, err error) {
	return addNonce(req, func() string { return nonce })
}

// AddNonceForm is AddNonce for a form that is copied while it is read; dst gets
// it under the same boundary. Its files are not held in memory.
func AddNonceForm(dst io.Writer, src io.Reader, boundary, nonce string) (safe bool, err error) {
	return copyForm(dst, src, boundary, func() string { return nonce })
}

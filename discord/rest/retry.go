package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

const (
	// maxLimited is how many 429s one request obeys before it gives up.
	maxLimited = 8
	// maxDrain bounds what is read of an answer that nobody gets.
	maxDrain = 64 << 10
	// firstBackoff is the wait before the first repetition; it doubles each time.
	firstBackoff = 250 * time.Millisecond
)

// idempotent is true for the methods whose repetition has the effect of one
// (RFC 9110, 9.2.2). PATCH isn't among them.
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// isUnsent is true for an error that came before a byte was sent: no connection was made.
func isUnsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// lostUnless is the fate of a request without an answer.
func lostUnless(unsent bool) Fate {
	if unsent {
		return Unsent
	}
	return Lost
}

// replayable is true if the body can be sent once more.
func (c *call) replayable() bool {
	return c.out.Body == nil || c.out.Body == http.NoBody || c.out.GetBody != nil
}

// rewind makes the body ready to be sent once more.
func (c *call) rewind() error {
	if c.out.GetBody == nil {
		return nil
	}
	body, err := c.out.GetBody()
	if err != nil {
		return err
	}
	c.out = c.out.Clone(c.out.Context())
	c.out.Body = body
	return nil
}

// afterError says whether to repeat a request that got no answer: only if a
// second one can't act twice, or the first can't have acted.
func (c *call) afterError(unsent bool) again {
	if c.original.Context().Err() == nil && (c.safe || unsent) && c.replayable() {
		return againFailed
	}
	return againNo
}

// answered says whether to repeat a request that got an answer.
func (c *call) answered(a Answer, res *http.Response, limited int) (*http.Response, again, error) {
	switch {
	case a.Status == http.StatusTooManyRequests && c.replayable():
		if limited >= maxLimited {
			return nil, againNo, &RateLimitError{RetryAfter: a.RetryAfter, Route: c.route.Template, Scope: a.Scope}
		}
		return nil, againLimited, nil
	case a.Status >= 500 && c.safe && c.replayable():
		return res, againFailed, nil
	}
	return res, againNo, nil
}

// drain reads an answer to its end, so that its connection can be used again, and
// returns what it read. The answer can still be read by the caller.
func drain(res *http.Response) []byte {
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxDrain)) // a cut body only lacks its retry_after
	_ = res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(body))
	return body
}

// unknownWebhook reads a 404's error code: 10015 means the webhook itself
// (topics/opcodes-and-status-codes.mdx, "JSON"). The answer can still be read.
func unknownWebhook(res *http.Response) bool {
	head, err := io.ReadAll(io.LimitReader(res.Body, maxDrain))
	res.Body = prefixed{io.MultiReader(bytes.NewReader(head), res.Body), res.Body}
	var b struct {
		Code int `json:"code"`
	}
	return err == nil && json.Unmarshal(head, &b) == nil && b.Code == 10015
}

// backoff is the wait before the n-th repetition, with jitter so that nodes don't return together.
func backoff(n int) time.Duration {
	d := firstBackoff << min(n, 5)
	return d/2 + rand.N(d/2)
}

// timeFor is true if the context allows for a wait.
func timeFor(ctx context.Context, d time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > d
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

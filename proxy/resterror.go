package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/botnode/botnode/discord/rest"
	"github.com/botnode/botnode/shard"
)

// apiError is an answer of the proxy's own, in the form of Discord's errors
// (reference.mdx, "Error Messages") and with what is botnode's below it.
type apiError struct {
	status  int
	message string
	code    int    // Discord's, 0 for general errors
	own     string // botnode's name of it, docs/errors.md
	retry   bool   // the same request may succeed later, and does no harm

	after  time.Duration // of a 429
	scope  rest.Scope    // of a 429
	global bool          // of a 429
	hangUp bool          // the connection ends with it
}

// The errors that need no more than their name. Messages and codes are Discord's
// where Discord has one (topics/opcodes-and-status-codes.mdx, "JSON").
var (
	errNotFound     = &apiError{status: http.StatusNotFound, message: "404: Not Found", own: "not_found"}
	errVersion      = &apiError{status: http.StatusBadRequest, message: "Invalid API version specified", code: 50041, own: "api_version"}
	errMethod       = &apiError{status: http.StatusMethodNotAllowed, message: "405: Method Not Allowed", own: "method"}
	errUnauthorized = &apiError{status: http.StatusUnauthorized, message: "401: Unauthorized", own: "client_key"}
	errRights       = &apiError{status: http.StatusForbidden, message: "Missing Access: the client key doesn't have the right to send this request", code: 50001, own: "client_rights"}
	errTooLarge     = &apiError{status: http.StatusRequestEntityTooLarge, message: "Request entity too large", code: 40005, own: "too_large", hangUp: true}
	errSlowBody     = &apiError{status: http.StatusRequestTimeout, message: "the request's body came too slowly", own: "slow_body", retry: true, hangUp: true}
	errForm         = &apiError{status: http.StatusBadRequest, message: "the request's body is not a form that can be read", code: 50035, own: "bad_form", hangUp: true}
	errBusy         = &apiError{status: http.StatusServiceUnavailable, message: "this node has too many requests under way", own: "busy", retry: true}
	errNotFresh     = &apiError{status: http.StatusServiceUnavailable, message: "this node has lost its cluster for the moment", own: "not_fresh", retry: true}
	errClosing      = &apiError{status: http.StatusServiceUnavailable, message: "this node stops", own: "closing", retry: true, hangUp: true}
	errNoBot        = &apiError{status: http.StatusServiceUnavailable, message: "this node doesn't run the client key's bot", own: "no_bot"}
	errBotRefused   = &apiError{status: http.StatusBadGateway, message: "Discord refuses the bot's token; the client key is right", own: "bot_refused"}
	errRedirect     = &apiError{status: http.StatusBadGateway, message: "Discord's API answered with a redirect, which is not followed", own: "redirect"}
	errWebhookGone  = &apiError{status: http.StatusNotFound, message: "Unknown Webhook", code: 10015, own: "webhook_gone"}
	errMaxWait      = &apiError{status: http.StatusBadRequest, message: "Botnode-Max-Wait: a duration such as 2.5s is wanted, from 0s to 15m", own: "max_wait"}
	errIdempotency  = &apiError{status: http.StatusBadRequest, message: "Botnode-Idempotency-Key has 1 to 256 characters", own: "idempotency_key"}
	errPanic        = &apiError{status: http.StatusInternalServerError, message: "500: Internal Server Error", own: "proxy_panic"}
)

// tooMany is a 429 of the proxy's own.
func tooMany(after time.Duration, own string) *apiError {
	return &apiError{status: http.StatusTooManyRequests, own: own, retry: true, after: after, scope: rest.ScopeUser}
}

// ofError says what a client is told of a request that got no answer. The text
// of err isn't shown: it may hold addresses of the inside.
func ofError(err error, repeatable bool) *apiError {
	if limit, ok := errors.AsType[*rest.RateLimitError](err); ok {
		e := tooMany(limit.RetryAfter, "rate_limited")
		e.scope, e.global = limit.Scope, limit.Scope == rest.ScopeGlobal
		if limit.Scope == rest.ScopeEdge { // it is about everything that this node sends
			e.scope, e.global = rest.ScopeGlobal, true
		}
		return e
	}
	switch {
	case errors.Is(err, shard.ErrNotFresh):
		return errNotFresh
	case errors.Is(err, rest.ErrUnauthorized), errors.Is(err, rest.ErrNoToken):
		return errBotRefused
	case errors.Is(err, rest.ErrWebhookGone):
		return errWebhookGone
	case errors.Is(err, rest.ErrClosed):
		return errClosing
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return &apiError{status: http.StatusBadGateway, message: "Discord did not answer in time; whether the request had an effect is not known", own: "discord_timeout", retry: repeatable}
	}
	return &apiError{status: http.StatusBadGateway, message: "Discord can't be reached, or broke the connection off", own: "discord_unreachable", retry: repeatable}
}

// write answers with the error. A header that is out already can't be changed.
func (e *apiError) write(w http.ResponseWriter) {
	h := w.Header()
	clear(h) // what an answer of Discord's left there
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	// discord.py takes a 429 without Via for a ban of the address.
	h.Set("Via", "1.1 botnode")
	if e.hangUp {
		h.Set("Connection", "close")
	}
	own := map[string]any{"error": e.own, "retryable": e.retry}
	body := map[string]any{"message": e.message, "code": e.code, "botnode": own}
	switch {
	case e.status == http.StatusTooManyRequests:
		body = e.limited(h)
		body["botnode"] = own
	case e.retry:
		h.Set("Retry-After", "1")
	}
	text, _ := json.Marshal(body) // plain values
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(e.status)
	_, _ = w.Write(text) // the client is gone if this fails
}

// limited sets the headers of a 429 and returns its body (topics/rate-limits.mdx,
// "Exceeding A Rate Limit"). Retry-After has whole seconds, the body more digits.
func (e *apiError) limited(h http.Header) map[string]any {
	after := max(e.after, time.Millisecond)
	h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(after.Seconds())), 10))
	h.Set("X-RateLimit-Reset-After", strconv.FormatFloat(after.Seconds(), 'f', 3, 64))
	h.Set("X-RateLimit-Scope", string(e.scope))
	if e.global {
		h.Set("X-RateLimit-Global", "true")
	}
	return map[string]any{"message": "You are being rate limited.", "retry_after": math.Ceil(after.Seconds()*1000) / 1000, "global": e.global}
}

package rest

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

// ErrClosed is returned by every request once the RoundTripper is closed.
var ErrClosed = errors.New("rest: closed")

// ErrUnauthorized is returned, without anything being sent, after Discord has
// answered 401 to the token that the request would use. A new token is accepted.
var ErrUnauthorized = errors.New("rest: the bot's token was refused")

// ErrNoToken is returned when a request needs the bot's token and there is none.
var ErrNoToken = errors.New("rest: no token")

// ErrRateLimited is matched by every [RateLimitError].
var ErrRateLimited = errors.New("rest: rate limited")

// ErrInvalidLimit is matched by the [RateLimitError] that stops requests before
// Discord bans the address for too many invalid ones.
var ErrInvalidLimit = errors.New("rest: too many invalid requests")

// ErrWebhookGone is returned, without anything being sent, for a webhook that
// Discord has called unknown: using it again leads to a restriction.
var ErrWebhookGone = errors.New("rest: unknown webhook")

// RateLimitError says that a request was not sent, or not repeated, because it
// would have had to wait for longer than its context allows.
type RateLimitError struct {
	// RetryAfter is how long the request would have had to wait.
	RetryAfter time.Duration
	// Route is the template of the route; it never holds a token.
	Route string
	// Scope says which limit is meant.
	Scope Scope
	// Invalid is true if it is the count of invalid requests that stands in the way.
	Invalid bool
}

// Error implements the error interface.
func (e *RateLimitError) Error() string {
	what := ErrRateLimited
	if e.Invalid {
		what = ErrInvalidLimit
	}
	return fmt.Sprintf("%v: %s (scope %s): retry after %s", what, e.Route, e.Scope, e.RetryAfter)
}

// Is makes [errors.Is] match ErrRateLimited, and ErrInvalidLimit where it applies.
func (e *RateLimitError) Is(target error) bool {
	return target == ErrRateLimited || e.Invalid && target == ErrInvalidLimit
}

// Redact takes the tokens of webhooks and interactions out of the URL that
// [http.Client] puts into its errors. Errors of the RoundTripper itself hold no URL.
func Redact(err error) error {
	var ue *url.Error
	if !errors.As(err, &ue) {
		return err
	}
	u, perr := url.Parse(ue.URL)
	if perr != nil {
		return &url.Error{Op: ue.Op, URL: "(unreadable)", Err: ue.Err}
	}
	return &url.Error{Op: ue.Op, URL: ParseRoute(ue.Op, u.EscapedPath()).Template, Err: ue.Err}
}

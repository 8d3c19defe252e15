package rest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"
)

// DefaultBaseURL is where Discord's REST API is.
const DefaultBaseURL = "https://discord.com/api/v10"

// invalidPerWindow is Discord's own limit of invalid requests in ten minutes
// (topics/rate-limits.mdx, "Invalid Request Limit").
const invalidPerWindow = 10_000

// Options configures a RoundTripper. The zero value of a field means its default.
type Options struct {
	// BaseURL is the API's address. Requests to any other host pass through
	// without token and limits; a request without a host goes to this one.
	BaseURL string
	// Token returns the bot's token, without "Bot " before it. It is asked for
	// each request, so a rotated token is used at once. Nil: no token is added.
	Token func() string
	// Transport sends the requests; by default a clone of [http.DefaultTransport].
	Transport http.RoundTripper
	// Dial replaces the TCP dial of the default Transport if it is set.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Limiter decides when a request may go; by default one for this node alone.
	// Its owner closes it.
	Limiter Limiter
	// GlobalPerSecond is the bot's global limit; by default 50.
	GlobalPerSecond int
	// UserAgent must begin with "DiscordBot" (reference.mdx, "User Agent").
	UserAgent string
	// MaxRetries is how often a request that may be repeated is repeated after a
	// 5xx or a broken connection; by default 3, and none if negative.
	MaxRetries int
	// MaxWait bounds the wait for a limit of requests whose context has no
	// deadline. Zero: no bound.
	MaxWait time.Duration
	// InvalidLimit is the count of invalid requests in ten minutes at which
	// requests stop; by default 9,000, since others may share the address.
	InvalidLimit int
	// Gate is asked right before each write (anything but GET and HEAD) goes on
	// the wire. Its error fails the request, unsent: a node that isn't fresh is quiet.
	Gate func(context.Context) error
	// Logger gets a warning per 429; by default nothing is logged.
	Logger *zap.Logger
}

// withDefaults fills the zero fields.
func (o Options) withDefaults() Options {
	if o.BaseURL == "" {
		o.BaseURL = DefaultBaseURL
	}
	if o.GlobalPerSecond == 0 {
		o.GlobalPerSecond = 50
	}
	if o.UserAgent == "" {
		o.UserAgent = "DiscordBot (https://github.com/botnode/botnode, 0)"
	}
	if o.MaxRetries == 0 {
		o.MaxRetries = 3
	}
	if o.InvalidLimit == 0 {
		o.InvalidLimit = invalidPerWindow - 1_000
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}

// validate returns the base URL, or every reason why the options can't be used.
func (o Options) validate() (*url.URL, error) {
	var errs []error
	base, err := url.Parse(o.BaseURL)
	switch {
	case err != nil:
		errs = append(errs, errors.New("base URL can't be read"))
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		errs = append(errs, errors.New("base URL needs http or https and a host"))
	case base.User != nil:
		errs = append(errs, errors.New("base URL holds credentials"))
	}
	if o.GlobalPerSecond < 1 {
		errs = append(errs, errors.New("global limit is below 1"))
	}
	if o.InvalidLimit < 1 || o.InvalidLimit >= invalidPerWindow {
		errs = append(errs, fmt.Errorf("invalid limit is not within 1 and %d", invalidPerWindow-1))
	}
	if o.MaxWait < 0 {
		errs = append(errs, errors.New("max wait is negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("rest: %w", err)
	}
	return base, nil
}

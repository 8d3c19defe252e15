package rest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// RoundTripper sends requests to Discord within its limits. It is safe for
// concurrent use; it starts no goroutine.
type RoundTripper struct {
	opts      Options
	base      *url.URL
	transport http.RoundTripper
	own       *http.Transport // the transport, if it is ours to close
	limiter   Limiter
	local     *localLimiter // the limiter, if it is ours to close
	cluster   *Cluster      // the limiter, if it is a cluster's
	refusals  *refusals
	start     time.Time
	newest    atomic.Int64 // the Since of the newest request, in nanoseconds from start
	closed    atomic.Bool
	stats     counters
}

var _ http.RoundTripper = (*RoundTripper)(nil)

// New returns a RoundTripper; Close ends it.
func New(o Options) (*RoundTripper, error) {
	o = o.withDefaults()
	base, err := o.validate()
	if err != nil {
		return nil, err
	}
	t := &RoundTripper{
		opts: o, base: base, transport: o.Transport, limiter: o.Limiter,
		refusals: newRefusals(o.InvalidLimit), start: time.Now(),
	}
	if t.transport == nil {
		t.own = newTransport()
		if o.Dial != nil {
			t.own.DialContext = o.Dial
		}
		t.transport = t.own
	}
	if t.limiter == nil {
		t.local = newLocalLimiter(o.GlobalPerSecond)
		t.limiter = t.local
	}
	t.cluster, _ = t.limiter.(*Cluster)
	if t.cluster != nil {
		t.cluster.bind(t.refusals.count)
	}
	return t, nil
}

// newTransport returns a transport that keeps enough connections to one host.
func newTransport() *http.Transport {
	tr, ok := http.DefaultTransport.(*http.Transport)
	if !ok { // replaced by the program that we are part of
		return &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	tr = tr.Clone()
	tr.MaxIdleConnsPerHost = 64
	return tr
}

// Close fails all requests that wait, and every later one, with ErrClosed.
// Requests on the wire get their answers.
func (t *RoundTripper) Close() {
	t.closed.Store(true)
	if t.local != nil {
		t.local.close()
	}
	if t.own != nil {
		t.own.CloseIdleConnections()
	}
}

// SetGlobalPerSecond changes the bot's global limit; n must be above 0. It has no
// effect where the options brought a limiter.
func (t *RoundTripper) SetGlobalPerSecond(n int) {
	if t.local != nil && n > 0 {
		t.local.setGlobal(n)
	}
}

// RoundTrip implements [http.RoundTripper]. It returns the API's answer, whatever
// its status, save a 429 that it obeys. The errors that are its own are
// ErrRateLimited, ErrInvalidLimit, ErrUnauthorized, ErrNoToken, ErrWebhookGone,
// ErrClosed, and those of the gates.
func (t *RoundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.closed.Load() {
		closeBody(req)
		return nil, ErrClosed
	}
	if req.URL.Host != "" && !t.isAPI(req.URL) {
		return t.passThrough(req)
	}
	attempt := AttemptFrom(req.Context())
	attempt.begin()
	defer attempt.end()
	t.stats.requests.Add(1)
	c, err := t.prepare(req, attempt)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	return c.run()
}

// isAPI is true for the API's own host, the only one that gets the bot's token.
func (t *RoundTripper) isAPI(u *url.URL) bool {
	return u.Scheme == t.base.Scheme && u.Host == t.base.Host
}

// passThrough sends a request to another host, an attachment's for instance,
// without any token of the bot's: a redirect must not carry it away.
func (t *RoundTripper) passThrough(req *http.Request) (*http.Response, error) {
	if isBotAuth(req.Header) {
		req = req.Clone(req.Context())
		req.Header.Del("Authorization")
	}
	return t.transport.RoundTrip(req)
}

// since returns the time now, or a little after the newest request if clocks
// don't tell them apart: what began first stays first.
func (t *RoundTripper) since() time.Time {
	for {
		newest := t.newest.Load()
		now := max(int64(time.Since(t.start)), newest+1)
		if t.newest.CompareAndSwap(newest, now) {
			return t.start.Add(time.Duration(now)) // has the monotonic clock, as ages must
		}
	}
}

// call is one request on its way, over all its tries.
type call struct {
	t        *RoundTripper
	original *http.Request
	out      *http.Request // with token, nonce, address
	route    Route
	limit    Request
	token    string // the bot's token, if it is used
	attempt  *Attempt
	safe     bool // may be repeated after an unknown outcome
}

// run sends the request, again where that is allowed and does any good.
func (c *call) run() (*http.Response, error) {
	for limited, failed := 0, 0; ; {
		res, again, err := c.try(limited)
		switch {
		case again == againLimited:
			limited++
		case again == againFailed && failed < c.t.opts.MaxRetries:
			wait := backoff(failed)
			if !timeFor(c.original.Context(), wait) {
				return res, err // what is known is worth more than a deadline's error
			}
			if res != nil {
				drain(res)
			}
			if err := pause(c.original.Context(), wait); err != nil {
				return nil, err
			}
			failed++
		default:
			return res, err
		}
		c.t.stats.retries.Add(1)
		if err := c.rewind(); err != nil {
			return nil, err
		}
	}
}

// again says whether and why a request should be sent once more.
type again uint8

const (
	againNo      again = iota
	againLimited       // a 429, drained
	againFailed        // a 5xx or a broken connection
)

// try sends the request once.
func (c *call) try(limited int) (*http.Response, again, error) {
	permit, err := c.acquire()
	if err != nil {
		closeBody(c.out)
		return nil, againNo, err
	}
	if err := c.allowed(); err != nil {
		permit.Done(Answer{Fate: Unsent})
		closeBody(c.out)
		return nil, againNo, err
	}
	c.t.stats.inflight.Add(1)
	res, err := c.t.transport.RoundTrip(c.out)
	c.t.stats.inflight.Add(-1)
	if err != nil {
		unsent := isUnsent(err)
		permit.Done(Answer{Fate: lostUnless(unsent)})
		return nil, c.afterError(unsent), fmt.Errorf("rest: %s: %w", c.route.Key, Redact(err))
	}
	res.Request = c.original // ours holds the token
	a := ParseAnswer(res.StatusCode, res.Header)
	var body []byte
	if res.StatusCode == http.StatusTooManyRequests {
		body = drain(res)
		a.readLimitBody(body)
	}
	permit.Done(a)
	c.note(a, res)
	return c.answered(a, res, limited)
}

// acquire waits for the limits.
func (c *call) acquire() (Permit, error) {
	t, ctx := c.t, c.original.Context()
	if err := t.refused(c); err != nil {
		return nil, err
	}
	until, wait := waitUntil(ctx), time.Duration(0)
	if _, ok := ctx.Deadline(); !ok && until.IsZero() && t.opts.MaxWait > 0 {
		until = time.Now().Add(t.opts.MaxWait)
	}
	if !until.IsZero() {
		var cancel context.CancelFunc
		wait = max(time.Until(until), time.Millisecond)
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	t.stats.waiting.Add(1)
	defer t.stats.waiting.Add(-1)
	permit, err := t.limiter.Acquire(ctx, c.limit)
	if err != nil && ctx.Err() != nil && c.original.Context().Err() == nil {
		return nil, &RateLimitError{RetryAfter: max(wait, time.Second), Route: c.route.Template, Scope: ScopeUser}
	}
	return permit, err
}

// allowed asks, right before the wire, all who may forbid the request: what held
// when it began to wait may not hold any more.
func (c *call) allowed() error {
	if err := c.original.Context().Err(); err != nil {
		return err
	}
	if err := c.t.refused(c); err != nil {
		return err
	}
	if c.route.Method == http.MethodGet || c.route.Method == http.MethodHead {
		return nil
	}
	if c.t.opts.Gate != nil {
		if err := c.t.opts.Gate(c.original.Context()); err != nil {
			return err
		}
	}
	if c.attempt != nil && c.attempt.gate != nil {
		return c.attempt.gate()
	}
	return nil
}

// refused returns the reason for sending nothing, if there is one.
func (t *RoundTripper) refused(c *call) error {
	now := time.Now()
	switch wait := t.refusals.wait(now, t.othersInvalid()); {
	case t.closed.Load():
		return ErrClosed
	case c.token != "" && t.refusals.tokenRefused(c.token):
		return ErrUnauthorized
	case c.route.Webhook && t.refusals.webhookRefused(c.route.Major, now):
		return ErrWebhookGone
	case wait > 0:
		return &RateLimitError{RetryAfter: wait, Route: c.route.Template, Scope: ScopeEdge, Invalid: true}
	}
	return nil
}

// othersInvalid is how many invalid requests other nodes count, as far as they
// are taken to share the address.
func (t *RoundTripper) othersInvalid() int {
	if t.cluster == nil {
		return 0
	}
	return t.cluster.othersInvalid()
}

// warnInvalid is loud when half of what may be sent wrongly is used up, and when all is.
func (t *RoundTripper) warnInvalid(own int) {
	n := own + t.othersInvalid()
	switch t.refusals.rise(n) {
	case invalidAll:
		t.opts.Logger.Warn("too many invalid requests, none is sent for a while",
			zap.String("code", "rest-invalid-limit"), zap.Int("invalid", n))
	case invalidHalf:
		t.opts.Logger.Warn("half of the invalid requests that Discord forgives are used up",
			zap.String("code", "rest-invalid-half"), zap.Int("invalid", n), zap.Int("stop_at", t.opts.InvalidLimit))
	}
}

// note counts an answer and draws the conclusions that outlive the request.
func (c *call) note(a Answer, res *http.Response) {
	t, now := c.t, time.Now()
	if a.Invalid() {
		t.warnInvalid(t.refusals.add(now))
	}
	switch {
	case res.StatusCode == http.StatusTooManyRequests:
		t.stats.limited(a.Scope)
		t.opts.Logger.Warn("rate limited", zap.String("code", "rest-limited"), zap.String("route", c.route.Key),
			zap.String("scope", string(a.Scope)), zap.Duration("retry_after", a.RetryAfter))
	case res.StatusCode == http.StatusUnauthorized && c.token != "":
		t.refusals.refuseToken(c.token)
		t.opts.Logger.Warn("the bot's token was refused", zap.String("code", "rest-unauthorized"), zap.String("route", c.route.Key))
	case res.StatusCode == http.StatusNotFound && c.route.Webhook && !c.route.Interaction && unknownWebhook(res):
		t.refusals.webhookGone(c.route.Major, now)
	}
}

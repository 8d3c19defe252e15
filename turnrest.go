package botnode

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	disgorest "github.com/disgoorg/disgo/rest"

	"github.com/botnode/botnode/discord/rest"
	"github.com/botnode/botnode/internal/jsonscan"
)

// turnREST is a handler's client of Discord's API, made when it first asks.
// One for the whole node would save half a microsecond a turn and could not
// tell whose requests it sends: disgo's callers pass no context.
type turnREST struct {
	once   sync.Once
	client disgorest.Rest
	err    error
	late   atomic.Bool // Discord has said that an interaction is too old to be answered
}

// REST returns disgo's client of Discord's REST API over this node's limiter.
// Its requests belong to this handler's turn: messages get nonces by which
// Discord recognises a repeat, writes are refused once another node runs the
// event, and requests without a context of their own end with the turn's.
//
// The first answer to an interaction in a turn succeeds also if Discord says
// that the interaction has been answered: an earlier turn did, before its node
// died. If such an answer asks for the message that it made, it gets an empty
// one.
//
// The client must not be used after the handler has returned.
func (c *Context) REST() (disgorest.Rest, error) {
	c.api.once.Do(func() {
		trip, api, err := c.rt.rest()
		if err != nil {
			c.api.err = err
			return
		}
		c.api.client = disgorest.New(&turnClient{c: c, Client: disgorest.NewClient("",
			disgorest.WithHTTPClient(&http.Client{Transport: &turnTransport{c: c, next: trip}}),
			disgorest.WithURL(api),
			disgorest.WithRateLimiter(disgorest.NewNoopRateLimiter()),
		)})
	})
	return c.api.client, c.api.err
}

// turnClient gives requests the turn's context, unless they bring another.
type turnClient struct {
	disgorest.Client
	c *Context
}

// Do implements disgo's rest.Client.
func (t *turnClient) Do(endpoint *disgorest.CompiledEndpoint, body, into any, opts ...disgorest.RequestOpt) error {
	return t.Client.Do(endpoint, body, into, append([]disgorest.RequestOpt{disgorest.WithCtx(t.c)}, opts...)...)
}

// turnTransport puts requests under a handler's turn, whatever context their
// caller gave them.
type turnTransport struct {
	c    *Context
	next http.RoundTripper

	mu       sync.Mutex      // guards answered
	answered map[string]bool // interactions that this turn has answered, by path
}

// RoundTrip implements http.RoundTripper.
func (t *turnTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(rest.WithAttempt(req.Context(), rest.AttemptFrom(t.c)))
	req.Header.Del("Authorization") // the next one adds the bot's
	callback := isCallback(req)
	if callback {
		// To repeat one whose outcome is unknown does no harm: there is one answer.
		req = req.WithContext(rest.Safe(req.Context()))
	}
	res, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, rest.Redact(err)
	}
	if callback {
		return t.answer(req, res)
	}
	return res, nil
}

// isCallback reports whether a request is the answer to an interaction
// (interactions/receiving-and-responding.mdx, "Create Interaction Response").
func isCallback(req *http.Request) bool {
	segs := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	n := len(segs)
	return req.Method == http.MethodPost && n >= 4 && segs[n-4] == "interactions" && segs[n-1] == "callback"
}

// Discord's errors for answers to interactions
// (topics/opcodes-and-status-codes.mdx, "JSON Error Codes").
const (
	codeAcknowledged       = 40060 // it has been answered
	codeUnknownInteraction = 10062 // it is too old to be answered, or never was
)

// answer turns Discord's refusal of a second answer into success, if this turn
// has not given one: a handler that answers twice hears of its mistake. That an
// interaction is too old is kept in mind.
func (t *turnTransport) answer(req *http.Request, res *http.Response) (*http.Response, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if res.StatusCode/100 == 4 {
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		_ = res.Body.Close()
		if err != nil {
			return nil, err
		}
		res.Body = io.NopCloser(bytes.NewReader(body))
		switch code, _ := jsonscan.Int(jsonscan.Get(body, "code")); {
		case code == codeUnknownInteraction:
			t.c.api.late.Store(true)
		case code == codeAcknowledged && !t.answered[req.URL.Path]:
			res.StatusCode, res.Status = http.StatusOK, "200 OK"
			res.Body = io.NopCloser(strings.NewReader("{}"))
			res.ContentLength = int64(len("{}"))
		}
	}
	if res.StatusCode/100 == 2 {
		if t.answered == nil {
			t.answered = make(map[string]bool)
		}
		t.answered[req.URL.Path] = true
	}
	return res, nil
}

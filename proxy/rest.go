package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/discord/rest"
)

// Headers that a client may send for the proxy itself.
const (
	// headerMaxWait is how long the request may wait for limits: a duration, "2.5s".
	headerMaxWait = "Botnode-Max-Wait"
	// headerIdempotency makes a repeat of a Create Message, to whichever node, the
	// same message.
	headerIdempotency = "Botnode-Idempotency-Key"
)

const (
	defaultMaxWait = 30 * time.Second
	longestMaxWait = 15 * time.Minute
	maxIdempotency = 256 // bytes of an idempotency key
)

// serveREST answers a request to the API.
func (s *Server) serveREST(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	a := &answer{ResponseWriter: w, pause: s.rest.pace.answer}
	defer func() {
		p := recover()
		s.o.Metrics.ProxyRequest(a.class(), time.Since(begun))
		switch {
		case p == nil:
		case p == any(http.ErrAbortHandler) || a.status != 0: // the only way to tell the client that its answer is cut off
			panic(http.ErrAbortHandler)
		default:
			s.log.Error("a request panicked", zap.String("code", "proxy_panic"), zap.String("panic", faultText(p)), zap.ByteString("stack", debug.Stack()))
			errPanic.write(a)
		}
	}()
	if e := s.forward(a, r); e != nil {
		a.deadline()
		e.write(a)
	}
}

// faultText says what a panic was about. Only the runtime's own words are shown:
// others may hold what a client sent.
func faultText(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// forward brings a request to Discord and its answer back. An error is the answer
// then.
func (s *Server) forward(a *answer, r *http.Request) *apiError {
	path, e := parsePath(r.URL.EscapedPath())
	if e != nil && e != errNotFound {
		return e
	}
	// Get Gateway asks for no token (events/gateway.mdx, "Get Gateway"), and disgo shows none.
	if path.rest == "/gateway" && r.Header.Get("Authorization") == "" {
		s.serveGatewayRoute(a, r, path.rest, Client{})
		return nil
	}
	c, refused := s.authenticate(r, path, rest.ParseRoute(r.Method, path.rest))
	switch {
	case refused != nil:
		return refused // before anything else: strangers learn nothing
	case e != nil:
		return e
	case gatewayRoute(path.rest):
		s.serveGatewayRoute(a, r, path.rest, c)
		return nil
	case !method(r.Method):
		return errMethod
	}
	if e := s.refuses(r.Context(), c, r.Method); e != nil {
		return e
	}
	free := s.rest.requests.take(c.hash)
	if free == nil {
		return tooMany(time.Second, "busy")
	}
	defer free()
	return s.send(a, r, path, c)
}

// method reports whether Discord's API has a method.
func method(m string) bool {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	}
	return false
}

// send sends a request on, and copies the answer.
func (s *Server) send(a *answer, r *http.Request, path apiPath, c Client) *apiError {
	trip, base, err := s.o.Backend.REST(c.Bot)
	if err != nil {
		return errNoBot
	}
	u := path.target(base, r.URL.RawQuery)
	if u == nil {
		return errNotFound
	}
	wait, e := maxWait(r.Header)
	if e != nil {
		return e
	}
	route := rest.ParseRoute(r.Method, path.rest)
	nonce, e := nonceFor(r, path, c)
	if e != nil {
		return e
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.rest.ctx, cancel)()
	out := (&http.Request{Method: r.Method, URL: u, Host: u.Host, Header: requestHeader(r.Header)}).WithContext(ctx)
	p := &payload{s: s, src: newSource(a.ResponseWriter, r, s.rest.pace), out: out, route: route, nonce: nonce}
	defer p.close()
	if e := p.load(r); e != nil {
		return e
	}
	// The wait begins when the request is whole.
	ctx = rest.WithWaitUntil(ctx, time.Now().Add(wait))
	if !p.streaming {
		bounded, end := context.WithTimeout(ctx, wait+s.rest.pace.api)
		defer end()
		ctx = bounded
	}
	if p.safe {
		ctx = rest.Safe(ctx)
	}
	res, err := trip.RoundTrip(p.out.WithContext(ctx))
	if err != nil {
		return s.unanswered(r, p, err)
	}
	defer func() { _ = res.Body.Close() }()
	s.noteVouched(r, c, res.StatusCode)
	switch {
	case res.StatusCode == http.StatusUnauthorized && !route.OwnToken():
		return errBotRefused
	case res.StatusCode/100 == 3 && res.StatusCode != http.StatusNotModified:
		return errRedirect
	}
	return a.copy(res)
}

// unanswered says what a client is told of a request that has no answer.
func (s *Server) unanswered(r *http.Request, p *payload, err error) *apiError {
	repeatable := p.safe || r.Method != http.MethodPost && r.Method != http.MethodPatch
	switch e := p.failure(); {
	case e != nil:
		return e
	case r.Context().Err() != nil:
		return nil // nobody is there any more
	case s.rest.ctx.Err() != nil && errors.Is(err, context.Canceled):
		e := *errClosing
		e.retry = repeatable
		return &e
	}
	e := ofError(err, repeatable)
	if e.status == http.StatusBadGateway {
		s.log.Debug("a request got no answer", zap.String("error", e.own), zap.Error(rest.Redact(err)))
	}
	return e
}

// maxWait reads the client's patience.
func maxWait(h http.Header) (time.Duration, *apiError) {
	text := h.Get(headerMaxWait)
	if text == "" {
		return defaultMaxWait, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > longestMaxWait {
		return 0, errMaxWait
	}
	return d, nil
}

// nonceFor returns the nonce for a message that has none: by the client's key for
// it, the same on every node, else by chance.
func nonceFor(r *http.Request, path apiPath, c Client) (string, *apiError) {
	values, ok := r.Header[headerIdempotency]
	if !ok {
		return randomNonce(), nil
	}
	if len(values) != 1 || values[0] == "" || len(values[0]) > maxIdempotency {
		return "", errIdempotency
	}
	return rest.Nonce(rest.NonceParts{Bot: c.Bot, Handler: "client key " + c.Name, Method: r.Method, Route: path.rest, Key: values[0]}), nil
}

// answer is a response that remembers its status.
type answer struct {
	http.ResponseWriter
	status int           // 0 while none is out
	pause  time.Duration // that a piece of it may lie unread
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// class names the class of the status, for a metric.
func (a *answer) class() string {
	if a.status == 0 {
		return "none"
	}
	return strconv.Itoa(a.status/100) + "xx"
}

// deadline bounds the time that the next piece may lie unread.
func (a *answer) deadline() {
	// A connection without deadlines is a test's; there is nothing to bound then.
	_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(a.pause))
}

// pieces are buffers that answers are copied with.
var pieces = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copy copies an answer of Discord's.
func (a *answer) copy(res *http.Response) *apiError {
	copyResponseHeader(a.Header(), res.Header)
	a.deadline()
	a.WriteHeader(res.StatusCode)
	piece, _ := pieces.Get().(*[32 << 10]byte)
	defer pieces.Put(piece)
	for {
		n, err := res.Body.Read(piece[:])
		if n > 0 {
			a.deadline()
			if _, werr := a.Write(piece[:n]); werr != nil {
				return nil // the client is gone, or doesn't read
			}
			if res.ContentLength < 0 {
				_ = http.NewResponseController(a.ResponseWriter).Flush() // whoever streams has a reason
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			panic(http.ErrAbortHandler) // the only way to tell the client that its answer is cut off
		}
	}
}

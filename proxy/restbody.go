package proxy

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/botnode/botnode/discord/rest"
)

// Limits of bodies.
const (
	maxBody    = 512 << 20 // more than Discord takes
	maxMessage = 8 << 20   // of a message that is held to get a nonce; larger forms get it on their way
	maxHeld    = 1 << 20   // of other bodies that are held, to be sent again after a 429
)

// pace is how slowly a client may send and read, and Discord answer. Of a body is
// counted the time in which it is waited for.
type pace struct {
	pause  time.Duration // between two pieces of a body
	grace  time.Duration // for a body in all, and more with every piece:
	rate   int64         // bytes a second
	answer time.Duration // that a piece of an answer may lie unread
	api    time.Duration // for Discord's answer, repeats included, to a request that was held
	finish time.Duration // for what is under way when the server closes
}

// usualPace is what a server allows.
var usualPace = pace{pause: 20 * time.Second, grace: 30 * time.Second, rate: 16 << 10, answer: 30 * time.Second, api: 2 * time.Minute, finish: 5 * time.Second}

// source is a body as it comes from its client: bounded, and not too slow.
type source struct {
	r    io.ReadCloser
	rc   *http.ResponseController
	pace pace

	mu     sync.Mutex // guards what follows; the transport reads in a goroutine of its own
	n      int64
	waited time.Duration
	err    error // why it ended before its end
	ended  bool  // it was read to its end, or can't be
	closed bool
}

func newSource(w http.ResponseWriter, r *http.Request, p pace) *source {
	return &source{r: http.MaxBytesReader(w, r.Body, maxBody), rc: http.NewResponseController(w), pace: p}
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	left := s.pace.grace + time.Duration(s.n/s.pace.rate)*time.Second - s.waited
	begun := time.Now()
	// A connection without deadlines is a test's; there is nothing to bound then.
	_ = s.rc.SetReadDeadline(begun.Add(min(left, s.pace.pause)))
	s.mu.Unlock()

	n, err := s.r.Read(p)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.n += int64(n)
	s.waited += time.Since(begun)
	if err != nil && err != io.EOF && s.err == nil {
		s.err = err
	}
	s.ended = s.ended || err != nil
	if err != nil && !s.closed {
		_ = s.rc.SetReadDeadline(time.Time{}) // the connection is watched from here on for its client's end
	}
	return n, err
}

// Close implements io.Closer.
func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// interrupt ends a read that waits, unless there can be none. The connection
// can't be used after it.
func (s *source) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		_ = s.rc.SetReadDeadline(time.Unix(1, 0))
	}
}

// failure says what a client did wrong with its body, nil for nothing.
func (s *source) failure() *apiError {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, large := errors.AsType[*http.MaxBytesError](s.err)
	switch {
	case s.err == nil:
		return nil
	case large:
		return errTooLarge
	case errors.Is(s.err, os.ErrDeadlineExceeded):
		return errSlowBody
	}
	return &apiError{status: http.StatusBadRequest, message: "the request's body ended before its end", own: "bad_body", hangUp: true}
}

// payload puts a client's body into the request for Discord.
type payload struct {
	s     *Server
	src   *source
	out   *http.Request
	route rest.Route
	nonce string // for a message that has none

	safe      bool // it may be sent twice
	held      int64
	streaming bool
	form      *formPipe // of a form that gets its nonce on the way
}

// load reads the body as far as it is to be held, and leaves the rest to be
// streamed.
func (p *payload) load(r *http.Request) *apiError {
	if r.ContentLength > maxBody {
		return errTooLarge
	}
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		p.out.Body = http.NoBody
		return nil
	}
	most := int64(maxHeld)
	if p.route.CreateMessage() {
		most = maxMessage
	}
	if r.ContentLength > most {
		return p.stream(nil, r.ContentLength)
	}
	head, whole, e := p.hold(most, r.ContentLength)
	if e != nil {
		return e
	}
	if !whole {
		return p.stream(head, r.ContentLength)
	}
	if len(head) == 0 {
		p.out.Body = http.NoBody
		return nil
	}
	p.out.Body, p.out.ContentLength = io.NopCloser(bytes.NewReader(head)), int64(len(head))
	p.out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(head)), nil }
	if !p.route.CreateMessage() {
		return nil
	}
	var err error
	if p.safe, err = rest.AddNonce(p.out, p.nonce); err != nil {
		return errForm
	}
	return nil
}

// hold reads up to most bytes into memory that is accounted for. It returns what
// it read, and whether that is all.
func (p *payload) hold(most, length int64) (head []byte, whole bool, e *apiError) {
	size := length + 1 // to see the end
	if length < 0 {
		size = most + 1
	}
	if !p.s.rest.buffered.take(size) {
		return nil, false, errBusy
	}
	p.held = size
	var buf bytes.Buffer
	if length > 0 {
		buf.Grow(int(size))
	}
	n, err := io.Copy(&buf, io.LimitReader(p.src, size))
	if err != nil {
		if e := p.src.failure(); e != nil {
			return nil, false, e
		}
		return nil, false, errForm
	}
	return buf.Bytes(), n < size, nil
}

// stream sends the body while it comes. It can't be sent twice then.
func (p *payload) stream(head []byte, length int64) *apiError {
	p.streaming = true
	body := io.MultiReader(bytes.NewReader(head), p.src)
	p.out.Body, p.out.ContentLength = struct {
		io.Reader
		io.Closer
	}{body, p.src}, length
	if !p.route.CreateMessage() {
		return nil
	}
	kind, params, err := mime.ParseMediaType(p.out.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return errTooLarge
	}
	p.form = newFormPipe(body, p.src, params["boundary"], p.nonce)
	p.out.Body, p.out.ContentLength = p.form, -1
	p.out.Header.Del("Content-Length")
	return nil
}

// failure says what was wrong with the body, nil for nothing.
func (p *payload) failure() *apiError {
	if e := p.src.failure(); e != nil {
		return e
	}
	if p.form != nil && p.form.bad.Load() {
		return errForm
	}
	return nil
}

// close lets go of all that the body took, and waits for who reads it.
func (p *payload) close() {
	_ = p.src.Close()
	if p.streaming {
		p.src.interrupt() // an answer may have come before the body's end
	}
	if p.form != nil {
		p.form.end()
	}
	if p.held > 0 {
		p.s.rest.buffered.give(p.held)
	}
}

// formPipe is a form that gets a nonce while it is read.
type formPipe struct {
	*io.PipeReader
	src  *source
	done chan struct{} // closed when the copying goroutine has ended
	bad  atomic.Bool   // the form itself was wrong; set before the reader hears of it
}

func newFormPipe(body io.Reader, src *source, boundary, nonce string) *formPipe {
	pr, pw := io.Pipe()
	f := &formPipe{PipeReader: pr, src: src, done: make(chan struct{})}
	go func() { // ends with end
		defer close(f.done)
		_, err := rest.AddNonceForm(pw, body, boundary, nonce)
		f.bad.Store(err != nil && !errors.Is(err, io.ErrClosedPipe))
		_ = pw.CloseWithError(err) // never fails
	}()
	return f
}

// end stops the copying goroutine and waits for it.
func (f *formPipe) end() {
	_ = f.Close() // never fails
	f.src.interrupt()
	<-f.done
}

// randomNonce returns a nonce of 24 characters.
func randomNonce() string {
	var b [18]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

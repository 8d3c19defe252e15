package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// errCut is what a fake answers when the connection breaks.
var errCut = errors.New("connection cut")

// strictAPI is a Transport that counts like Discord does and forgives nothing:
// fixed windows that begin with their first request, for each bucket and major
// resource, and a global window of a second.
type strictAPI struct {
	mu      sync.Mutex
	limits  map[string]fakeLimit // by route key
	windows map[string]*fakeWindow
	global  fakeWindow
	perSec  int
	there   func() time.Duration // latency to the API
	back    func() time.Duration // latency from it
	cut     func() bool          // loses this answer
	hits    []string             // what arrived, in order
	limited int                  // 429s given
	globals int                  // those of the global limit
	cuts    int                  // answers lost
	tallies map[string]tally     // by bucket and resource
}

// tally counts what went wrong in one bucket.
type tally struct {
	limited int // 429s given
	cuts    int // answers lost
}

// forget begins to count anew.
func (s *strictAPI) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limited, s.globals, s.cuts = 0, 0, 0
	clear(s.tallies)
}

// refused is how many 429s were given.
func (s *strictAPI) refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limited
}

// note changes a bucket's tally. The caller holds the lock.
func (s *strictAPI) note(key string, by tally) {
	if s.tallies == nil {
		s.tallies = map[string]tally{}
	}
	t := s.tallies[key]
	s.tallies[key] = tally{t.limited + by.limited, t.cuts + by.cuts}
}

// fakeLimit is the bucket of a route.
type fakeLimit struct {
	hash   string
	limit  int
	window time.Duration
}

// fakeWindow is a window that is being counted.
type fakeWindow struct {
	used int
	ends time.Time
}

// take counts one request, or refuses it.
func (w *fakeWindow) take(now time.Time, limit int, length time.Duration) bool {
	if !now.Before(w.ends) {
		w.used, w.ends = 0, now.Add(length)
	}
	if w.used >= limit {
		return false
	}
	w.used++
	return true
}

func (s *strictAPI) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
		_ = req.Body.Close()
	}
	time.Sleep(s.there())
	res := s.answer(req)
	time.Sleep(s.back())
	if s.cut != nil && s.cut() {
		s.mu.Lock()
		r := ParseRoute(req.Method, req.URL.EscapedPath())
		s.cuts++
		s.note(s.limits[r.Key].hash+" "+r.Major, tally{cuts: 1})
		s.mu.Unlock()
		return nil, errCut
	}
	return res, nil
}

// answer is the API's side of one request.
func (s *strictAPI) answer(req *http.Request) *http.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	r := ParseRoute(req.Method, req.URL.EscapedPath())
	s.hits = append(s.hits, req.Method+" "+req.URL.Path)
	if !r.Interaction && !s.global.take(now, s.perSec, time.Second) {
		s.limited++
		s.globals++
		return reply(req, 429, map[string]string{
			"Retry-After": ceilSeconds(s.global.ends.Sub(now)), "X-RateLimit-Scope": "global", "X-RateLimit-Global": "true",
		})
	}
	l, ok := s.limits[r.Key]
	if !ok {
		return reply(req, 200, nil)
	}
	w := s.windows[l.hash+" "+r.Major]
	if w == nil {
		w = &fakeWindow{}
		s.windows[l.hash+" "+r.Major] = w
	}
	granted := w.take(now, l.limit, l.window)
	h := map[string]string{
		"X-RateLimit-Bucket": l.hash, "X-RateLimit-Limit": strconv.Itoa(l.limit),
		"X-RateLimit-Remaining":   strconv.Itoa(l.limit - w.used),
		"X-RateLimit-Reset":       strconv.FormatFloat(float64(w.ends.UnixMilli())/1000, 'f', 3, 64),
		"X-RateLimit-Reset-After": strconv.FormatFloat(w.ends.Sub(now).Seconds(), 'f', 3, 64),
	}
	if granted {
		return reply(req, 200, h)
	}
	s.limited++
	s.note(l.hash+" "+r.Major, tally{limited: 1})
	h["Retry-After"], h["X-RateLimit-Scope"] = ceilSeconds(w.ends.Sub(now)), "user"
	return reply(req, 429, h)
}

// ceilSeconds writes a Retry-After header: whole seconds, as Discord's are.
func ceilSeconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }

// reply makes an answer.
func reply(req *http.Request, status int, headers map[string]string) *http.Response {
	h := http.Header{}
	for k, v := range headers {
		h.Set(k, v)
	}
	return &http.Response{
		StatusCode: status, Header: h, Request: req, ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(`{"message":"x"}`)),
	}
}

// transportFunc is a Transport made of a function.
type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// newTest returns a RoundTripper over a fake transport.
func newTest(t testing.TB, o Options) *RoundTripper {
	t.Helper()
	if o.BaseURL == "" {
		o.BaseURL = "https://discord.test/api/v10"
	}
	rt, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rt.Close)
	return rt
}

// send makes one request and returns its status.
func send(ctx context.Context, rt http.RoundTripper, method, path, body string) (int, error) {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, path, r)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := rt.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// channel is a path of the test's n-th channel.
func channel(n int, rest string) string { return fmt.Sprintf("/channels/%d%s", n, rest) }

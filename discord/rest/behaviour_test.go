package rest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// bucketHeaders are those of a bucket that has room.
func bucketHeaders(remaining string) map[string]string {
	return map[string]string{
		"X-RateLimit-Bucket": "h", "X-RateLimit-Limit": "5", "X-RateLimit-Remaining": remaining,
		"X-RateLimit-Reset": "1470173023.123", "X-RateLimit-Reset-After": "5",
	}
}

// limitedBy are the headers of a 429.
func limitedBy(scope, after string) map[string]string {
	h := map[string]string{}
	if scope != "" {
		h["X-RateLimit-Scope"] = scope
	}
	if after != "" {
		h["Retry-After"] = after
	}
	return h
}

// script answers with each reply in turn, then with 200s, and notes when each request came.
type script struct {
	mu      sync.Mutex
	replies []func(*http.Request) (*http.Response, error)
	at      []time.Time
	paths   []string
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if req.Body != nil {
		_ = req.Body.Close()
	}
	s.at, s.paths = append(s.at, time.Now()), append(s.paths, req.URL.Path)
	if len(s.replies) == 0 {
		return reply(req, 200, nil), nil
	}
	f := s.replies[0]
	s.replies = s.replies[1:]
	return f(req)
}

// status makes a reply.
func status(code int, h map[string]string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) { return reply(r, code, h), nil }
}

// broken is a reply that never comes.
func broken(*http.Request) (*http.Response, error) { return nil, errCut }

// scripted returns a RoundTripper over a script.
func scripted(t *testing.T, o Options, replies ...func(*http.Request) (*http.Response, error)) (*RoundTripper, *script) {
	s := &script{replies: replies}
	o.Transport = s
	return newTest(t, o), s
}

func TestLimitedIsObeyedAndRepeated(t *testing.T) {
	for _, tt := range []struct {
		name, scope, after string
		wait               time.Duration
		invalid            int
		other, interaction bool // must another bucket, an interaction wait too?
	}{
		{name: "user", scope: "user", after: "7", wait: 7 * time.Second, invalid: 1},
		{name: "shared", scope: "shared", after: "1337", wait: 1337 * time.Second},
		{name: "global", scope: "global", after: "3", wait: 3 * time.Second, invalid: 1, other: true},
		{name: "edge", after: "20", wait: 20 * time.Second, invalid: 1, other: true, interaction: true},
		{name: "edge without a hint", wait: edgePause, invalid: 1, other: true, interaction: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt, s := scripted(t, Options{}, status(429, limitedBy(tt.scope, tt.after)))
				start := time.Now()
				var wg sync.WaitGroup
				wg.Go(func() { _, _ = send(t.Context(), rt, "GET", "/channels/1/x", "") })
				synctest.Wait()
				if got := rt.Stats().Invalid; got != tt.invalid {
					t.Errorf("%d invalid requests, want %d", got, tt.invalid)
				}
				checkWaits(t, rt, "/channels/2/x", tt.other)
				checkWaits(t, rt, "/interactions/1/tok/callback", tt.interaction)
				wg.Wait()
				if got := time.Since(start); got < tt.wait || got > tt.wait+time.Second {
					t.Errorf("took %s, want %s", got, tt.wait)
				}
				if len(s.at) < 2 || s.paths[0] != "/api/v10/channels/1/x" {
					t.Errorf("sent %v", s.paths)
				}
			})
		})
	}
}

// checkWaits sends a request that must, or must not, have to wait.
func checkWaits(t *testing.T, rt *RoundTripper, path string, want bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	start := time.Now()
	_, err := send(ctx, rt, "POST", path, "")
	if got := errors.Is(err, ErrRateLimited); got != want {
		t.Errorf("%s: %v", path, err)
	}
	if time.Since(start) != 0 {
		t.Errorf("%s: waited %s", path, time.Since(start))
	}
}

func TestDeadlineIsKnownToBeTooShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, s := scripted(t, Options{}, status(200, bucketHeaders("0")))
		mustSend(t, rt, "GET", "/channels/1/x")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := send(ctx, rt, "GET", "/channels/1/x", "")
		var limited *RateLimitError
		if !errors.As(err, &limited) || !errors.Is(err, ErrRateLimited) || errors.Is(err, ErrInvalidLimit) {
			t.Fatalf("got %v", err)
		}
		if limited.RetryAfter < 5*time.Second || limited.RetryAfter > 6*time.Second || limited.Route != "/channels/{id}/x" {
			t.Errorf("got %+v", limited)
		}
		if len(s.at) != 1 {
			t.Errorf("%d requests were sent", len(s.at))
		}
		start := time.Now()
		if _, err := send(t.Context(), rt, "GET", "/channels/1/x", ""); err != nil || time.Since(start) < 5*time.Second {
			t.Errorf("without a deadline: %v after %s", err, time.Since(start))
		}
	})
}

func TestMaxWaitBoundsRequestsWithoutDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, _ := scripted(t, Options{MaxWait: time.Second}, status(200, bucketHeaders("0")))
		mustSend(t, rt, "GET", "/channels/1/x")
		if _, err := send(t.Context(), rt, "GET", "/channels/1/x", ""); !errors.Is(err, ErrRateLimited) {
			t.Errorf("got %v", err)
		}
	})
}

func TestFirstInFirstOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const route = "/channels/1/messages/2/reactions/"
		one := bucketHeaders("0")
		one["X-RateLimit-Limit"] = "1"
		rt, s := scripted(t, Options{}, status(200, one), status(200, nil), status(429, limitedBy("user", "2")))
		mustSend(t, rt, "GET", route+"0")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		errs := map[string]error{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, n := range []string{"a", "b", "c"} {
			use := t.Context()
			if n == "b" {
				use = ctx
			}
			wg.Go(func() {
				_, err := send(use, rt, "GET", route+n, "")
				mu.Lock()
				defer mu.Unlock()
				errs[n] = err
			})
			synctest.Wait()
		}
		if got := rt.Stats().Waiting; got != 3 {
			t.Errorf("%d wait, want 3", got)
		}
		start := time.Now()
		mustSend(t, rt, "GET", "/channels/2/messages/2/reactions/other")
		if time.Since(start) != 0 {
			t.Errorf("another bucket waited %s", time.Since(start))
		}
		cancel()
		synctest.Wait()
		if got := rt.Stats().Waiting; got != 2 {
			t.Errorf("%d wait after one was cancelled, want 2", got)
		}
		wg.Wait()
		if !errors.Is(errs["b"], context.Canceled) || errs["a"] != nil || errs["c"] != nil {
			t.Errorf("errors: %v", errs)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if i, j := slices.Index(s.paths, "/api/v10"+route+"a"), slices.Index(s.paths, "/api/v10"+route+"c"); i < 0 || j < i {
			t.Errorf("order %v", s.paths)
		}
	})
}

func TestInvalidRequestsStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, s := scripted(t, Options{InvalidLimit: 3}, status(403, nil), status(404, nil), status(403, nil), status(403, nil))
		for range 4 {
			mustSend(t, rt, "GET", "/users/@me")
		}
		_, err := send(t.Context(), rt, "GET", "/users/@me", "")
		var limited *RateLimitError
		if !errors.Is(err, ErrInvalidLimit) || !errors.As(err, &limited) || len(s.at) != 4 {
			t.Fatalf("got %v after %d requests", err, len(s.at))
		}
		if limited.RetryAfter < 10*time.Minute || limited.RetryAfter > 11*time.Minute {
			t.Errorf("retry after %s", limited.RetryAfter)
		}
		time.Sleep(limited.RetryAfter)
		mustSend(t, rt, "GET", "/users/@me")
	})
}

func TestUnauthorizedStopsTheToken(t *testing.T) {
	token := "first"
	rt, s := scripted(t, Options{Token: func() string { return token }}, status(401, nil))
	mustSend(t, rt, "GET", "/users/@me")
	if _, err := send(t.Context(), rt, "GET", "/users/@me", ""); !errors.Is(err, ErrUnauthorized) || len(s.at) != 1 {
		t.Fatalf("got %v after %d requests", err, len(s.at))
	}
	mustSend(t, rt, "POST", "/webhooks/1/tok") // its own token still does
	token = "second"
	mustSend(t, rt, "GET", "/users/@me")
	token = ""
	if _, err := send(t.Context(), rt, "GET", "/users/@me", ""); !errors.Is(err, ErrNoToken) {
		t.Errorf("got %v", err)
	}
}

func TestRetries(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		ctx          func(context.Context) context.Context
		first        func(*http.Request) (*http.Response, error)
		tries        int
	}{
		{name: "GET 502", method: "GET", first: status(502, nil), tries: 2},
		{name: "GET cut", method: "GET", first: broken, tries: 2},
		{name: "PUT cut", method: "PUT", first: broken, tries: 2},
		{name: "POST cut", method: "POST", first: broken, tries: 1},
		{name: "POST 500", method: "POST", first: status(500, nil), tries: 1},
		{name: "PATCH 500", method: "PATCH", first: status(500, nil), tries: 1},
		{name: "safe POST cut", method: "POST", ctx: Safe, first: broken, tries: 2},
		{name: "GET 404", method: "GET", first: status(404, nil), tries: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt, s := scripted(t, Options{}, tt.first)
				ctx := t.Context()
				if tt.ctx != nil {
					ctx = tt.ctx(ctx)
				}
				_, err := send(ctx, rt, tt.method, "/channels/1/x", `{"a":1}`)
				if len(s.at) != tt.tries || tt.tries > 1 && err != nil {
					t.Errorf("%d tries, want %d: %v", len(s.at), tt.tries, err)
				}
			})
		})
	}
}

func TestRetriesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, s := scripted(t, Options{MaxRetries: 2})
		for range 20 {
			s.replies = append(s.replies, status(503, nil))
		}
		if code, err := send(t.Context(), rt, "GET", "/gateway", ""); code != 503 || err != nil || len(s.at) != 3 {
			t.Errorf("got %d, %v after %d tries", code, err, len(s.at))
		}
		s.replies = nil
		for range 20 {
			s.replies = append(s.replies, status(429, limitedBy("user", "1")))
		}
		if _, err := send(t.Context(), rt, "GET", "/gateway", ""); !errors.Is(err, ErrRateLimited) {
			t.Errorf("got %v", err)
		}
	})
}

func TestGate(t *testing.T) {
	stale := errors.New("not fresh")
	var nodeGate, runnerGate error
	rt, s := scripted(t, Options{Gate: func(context.Context) error { return nodeGate }})
	ctx := WithAttempt(t.Context(), NewAttempt(AttemptOptions{Gate: func() error { return runnerGate }}))
	nodeGate = stale
	if _, err := send(ctx, rt, "POST", "/channels/1/x", ""); !errors.Is(err, stale) {
		t.Errorf("node: %v", err)
	}
	mustSend(t, rt, "GET", "/channels/1/x")
	nodeGate, runnerGate = nil, stale
	if _, err := send(ctx, rt, "PATCH", "/channels/1/x", ""); !errors.Is(err, stale) {
		t.Errorf("runner: %v", err)
	}
	mustSend(t, rt, "POST", "/channels/1/x")
	if len(s.at) != 2 || rt.Stats().Waiting != 0 {
		t.Errorf("%d requests, %+v", len(s.at), rt.Stats())
	}
}

func TestGateIsAskedAfterTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stale := errors.New("not fresh")
		var closed atomic.Bool
		gate := func(context.Context) error {
			if closed.Load() {
				return stale
			}
			return nil
		}
		rt, s := scripted(t, Options{Gate: gate}, status(200, bucketHeaders("0")))
		mustSend(t, rt, "POST", "/channels/1/x")
		time.AfterFunc(time.Second, func() { closed.Store(true) })
		if _, err := send(t.Context(), rt, "POST", "/channels/1/x", ""); !errors.Is(err, stale) || len(s.at) != 1 {
			t.Errorf("got %v after %d requests", err, len(s.at))
		}
	})
}

func TestCloseFailsWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, _ := scripted(t, Options{}, status(200, bucketHeaders("0")))
		mustSend(t, rt, "GET", "/channels/1/x")
		done := make(chan error, 1)
		go func() {
			_, err := send(t.Context(), rt, "GET", "/channels/1/x", "")
			done <- err
		}()
		synctest.Wait()
		rt.Close()
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("waiting: %v", err)
		}
		if _, err := send(t.Context(), rt, "GET", "/gateway", ""); !errors.Is(err, ErrClosed) {
			t.Errorf("later: %v", err)
		}
	})
}

// mustSend makes one request that must get an answer.
func mustSend(t *testing.T, rt *RoundTripper, method, path string) {
	t.Helper()
	if _, err := send(t.Context(), rt, method, path, ""); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
}

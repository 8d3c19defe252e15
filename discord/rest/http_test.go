package rest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const secret = "MTk4.Cl2FMQ.SECRET"

// TestOverHTTP runs against real servers: what goes on the wire, to whom, and that no token leaks.
func TestOverHTTP(t *testing.T) {
	var got *http.Request
	var body string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
		if r.URL.Path == "/api/v10/away" {
			http.Redirect(w, r, r.Header.Get("X-Target"), http.StatusFound)
		}
	}))
	defer api.Close()
	var foreign http.Header
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { foreign = r.Header.Clone() }))
	defer other.Close()
	rt := newTest(t, Options{BaseURL: api.URL + "/api/v10", Token: func() string { return secret }})
	client := &http.Client{Transport: rt}

	do := func(method, url, payload string, headers ...string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(payload))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res
	}
	expect := func(what, have, want string) {
		t.Helper()
		if have != want {
			t.Errorf("%s: %q, want %q", what, have, want)
		}
	}

	res := do("POST", api.URL+"/api/v10/channels/1/messages", `{"content":"x"}`, "Authorization", "Bot placeholder")
	expect("authorization", got.Header.Get("Authorization"), "Bot "+secret)
	expect("user agent", got.UserAgent()[:12], "DiscordBot (")
	expect("body", body, `{"content":"x"}`)
	if strings.Contains(strings.Join(res.Request.Header["Authorization"], ""), secret) {
		t.Error("the answer's request shows the token")
	}
	do("POST", api.URL+"/api/v10/webhooks/1/tok", "{}")
	expect("webhook's authorization", got.Header.Get("Authorization"), "")
	do("PUT", api.URL+"/api/v10/users/@me/applications/1/role-connection", "{}", "Authorization", "Bearer abc")
	expect("bearer", got.Header.Get("Authorization"), "Bearer abc")
	do("GET", other.URL+"/file.png", "", "Authorization", "Bot "+secret)
	expect("another host's authorization", foreign.Get("Authorization"), "")
	do("GET", api.URL+"/api/v10/away", "", "X-Target", other.URL+"/away")
	expect("authorization after a redirect", foreign.Get("Authorization"), "")
}

func TestLimitedOverHTTP(t *testing.T) {
	var n atomic.Int32
	var bodies [2]string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		i := n.Add(1)
		bodies[i-1] = string(b)
		if i == 1 {
			w.Header().Set("X-RateLimit-Scope", "user")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"message":"x","retry_after":0.02,"global":false}`)
		}
	}))
	defer api.Close()
	core, logs := observer.New(zap.DebugLevel)
	rt := newTest(t, Options{BaseURL: api.URL, Token: func() string { return secret }, Logger: zap.New(core)})
	req, err := http.NewRequestWithContext(t.Context(), "POST", api.URL+"/webhooks/1/hooksecret", strings.NewReader("same"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := rt.RoundTrip(req)
	if err != nil || res.StatusCode != 200 || bodies != [2]string{"same", "same"} {
		t.Fatalf("got %v, %v, bodies %q", res, err, bodies)
	}
	_ = res.Body.Close()
	s := rt.Stats()
	if s.Limited[ScopeUser] != 1 || s.Retries != 1 || s.Requests != 1 || s.Invalid != 1 || s.Buckets != 1 {
		t.Errorf("stats %+v", s)
	}
	for _, e := range logs.All() {
		for k, v := range e.ContextMap() {
			if text, _ := v.(string); strings.Contains(text, "hooksecret") || strings.Contains(text, secret) {
				t.Errorf("a token in the log: %s %v", k, v)
			}
		}
	}
	if logs.Len() != 1 {
		t.Errorf("%d log lines, want 1", logs.Len())
	}
}

func TestBodyThatCannotBeRepeatedIsNot(t *testing.T) {
	rt, s := scripted(t, Options{}, status(429, limitedBy("user", "1")))
	req, err := http.NewRequestWithContext(t.Context(), "POST", "/channels/1/x", io.MultiReader(strings.NewReader("once")))
	if err != nil {
		t.Fatal(err)
	}
	res, err := rt.RoundTrip(req)
	if err != nil || res.StatusCode != 429 || len(s.at) != 1 {
		t.Fatalf("got %v, %v after %d tries", res, err, len(s.at))
	}
	if b, _ := io.ReadAll(res.Body); len(b) == 0 {
		t.Error("the caller can't read the 429")
	}
}

func TestErrorsHoldNoToken(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	base := srv.URL
	srv.Close() // connections are refused from now on
	rt := newTest(t, Options{BaseURL: base, Token: func() string { return secret }, MaxRetries: -1})
	req, err := http.NewRequestWithContext(t.Context(), "POST", base+"/webhooks/1/hooksecret", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&http.Client{Transport: rt}).Do(req) //nolint:bodyclose // there is no answer
	if err == nil || !strings.Contains(err.Error(), "hooksecret") {
		t.Fatalf("the client's own error is expected to hold the URL: %v", err)
	}
	if red := Redact(err); strings.Contains(red.Error(), "hooksecret") || !strings.Contains(red.Error(), "/webhooks/{id}/{token}") {
		t.Errorf("redacted: %v", red)
	}
	if _, err := rt.RoundTrip(req); err == nil || strings.Contains(err.Error(), "hooksecret") || strings.Contains(err.Error(), secret) {
		t.Errorf("own error: %v", err)
	}
	if plain := errors.New("plain"); !errors.Is(Redact(plain), plain) {
		t.Error("other errors change")
	}
}

func TestUnknownWebhookIsNotUsedAgain(t *testing.T) {
	notFound := func(code string) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			res := reply(r, 404, nil)
			res.Body = io.NopCloser(strings.NewReader(`{"message":"Unknown","code":` + code + `}`))
			return res, nil
		}
	}
	rt, s := scripted(t, Options{}, notFound("10008"), notFound("10015"))
	mustSend(t, rt, "PATCH", "/webhooks/1/tok/messages/5")
	mustSend(t, rt, "POST", "/webhooks/1/tok")
	if _, err := send(t.Context(), rt, "POST", "/webhooks/1/tok", ""); !errors.Is(err, ErrWebhookGone) || len(s.at) != 2 {
		t.Errorf("got %v after %d requests", err, len(s.at))
	}
	mustSend(t, rt, "POST", "/webhooks/1/othertok")
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{
		{BaseURL: "ftp://x"}, {BaseURL: "http://"}, {BaseURL: "http://u:p@h"}, {BaseURL: "http://h\x00"},
		{GlobalPerSecond: -1}, {InvalidLimit: 10_000}, {InvalidLimit: -1}, {MaxWait: -1},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v passed", o)
		}
	}
	if _, err := New(Options{}); err != nil {
		t.Error(err)
	}
}

func TestCancelledBeforeTheWire(t *testing.T) {
	rt, s := scripted(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := send(ctx, rt, "GET", "/gateway", ""); !errors.Is(err, context.Canceled) || len(s.at) != 0 {
		t.Errorf("got %v", err)
	}
}

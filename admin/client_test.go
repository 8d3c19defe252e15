package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestKVRoundTrip(t *testing.T) {
	f := newFake(t)
	c := &Client{BaseURL: serve(t, ServerOptions{Backend: f})}
	for _, key := range []string{"plain", "a/b", "a//b", "..", "../x", ".", "ü ?#%", "a b+c", "/lead", "trail/"} {
		for _, value := range []string{`{"n":1}`, "\x00\xff binary", "text", ""} {
			v, err := c.PutKV(t.Context(), key, []byte(value), nil)
			if err != nil {
				t.Errorf("put %q: %v", key, err)
				continue
			}
			it, err := c.KV(t.Context(), key, Linearizable)
			if err != nil {
				t.Errorf("get %q: %v", key, err)
				continue
			}
			b, err := it.Bytes()
			if err != nil || string(b) != value || it.Version != v || it.Key != key {
				t.Errorf("%q = %q: read %+v, %q, %v", key, value, it, b, err)
			}
		}
	}
	all, err := c.KVList(t.Context(), "")
	if err != nil || len(all) != 10 {
		t.Errorf("list: %d keys, %v", len(all), err)
	}
	some, err := c.KVList(t.Context(), "a")
	if err != nil || len(some) != 3 {
		t.Errorf("list of a prefix: %+v, %v", some, err)
	}
	it, err := c.KV(t.Context(), "plain", "")
	if err != nil {
		t.Fatal(err)
	}
	old := it.Version - 1
	if _, err := c.PutKV(t.Context(), "plain", []byte("x"), &old); !errors.Is(err, ErrConflict) {
		t.Errorf("put with an old version: %v", err)
	}
	if err := c.DeleteKV(t.Context(), "plain", &it.Version); err != nil {
		t.Error(err)
	}
	if _, err := c.KV(t.Context(), "plain", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("a deleted key: %v", err)
	}
}

// TestClientCalls calls what TestRoutes doesn't show from the client's side.
func TestClientCalls(t *testing.T) {
	f := newFake(t)
	c := &Client{BaseURL: strings.TrimPrefix(serve(t, ServerOptions{Backend: f}), "http://")}
	ctx := t.Context()
	for want, err := range map[string]error{
		"drain a/b true":        c.Drain(ctx, "a/b", true),
		"drain x false":         c.Drain(ctx, "x", false),
		"remove x false":        c.RemoveNode(ctx, "x", false),
		"remove y true":         c.RemoveNode(ctx, "y", true),
		"voter x true":          c.SetVoter(ctx, "x", true),
		"voter x false":         c.SetVoter(ctx, "x", false),
		`transfer "x"`:          c.TransferLeadership(ctx, "x"),
		"move default/2 to x":   c.MoveShard(ctx, "2", "x"),
		"takeover default to x": c.Takeover(ctx, "x"),
		"leave":                 c.Leave(ctx),
		"dead default 9 true":   c.DeadLetter(ctx, 9, true),
		"dead default 9 false":  c.DeadLetter(ctx, 9, false),
		"revoke default/a.b":    c.RevokeClientKey(ctx, "a.b"),
	} {
		if err != nil {
			t.Errorf("%s: %v", want, err)
		}
		f.mu.Lock()
		found := false
		for _, call := range f.calls {
			found = found || call == want
		}
		f.mu.Unlock()
		if !found {
			t.Errorf("the backend was not asked: %s", want)
		}
	}
	res, err := c.RestoreSnapshot(ctx, strings.NewReader("BACKUP"), 6, RestoreOptions{ClusterID: "c1", KeepSessions: true})
	if err != nil || res.Generation != 7 || !res.SessionsKept || !slices.Contains(f.calls, "restore BACKUP into c1, keep true") {
		t.Errorf("restore: %+v, %v, %q", res, err, f.calls)
	}
	if rev, err := c.Configure(ctx, 4, []byte(`{}`)); err != nil || rev != 5 {
		t.Errorf("configure: %d, %v", rev, err)
	}
	if d, err := c.Digest(ctx); err != nil || d != (Digest{7, "abc"}) {
		t.Errorf("digest: %+v, %v", d, err)
	}
	for _, get := range []func() (any, error){
		func() (any, error) { return c.Nodes(ctx) }, func() (any, error) { return c.Node(ctx, "mike") },
		func() (any, error) { return c.Shard(ctx, "0") }, func() (any, error) { return c.Bots(ctx) },
		func() (any, error) { return c.Guild(ctx, testGuild) }, func() (any, error) { return c.GuildList(ctx, testGuild, "roles") },
		func() (any, error) { return c.User(ctx, "100000000000000004") }, func() (any, error) { return c.CacheStats(ctx) },
	} {
		if v, err := get(); err != nil || reflect.ValueOf(v).IsZero() {
			t.Errorf("%v, %v", v, err)
		}
	}
	if k, err := c.CreateClientKey(ctx, "web", "read"); err != nil || k.Key != "MTIz.client.web" {
		t.Errorf("client key: %+v, %v", k, err)
	}
	if keys, err := c.ClientKeys(ctx); err != nil || len(keys) != 1 || keys[0].Name != "web" || keys[0].Key != "" || !reflect.DeepEqual(keys[0].Rights, []string{"read"}) {
		t.Errorf("client keys: %+v, %v", keys, err)
	}
	if letters, err := c.DeadLetters(ctx); err != nil || len(letters) != 0 {
		t.Errorf("dead letters: %v, %v", letters, err)
	}
}

func TestJoinShowsStages(t *testing.T) {
	f := newFake(t)
	c := &Client{BaseURL: serve(t, ServerOptions{Backend: f})}
	var stages []string
	add := func(s string) { stages = append(stages, s) }
	res, err := c.Join(t.Context(), "a:1", "", add)
	if err != nil || res.ClusterID != "c1" || !reflect.DeepEqual(stages, []string{"contacted", "voter"}) {
		t.Errorf("%+v, %v, stages %v", res, err, stages)
	}
	f.fail(WithHint(ErrNotReady, "later"))
	if _, err := c.Join(t.Context(), "a:1", "", nil); !errors.Is(err, ErrNotReady) || Hint(err) != "later" {
		t.Errorf("a join that fails after it began: %v", err)
	}
	if _, err := c.Join(t.Context(), "early:1", "", nil); !errors.Is(err, ErrRefused) || Hint(err) != "not you" {
		t.Errorf("a join that is refused: %v", err)
	}
}

// TestWhatTheClientKnows tells apart what is certain after a failure.
func TestWhatTheClientKnows(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := &Client{BaseURL: "http://" + ln.Addr().String()}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := dead.Status(t.Context(), false); !errors.Is(err, ErrUnreachable) || ExitCode(err) != ExitUnknown || Hint(err) == "" {
		t.Errorf("nobody listens, read: %v", err)
	}
	if err := dead.Leave(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("nobody listens, command: %v", err)
	}
	cut := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer cut.Close()
	broken := &Client{BaseURL: cut.URL, HTTP: cut.Client()}
	if err := broken.Leave(t.Context()); !errors.Is(err, ErrUnknownOutcome) || ExitCode(err) != ExitUnknown {
		t.Errorf("cut off, command: %v", err)
	}
	if _, err := broken.Status(t.Context(), false); !errors.Is(err, ErrUnreachable) {
		t.Errorf("cut off, read: %v", err)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if err := (&Client{BaseURL: other.URL, HTTP: other.Client()}).Leave(t.Context()); err == nil || ExitCode(err) != ExitFailed || !strings.Contains(Hint(err), "--http") {
		t.Errorf("another server: %v", err)
	}
	for _, base := range []string{"", "ftp://x", "http://", "http://a b"} {
		if err := (&Client{BaseURL: base}).Leave(t.Context()); !errors.Is(err, ErrBadRequest) {
			t.Errorf("%q: %v", base, err)
		}
	}
}

func TestCommandOutcomeIsUnknownAfterATimeout(t *testing.T) {
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer slow.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := (&Client{BaseURL: slow.URL, HTTP: slow.Client()}).Leave(ctx); !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("a timeout: %v", err)
	}
}

package admin

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/botnode/botnode/fsm"
)

// withTokens is a backend whose cluster has a token of each right.
func withTokens(t *testing.T) *fake {
	f := newFake(t)
	f.tokens = map[string]fsm.AdminRight{"r": fsm.AdminRead, "o": fsm.AdminOperate, "a": fsm.AdminAll}
	return f
}

// TestRights asks every route with a token of each right: it is served with the
// route's own and those above, refused with those below, and refused without one.
func TestRights(t *testing.T) {
	base := serve(t, ServerOptions{Backend: withTokens(t)})
	wildcard := regexp.MustCompile(`\{[^}]*\}`)
	for _, route := range (&Server{}).routes() {
		if route.right < fsm.AdminRead || route.right > fsm.AdminAll {
			t.Errorf("%s has no right", route.pattern)
		}
		method, path, _ := strings.Cut(route.pattern, " ")
		url := base + "/v1" + wildcard.ReplaceAllString(path, "1")
		if path == "/events" {
			url += "?from=x" // no stream without an end
		}
		for token, right := range map[string]fsm.AdminRight{"r": fsm.AdminRead, "o": fsm.AdminOperate, "a": fsm.AdminAll} {
			got := ask(t, method, url, "", "Authorization", "Bearer "+token)
			if refused := got.status == http.StatusForbidden; refused == right.Covers(route.right) || got.status == http.StatusUnauthorized {
				t.Errorf("%s with the right %s: %d %s", route.pattern, right, got.status, got.body)
			}
		}
		if got := ask(t, method, url, ""); got.status != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", route.pattern, got.status)
		}
	}
}

// TestRightsOfRoutes holds what must not become easier: reading takes no more
// than the right read but where a secret is shown, and nothing that changes
// anything is had with it.
func TestRightsOfRoutes(t *testing.T) {
	secret := map[string]bool{"GET /snapshot": true, "GET /tls/backup-key": true, "GET /shards/{id}/state": true, "GET /events": true}
	admin := regexp.MustCompile(`^(POST|DELETE) /(client-keys|join-tokens|admin-tokens|tls|bot-token|leave|restore)|^DELETE /nodes/\{id\}$`)
	for _, r := range (&Server{}).routes() {
		reads := strings.HasPrefix(r.pattern, "GET ")
		switch {
		case secret[r.pattern] && r.right == fsm.AdminRead,
			!reads && r.right == fsm.AdminRead,
			reads && !secret[r.pattern] && r.right != fsm.AdminRead,
			admin.MatchString(r.pattern) && r.right != fsm.AdminAll:
			t.Errorf("%s takes the right %s", r.pattern, r.right)
		}
	}
}

// TestWhereTheTokenGoes: with the right operator alone nobody names another
// address to which the bot's token is sent.
func TestWhereTheTokenGoes(t *testing.T) {
	f := withTokens(t)
	base := serve(t, ServerOptions{Backend: f})
	for _, tt := range []struct{ request, body string }{
		{"PUT /v1/config", `{"revision":1,"config":{"api":"https://evil.example/api"}}`},
		{"PUT /v1/config", `{"revision":1,"config":{"API":"https://evil.example/api"}}`},
		{"POST /v1/shards/3/connect", `{"resume":` + testResume + `}`},
	} {
		method, path, _ := strings.Cut(tt.request, " ")
		if got := ask(t, method, base+path, tt.body, "Authorization", "Bearer o"); got.status != http.StatusForbidden || f.last() != "" {
			t.Errorf("%s with the right operator: %d %s", tt.request, got.status, got.body)
		}
		if got := ask(t, method, base+path, tt.body, "Authorization", "Bearer a"); got.status != http.StatusOK {
			t.Errorf("%s with the right admin: %d %s", tt.request, got.status, got.body)
		}
		f.last()
	}
	if got := ask(t, "PUT", base+"/v1/config", `{"revision":1,"config":{"intents":1}}`, "Authorization", "Bearer o"); got.status != http.StatusOK {
		t.Errorf("a configuration with the same API: %d %s", got.status, got.body)
	}
}

// TestWhoNeedsAToken: without tokens, loopback is open; with the first one it isn't.
func TestWhoNeedsAToken(t *testing.T) {
	status := func(base, token string) int {
		if token == "" {
			return ask(t, "GET", base+"/v1/tls/backup-key", "").status
		}
		return ask(t, "GET", base+"/v1/tls/backup-key", "", "Authorization", "Bearer "+token).status
	}
	open := serve(t, ServerOptions{Backend: newFake(t)})
	cluster := serve(t, ServerOptions{Backend: withTokens(t)})
	insecure := serve(t, ServerOptions{Backend: withTokens(t), Insecure: true})
	own := serve(t, ServerOptions{Backend: newFake(t), Token: "own"})
	both := serve(t, ServerOptions{Backend: withTokens(t), Token: "own"})
	for _, tt := range []struct {
		name, base, token string
		want              int
	}{
		{"no token anywhere", open, "", 200}, {"any token where none is needed", open, "x", 200},
		{"the cluster has tokens", cluster, "", 401}, {"a wrong one", cluster, "x", 401}, {"a good one", cluster, "a", 200}, {"one of less", cluster, "o", 403},
		{"--insecure takes no token away", insecure, "", 401},
		{"the node's own", own, "own", 200}, {"none beside it", own, "", 401},
		{"the node's own beside the cluster's", both, "own", 200}, {"the cluster's beside it", both, "a", 200}, {"neither", both, "x", 401},
	} {
		if got := status(tt.base, tt.token); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestNewToken: a token that this node hasn't applied yet is good.
func TestNewToken(t *testing.T) {
	f := withTokens(t)
	f.onSync = func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.tokens["new"] = fsm.AdminRead
	}
	base := serve(t, ServerOptions{Backend: f})
	if got := ask(t, "GET", base+"/v1/nodes", "", "Authorization", "Bearer new"); got.status != 200 {
		t.Errorf("a new token: %d %s", got.status, got.body)
	}
}

// TestWrongTokens: an address that shows too many is put off, others and good
// tokens of the cluster aren't, and the log has one line.
func TestWrongTokens(t *testing.T) {
	core, logs := observer.New(zapcore.WarnLevel)
	base := serve(t, ServerOptions{Backend: withTokens(t), Token: "own", Logger: zap.New(core)})
	for i := range 12 {
		_, err := (&Client{BaseURL: base, Token: fmt.Sprint("guess", i)}).Status(t.Context(), false)
		want := ErrUnauthorized
		if i >= 10 {
			want = ErrTooManyTries
		}
		if !errors.Is(err, want) {
			t.Errorf("guess %d: %v, want %v", i, err, want)
		}
	}
	got := ask(t, "GET", base+"/v1/nodes", "", "Authorization", "Bearer own")
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("a guess that is right, among too many: %d", got.status)
	}
	if got := ask(t, "GET", base+"/v1/nodes", "", "Authorization", "Bearer r"); got.status != 200 {
		t.Errorf("a token of the cluster: %d", got.status)
	}
	lines := logs.FilterField(zap.String("code", "admin_token_refused")).All()
	if len(lines) != 1 || strings.Contains(fmt.Sprint(lines[0].ContextMap()), "guess") {
		t.Errorf("the log: %v", lines)
	}
}

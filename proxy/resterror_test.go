package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/rest"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/shard"
)

// TestErrors: what stands in the way is told in Discord's form, with what a
// client can do.
func TestErrors(t *testing.T) {
	secret := errors.New("dial tcp 10.0.0.7:443: token do-not-show-me")
	for _, x := range []struct {
		err        error
		repeatable bool
		status     int
		own        string
		retry      bool
	}{
		{&rest.RateLimitError{RetryAfter: 1500 * time.Millisecond, Scope: rest.ScopeUser}, false, 429, "rate_limited", true},
		{fmt.Errorf("x: %w", shard.ErrNotFresh), false, 503, "not_fresh", true},
		{rest.ErrUnauthorized, true, 502, "bot_refused", false},
		{rest.ErrNoToken, true, 502, "bot_refused", false},
		{rest.ErrWebhookGone, true, 404, "webhook_gone", false},
		{rest.ErrClosed, false, 503, "closing", true},
		{context.DeadlineExceeded, true, 502, "discord_timeout", true},
		{context.DeadlineExceeded, false, 502, "discord_timeout", false},
		{secret, true, 502, "discord_unreachable", true},
		{secret, false, 502, "discord_unreachable", false},
	} {
		w := httptest.NewRecorder()
		w.Header().Set("X-Left", "over")
		ofError(x.err, x.repeatable).write(w)
		text := w.Body.String()
		if w.Code != x.status || !strings.Contains(text, fmt.Sprintf(`"botnode":{"error":%q,"retryable":%t}`, x.own, x.retry)) {
			t.Errorf("%v: %d %s", x.err, w.Code, text)
		}
		if strings.Contains(text, "10.0.0.7") || strings.Contains(text, "do-not-show-me") || w.Header().Get("X-Left") != "" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%v: %v %s", x.err, w.Header(), text)
		}
		if after := w.Header().Get("Retry-After"); (after != "") != (x.retry) {
			t.Errorf("%v: Retry-After %q", x.err, after)
		}
	}
}

// Test429: a 429 of the limiter's own can't be told from Discord's.
func Test429(t *testing.T) {
	for _, x := range []struct {
		scope  rest.Scope
		want   string
		global string
	}{
		{rest.ScopeUser, "user", ""}, {rest.ScopeShared, "shared", ""}, {rest.ScopeGlobal, "global", "true"}, {rest.ScopeEdge, "global", "true"},
	} {
		w := httptest.NewRecorder()
		ofError(&rest.RateLimitError{RetryAfter: 1234567 * time.Microsecond, Scope: x.scope}, false).write(w)
		h := w.Header()
		if w.Code != 429 || h.Get("Retry-After") != "2" || h.Get("X-RateLimit-Reset-After") != "1.235" || h.Get("X-RateLimit-Scope") != x.want ||
			h.Get("X-RateLimit-Global") != x.global || h.Get("Via") == "" {
			t.Errorf("%s: %d %v", x.scope, w.Code, h)
		}
		if want := fmt.Sprintf(`"global":%t,"message":"You are being rate limited.","retry_after":1.235`, x.global != ""); !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %s", x.scope, w.Body)
		}
	}
}

// TestPatience: a request that would wait longer than its client is willing to
// is refused at once, with the time that it would have taken.
func TestPatience(t *testing.T) {
	st, srv := onSim(t, sim.Options{Limits: map[string]sim.Limit{"messages.create": {Requests: 1, Window: 3 * time.Second}}})
	say := func(header ...string) got {
		return st.do("POST", "/api/v10"+channelPath(srv)+"/messages", map[string]any{"content": "hi"}, header...)
	}
	if g := say(); g.status != 200 {
		t.Fatalf("the first: %d %s", g.status, g.text)
	}
	begun := time.Now()
	g := say("Botnode-Max-Wait", "100ms")
	if took := time.Since(begun); g.status != 429 || took > time.Second || g.own() != "rate_limited" || g.header.Get("X-RateLimit-Scope") != "user" {
		t.Errorf("%v: %d %s %v", took, g.status, g.text, g.header)
	}
	if after, _ := g.body["retry_after"].(float64); after < 1 || after > 3.2 {
		t.Errorf("retry_after %v", after)
	}
	if g := say("Botnode-Max-Wait", "10s"); g.status != 200 {
		t.Errorf("with patience: %d %s", g.status, g.text)
	}
	if took := time.Since(begun); took < 2*time.Second {
		t.Errorf("it waited %v", took)
	}
	for _, bad := range []string{"soon", "-1s", "16m", "5"} {
		if g := say("Botnode-Max-Wait", bad); g.status != 400 || g.own() != "max_wait" {
			t.Errorf("%s: %d %s", bad, g.status, g.text)
		}
	}
	for _, r := range srv.Ledger().Requests() {
		if r.Status == 429 {
			t.Errorf("Discord had to say 429: %+v", r)
		}
	}
}

// TestUpstream: what Discord's side does wrong, as a client sees it.
func TestUpstream(t *testing.T) {
	var mode atomic.Value
	mode.Store("")
	var asked atomic.Int64
	st := onHandler(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		switch mode.Load() {
		case "401":
			w.WriteHeader(401)
		case "redirect":
			http.Redirect(w, r, "https://evil.example/", http.StatusFound)
		case "cut":
			panic(http.ErrAbortHandler)
		case "half":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		case "html":
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(520)
			_, _ = io.WriteString(w, "<h1>520</h1>")
		}
	})
	for _, x := range []struct {
		mode, method, path string
		status             int
		own                string
	}{
		{"redirect", "GET", "/guilds/1", 502, "redirect"},
		{"cut", "POST", "/guilds/1/channels", 502, "discord_unreachable"},
		{"html", "POST", "/guilds/1/channels", 520, ""}, // as it came: Discord's front says so
		{"401", "POST", "/webhooks/1/abc", 401, ""},
		{"401", "GET", "/guilds/1", 502, "bot_refused"},
		{"", "GET", "/guilds/1", 502, "bot_refused"}, // nothing is sent any more with that token
	} {
		mode.Store(x.mode)
		g := st.do(x.method, "/api/v10"+x.path, nil)
		if g.status != x.status || g.own() != x.own || g.header.Get("Location") != "" {
			t.Errorf("%s %s %s: %d %s", x.mode, x.method, x.path, g.status, g.text)
		}
	}
	if n := asked.Load(); n != 5 {
		t.Errorf("Discord was asked %d times", n)
	}
	mode.Store("half")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, st.url+"/api/v10/webhooks/1/abc", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", st.key)
	res, err := st.http.Do(req)
	if err != nil {
		return // cut off before its beginning
	}
	defer func() { _ = res.Body.Close() }()
	if text, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("half an answer looks whole: %q", text)
	}
}

// TestRepeats: the proxy repeats what can't act twice, messages among it, and
// nothing else.
func TestRepeats(t *testing.T) {
	st, srv := onSim(t, sim.Options{})
	for _, x := range []struct {
		method, path string
		fault        sim.Fault
		body         any
		status       int
	}{
		{"POST", channelPath(srv) + "/messages", sim.Fault{Kind: "rest_error", Status: 502, After: true}, map[string]any{"content": "a"}, 200},
		{"POST", channelPath(srv) + "/messages", sim.Fault{Kind: "rest_cut", After: true}, map[string]any{"content": "b"}, 200},
		{"POST", channelPath(srv) + "/messages", sim.Fault{Kind: "rest_error", After: true}, map[string]any{"content": "c", "nonce": 5}, 502},
		{"POST", channelPath(srv) + "/messages", sim.Fault{Kind: "rest_429", MS: 60}, map[string]any{"content": "d"}, 200},
		{"GET", channelPath(srv), sim.Fault{Kind: "rest_cut"}, nil, 200},
		{"POST", channelPath(srv) + "/typing", sim.Fault{Kind: "rest_cut", After: true}, nil, 502},
	} {
		if err := srv.Inject(x.fault); err != nil {
			t.Fatal(err)
		}
		if g := st.do(x.method, "/api/v10"+x.path, x.body); g.status != x.status {
			t.Errorf("%s %s %+v: %d %s", x.method, x.path, x.fault, g.status, g.text)
		}
	}
	made := make(map[string]int)
	for _, p := range srv.Ledger().Posted() {
		if !p.Deduped {
			made[p.Content]++
		}
	}
	for _, content := range []string{"a", "b", "c", "d"} {
		if made[content] != 1 {
			t.Errorf("message %s was made %d times", content, made[content])
		}
	}
}

// TestIdempotencyKey: a client's own repeat, to any node, is one message; another
// key, channel or client makes another.
func TestIdempotencyKey(t *testing.T) {
	st, srv := onSim(t, sim.Options{})
	second := serve(t, st.restNode, Options{})
	rooms := srv.TextChannels(srv.GuildIDs()[0])
	say := func(st *restStand, channel int, key, content string) {
		t.Helper()
		g := st.do("POST", "/api/v10/channels/"+rooms[channel].String()+"/messages", map[string]any{"content": content}, "Botnode-Idempotency-Key", key)
		if g.status != 200 {
			t.Fatalf("%d %s", g.status, g.text)
		}
	}
	say(st, 0, "k", "one")
	say(st, 0, "k", "one, again")
	say(second, 0, "k", "one, elsewhere")
	say(st, 0, "l", "two")
	if g := st.do("POST", "/api/v9/channels/"+rooms[0].String()+"/messages/", map[string]any{"content": "in another version"}, "Botnode-Idempotency-Key", "k"); g.body["content"] != "one" {
		t.Errorf("the path in other words: %d %s", g.status, g.text)
	}
	say(st, 1, "k", "three")
	body, kind := form(t, `{"content":"one, with a file"}`, bytes.Repeat([]byte{'x'}, maxMessage))
	if g := st.do("POST", "/api/v10/channels/"+rooms[0].String()+"/messages", body, "Content-Type", kind, "Botnode-Idempotency-Key", "k"); g.status != 200 || g.body["content"] != "one" {
		t.Errorf("a streamed repeat: %d %s", g.status, g.text)
	}
	made := 0
	for _, p := range srv.Ledger().Posted() {
		if !p.Deduped {
			made++
		}
	}
	if made != 3 {
		t.Errorf("%d messages were made, want 3", made)
	}
	for _, bad := range []string{"", strings.Repeat("x", maxIdempotency+1)} {
		if g := st.do("POST", "/api/v10/channels/1/messages", "{}", "Botnode-Idempotency-Key", bad); g.status != 400 || g.own() != "idempotency_key" {
			t.Errorf("%.5q: %d %s", bad, g.status, g.text)
		}
	}
}

// TestNotFresh: a node that has lost its cluster sends no writes; it reads.
func TestNotFresh(t *testing.T) {
	st := onHandler(t, func(http.ResponseWriter, *http.Request) {})
	err := error(shard.ErrNotFresh)
	st.gate.Store(&err)
	if g := st.do("POST", "/api/v10/guilds/1/channels", "{}"); g.status != 503 || g.own() != "not_fresh" {
		t.Errorf("a write: %d %s", g.status, g.text)
	}
	if g := st.do("GET", "/api/v10/guilds/1", nil); g.status != 200 {
		t.Errorf("a read: %d %s", g.status, g.text)
	}
}

// TestErrorsAreDocumented: docs/errors.md has each name that an answer of the
// proxy's own may carry.
func TestErrorsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "## Answers of the proxy")
	section, _, _ = strings.Cut(section, "\n## ")
	if !ok {
		t.Fatal("docs/errors.md has no section on the proxy's answers")
	}
	for _, name := range ownErrors() {
		if !strings.Contains(section, "`"+name+"`") {
			t.Errorf("docs/errors.md doesn't explain %s", name)
		}
	}
}

// ownErrors reads the names out of the source.
func ownErrors() (names []string) {
	for _, e := range []*apiError{
		errNotFound, errVersion, errMethod, errUnauthorized, errRights, errTooLarge, errSlowBody, errForm, errBusy, errNotFresh, errClosing, errNoBot,
		errBotRefused, errRedirect, errWebhookGone, errMaxWait, errIdempotency, errPanic,
		ofError(context.DeadlineExceeded, false), ofError(errors.New("x"), false), ofError(&rest.RateLimitError{}, false),
	} {
		names = append(names, e.own)
	}
	return append(names, "wrong_keys", "refused_tokens", "bad_body")
}

package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server over a backend and returns its address.
func serve(t *testing.T, o ServerOptions) string {
	t.Helper()
	o.Addr = "127.0.0.1:0"
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return "http://" + s.Addr()
}

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   string
}

func ask(t *testing.T, method, url, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

// TestRoutes asks every route once: what it answers, and what the backend was
// asked.
func TestRoutes(t *testing.T) {
	f := newFake(t)
	base := serve(t, ServerOptions{Backend: f})
	for _, tt := range []struct {
		request, body string
		status        int
		want          string // part of the answer
		call          string // what the backend was asked last
	}{
		{"GET /v1/status", "", 200, `"schema":1`, "status"},
		{"GET /v1/status?bot=nope", "", 404, `"code":"unknown_bot"`, "status"},
		{"GET /v1/nodes", "", 200, `[{"id":"mike"`, "status"},
		{"GET /v1/nodes/mike", "", 200, `{"id":"mike"`, "status"},
		{"GET /v1/nodes/joe", "", 404, `"code":"unknown_node"`, "status"},
		{"GET /v1/shards", "", 200, `[{"bot":"default","id":0`, "status"},
		{"GET /v1/shards/0", "", 200, `{"bot":"default","id":0`, "status"},
		{"GET /v1/shards/9", "", 404, `"code":"unknown_shard"`, "status"},
		{"GET /v1/bots", "", 200, `[{"name":"default"`, "status"},
		{"GET /v1/digest", "", 200, `{"applied_index":7,"digest":"abc"}`, ""},
		{"GET /v1/examine", "", 200, `[{"id":"joe","clock_ahead_ms":0,"clock_within_ms":0,"sync_ms":2`, ""},
		{"GET /v1/snapshot", "", 200, "SNAPSHOT", "snapshot"},
		{"GET /v1/cache/guilds/" + testGuild, "", 200, `"future":{"x":1}`, ""},
		{"GET /v1/cache/guilds/" + testGuild, "", 200, `"G <&>"`, ""},
		{"GET /v1/cache/guilds/1", "", 404, `"code":"not_found"`, ""},
		{"GET /v1/cache/guilds/x", "", 400, `"code":"bad_request"`, ""},
		{"GET /v1/cache/guilds/" + testGuild + "/channels", "", 200, `[{"id":"100000000000000002"`, ""},
		{"GET /v1/cache/guilds/" + testGuild + "/roles", "", 200, `@everyone`, ""},
		{"GET /v1/cache/guilds/" + testGuild + "/members", "", 200, `"username":"joe"`, ""},
		{"GET /v1/cache/guilds/" + testGuild + "/emojis", "", 200, "[]", ""},
		{"GET /v1/cache/guilds/" + testGuild + "/voice_states", "", 200, "[]", ""},
		{"GET /v1/cache/guilds/" + testGuild + "/threads", "", 200, "[]", ""},
		{"GET /v1/cache/guilds/" + testGuild + "/users", "", 404, `"code":"not_found"`, ""},
		{"GET /v1/cache/guilds/1/roles", "", 404, `"code":"not_found"`, ""},
		{"GET /v1/cache/users/100000000000000004", "", 200, `"username":"joe"`, ""},
		{"GET /v1/cache/stats", "", 200, `"kind":"channels","policy":"on","count":2`, ""},
		{"PUT /v1/kv/a/b", `{"n":1}`, 200, `"version":1`, "kv a/b"},
		{"GET /v1/kv/a/b", "", 200, `{"key":"a/b","value":{"n":1},"version":1}`, ""},
		{"GET /v1/kv/zz", "", 404, `"code":"not_found"`, ""},
		{"GET /v1/kv?prefix=a", "", 200, `[{"key":"a/b"`, ""},
		{"GET /v1/kv?limit=x", "", 400, `"code":"bad_request"`, ""},
		{"DELETE /v1/kv/a/b", "", 200, `"key":"a/b"`, "kv a/b"},
		{"GET /v1/config", "", 200, `"revision":1,"config":{"api":`, ""},
		{"PUT /v1/config", `{"revision":1,"config":{"intents":1}}`, 200, `"revision":2`, `configure default 1 {"intents":1}`},
		{"PUT /v1/config", `{"config":{"intents":1}}`, 400, `"code":"bad_request"`, ""},
		{"PUT /v1/config", `nope`, 400, `"code":"bad_request"`, ""},
		{"GET /v1/dead-letters", "", 200, "[]", ""},
		{"POST /v1/dead-letters/4/retry", "", 200, `"ok":true`, "dead default 4 true"},
		{"POST /v1/dead-letters/4/drop", "", 200, `"ok":true`, "dead default 4 false"},
		{"DELETE /v1/dead-letters/4", "", 200, `"ok":true`, "dead default 4 false"},
		{"POST /v1/dead-letters/x/drop", "", 400, `"code":"bad_request"`, ""},
		{"GET /v1/client-keys", "", 200, "[]", ""},
		{"POST /v1/client-keys", `{"name":"web"}`, 200, `"rights":["events","rest"],"created_ms":0,"sessions":0,"key":"MTIz.client.web"`, "client key default/web events,rest"},
		{"POST /v1/client-keys", `{"name":"r","rights":["events"," read"]}`, 200, `"rights":["events","read"]`, "client key default/r events,read"},
		{"POST /v1/client-keys", `{"name":"w","rights":["write"]}`, 400, `the rights are events, rest and read`, ""},
		{"POST /v1/client-keys", `{"name":"a b"}`, 400, `can't be the name`, ""},
		{"POST /v1/client-keys", `{"name":".."}`, 400, `can't be the name`, ""},
		{"POST /v1/client-keys", `{}`, 400, `can't be the name`, ""},
		{"GET /v1/client-keys", "", 200, `{"bot":"default","name":"r","rights":["events","read"],"created_ms":1700000000000,"sessions":0}`, ""},
		{"DELETE /v1/client-keys/web", "", 200, `"ok":true`, "revoke default/web"},
		{"POST /v1/join", `{"peer":"a:1"}`, 200, `"cluster_id":"c1"`, "join a:1"},
		{"POST /v1/join", `{"peer":"a:1","token":"t"}`, 200, `"cluster_id":"c1"`, "join a:1 with t"},
		{"GET /v1/join-tokens", "", 200, `[{"id":"t1","expires_ms":5,"used":2}]`, ""},
		{"POST /v1/join-tokens", `{}`, 200, `"token":"the-token"`, "create join token 1h0m0s"},
		{"POST /v1/join-tokens", `{"ttl_s":60}`, 200, `"id":"t1"`, "create join token 1m0s"},
		{"POST /v1/join-tokens", `{"ttl_s":-1}`, 400, `"code":"bad_request"`, ""},
		{"POST /v1/join-tokens", `{"ttl_s":99999999}`, 400, `a second to 30 days`, ""},
		{"DELETE /v1/join-tokens/t1", "", 200, `"ok":true`, "revoke join token t1"},
		{"GET /v1/admin-tokens", "", 200, `[{"name":"ops","right":"admin","created_ms":5,"expires_ms":0}]`, ""},
		{"POST /v1/admin-tokens", `{"name":"ci","right":"operator","ttl_s":60}`, 200, `"token":"the-token"`, "create admin token ci operator 1m0s"},
		{"POST /v1/admin-tokens", `{"name":"ci","right":"all"}`, 400, `the rights are read, operator and admin`, ""},
		{"POST /v1/admin-tokens", `{"name":"c i","right":"read"}`, 400, `can't be the name`, ""},
		{"POST /v1/admin-tokens", `{"name":"ci","right":"read","ttl_s":-1}`, 400, `"code":"bad_request"`, ""},
		{"DELETE /v1/admin-tokens/ci", "", 200, `"ok":true`, "revoke admin token ci"},
		{"GET /v1/bot-token", "", 200, `{"bot":"default","sealed":true,"revision":2,"epoch":1,"uses":"sealed"}`, ""},
		{"POST /v1/bot-token", `{"token":" Bot abc "}`, 200, `"ok":true`, "bot token of default: abc"},
		{"DELETE /v1/bot-token", "", 200, `"ok":true`, "drop token of default"},
		{"GET /v1/tls", "", 200, `"enabled":true,"epoch":1,"next":0,"authorities":[],"members":[{"id":"joe"`, ""},
		{"POST /v1/tls/rotate", "", 200, `"ok":true`, "rotate"},
		{"GET /v1/tls/backup-key", "", 200, `{"key":"the-key"}`, "backup key"},
		{"POST /v1/join", `{}`, 400, `"code":"bad_request"`, ""},
		{"POST /v1/leave", "", 200, `"ok":true`, "leave"},
		{"POST /v1/nodes/joe/drain", "", 200, `"ok":true`, "drain joe true"},
		{"DELETE /v1/nodes/joe/drain", "", 200, `"ok":true`, "drain joe false"},
		{"DELETE /v1/nodes/joe", "", 200, `"ok":true`, "remove joe false"},
		{"DELETE /v1/nodes/joe?force=true", "", 200, `"ok":true`, "remove joe true"},
		{"POST /v1/nodes/joe/promote", "", 200, `"ok":true`, "voter joe true"},
		{"POST /v1/nodes/joe/demote", "", 200, `"ok":true`, "voter joe false"},
		{"POST /v1/leader/transfer", "", 200, `"ok":true`, `transfer ""`},
		{"POST /v1/leader/transfer", `{"to":"joe"}`, 200, `"ok":true`, `transfer "joe"`},
		{"POST /v1/shards/3/move", `{"to":"joe"}`, 200, `"ok":true`, "move default/3 to joe"},
		{"POST /v1/shards/x/move", `{"to":"joe"}`, 400, `"code":"bad_request"`, ""},
		{"POST /v1/shards/3/move", ``, 400, `"code":"bad_request"`, ""},
		{"POST /v1/shards/3/move", `{"release":true}`, 200, `"ok":true`, "move default/3 to "},
		{"POST /v1/shards/3/move", `{"release":true,"to":"joe"}`, 400, `"code":"bad_request"`, ""},
		{"POST /v1/leader/transfer", `{"release":true}`, 400, `"code":"bad_request"`, ""},
		{"POST /v1/takeover", `{"release":true}`, 200, `"ok":true`, "takeover default to "},
		{"POST /v1/takeover", `{"to":"joe"}`, 200, `"ok":true`, "takeover default to joe"},
		{"POST /v1/shards/3/connect", "", 200, `"id":3,"total":0`, `connect default/3 of 0 to ""`},
		{"POST /v1/shards/3/connect", `{"of":4,"to":"joe"}`, 200, `"state":"ready"`, `connect default/3 of 4 to "joe"`},
		{"POST /v1/shards/3/connect", `{"resume":` + testResume + `}`, 200, `"total":4`, `connect default/3 of 4 to "" from 7`},
		{"POST /v1/shards/2/connect", `{"resume":` + testResume + `}`, 409, `is of shard 3, not of 2`, ""},
		{"POST /v1/shards/3/connect", `{"of":5,"resume":` + testResume + `}`, 409, `4 shards in all, not 5`, ""},
		{"POST /v1/shards/3/connect", `{"resume":{"schema":1,"bot":"default","shard":3,"total":4}}`, 400, `has no session`, ""},
		{"POST /v1/shards/3/connect", `{"resume":{"schema":2}}`, 400, `schema 2`, ""},
		{"POST /v1/shards/3/connect", strings.Replace(`{"resume":`+testResume+`}`, "default", "other", 1), 409, `is of bot`, ""},
		{"POST /v1/shards/3/connect", `{"of":-1}`, 400, `"code":"bad_request"`, ""},
		{"POST /v1/shards/3/connect", `{"of":`, 400, `"code":"bad_request"`, ""},
		{"POST /v1/shards/x/connect", "", 400, `"code":"bad_request"`, ""},
		{"POST /v1/shards/3/disconnect", "", 200, `"session_id":"s","resume_url":"wss://r","seq":7`, "disconnect default/3 within 20s"},
		{"POST /v1/shards/3/disconnect", `{"drain_ms":0}`, 200, `"undone":1`, "disconnect default/3 within 0s"},
		{"POST /v1/shards/3/disconnect", `{"drain_ms":99999999}`, 400, `drain_ms`, ""},
		{"GET /v1/shards/0/state", "", 409, `is connected, and its guilds change`, ""},
		{"GET /v1/shards/7/state", "", 404, `"code":"unknown_shard"`, ""},
		{"POST /v1/shards/0/state?of=1", `{"t":"GUILD_CREATE","d":{"id":"5"}}` + "\n" + `{"t":"GUILD_MEMBERS_CHUNK","d":{"guild_id":"5"}}`, 200, `"ok":true`, "import 2 events into default/0 of 1"},
		{"POST /v1/shards/0/state?of=1", `{"t":"MESSAGE_CREATE","d":{"id":"5"}}`, 400, `no event that is imported`, ""},
		{"POST /v1/shards/1/state?of=2", `{"t":"GUILD_CREATE","d":{"id":"5"}}`, 400, `guild 5 is not of shard 1 of 2`, ""},
		{"POST /v1/shards/0/state?of=1", `{"t":"GUILD_CREATE","d":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`, 400, `object 1`, ""},
		{"POST /v1/shards/0/state?of=1", `{"t":"GUILD_CREATE","d"`, 400, `object 1`, ""},
		{"POST /v1/shards/0/state", "", 400, `?of=`, ""},
		{"POST /v1/restore?cluster=c1&keep_sessions=true", "BACKUP", 200, `"generation":7`, "restore BACKUP into c1, keep true"},
		{"POST /v1/restore?keep_sessions=maybe", "BACKUP", 400, `"code":"bad_request"`, ""},
		{"GET /v1/nope", "", 404, `"code":"not_found"`, ""},
		{"GET /v1/digest?consistency=linearizable", "", 200, "abc", "sync"},
		{"GET /v1/digest?consistency=eventual", "", 400, `"code":"bad_request"`, ""},
		{"GET /livez", "", 200, "ok", ""},
		{"GET /readyz", "", 200, "ok", ""},
		{"GET /metrics", "", 404, "", ""},
	} {
		method, path, _ := strings.Cut(tt.request, " ")
		got := ask(t, method, base+path, tt.body)
		call := f.last()
		if got.status != tt.status || !strings.Contains(got.body, tt.want) || call != tt.call {
			t.Errorf("%s: %d %q, backend asked %q; want %d with %q and %q", tt.request, got.status, got.body, call, tt.status, tt.want, tt.call)
		}
	}
}

func TestEveryRouteIsAsked(t *testing.T) {
	s := &Server{}
	if n := len(s.routes()); n != 54 {
		t.Errorf("%d routes: add the new one to TestRoutes, then here", n)
	}
}

// TestErrors shows each error as the API writes it and as the client reads it.
func TestErrors(t *testing.T) {
	f := newFake(t)
	client := &Client{BaseURL: serve(t, ServerOptions{Backend: f})}
	codes := map[string]bool{}
	for _, k := range kinds {
		if k.code == "unreachable" || errors.Is(k.err, context.Canceled) || errors.Is(k.err, context.DeadlineExceeded) {
			continue
		}
		f.fail(WithHint(fmt.Errorf("%w: because", k.err), "do this"))
		err := client.Drain(t.Context(), "joe", true)
		var e *APIError
		if !errors.As(err, &e) {
			t.Fatalf("%v: %v", k.err, err)
		}
		if e.Status != k.status || e.Code != k.code || e.Retryable != k.retryable || e.Hint != "do this" || !strings.HasSuffix(e.Message, "because") {
			t.Errorf("%v: %+v, want %+v", k.err, e, k)
		}
		if !errors.Is(err, k.err) || ExitCode(err) != k.exit || Hint(err) != "do this" {
			t.Errorf("%v: read as %v with exit code %d", k.err, err, ExitCode(err))
		}
		codes[k.code] = true
	}
	f.fail(errors.New("boom"))
	if err := client.Leave(t.Context()); ExitCode(err) != ExitFailed || !strings.Contains(err.Error(), "boom") {
		t.Errorf("an unknown error: %v", err)
	}
	if ExitCode(nil) != ExitDone || ExitCode(fmt.Errorf("x: %w", ErrNoQuorum)) != ExitUnknown {
		t.Error("exit codes")
	}
}

func TestToken(t *testing.T) {
	f := newFake(t)
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("m")) })
	base := serve(t, ServerOptions{Backend: f, Token: "right", Metrics: metrics})
	for _, tt := range []struct {
		path, auth string
		want       int
	}{
		{"/v1/status", "", 401}, {"/v1/status", "Bearer wrong", 401}, {"/v1/status", "Basic right", 401}, {"/v1/status", "right", 401},
		{"/v1/status", "Bearer right", 200}, {"/v1/status", "bearer right", 200}, {"/v1/nope", "", 401},
		{"/metrics", "", 401}, {"/metrics", "Bearer right", 200}, {"/livez", "", 200}, {"/readyz", "", 200},
	} {
		got := ask(t, "GET", base+tt.path, "", "Authorization", tt.auth)
		if got.status != tt.want || strings.Contains(got.body, "right") {
			t.Errorf("%s with %q: %d %s, want %d", tt.path, tt.auth, got.status, got.body, tt.want)
		}
	}
	_, err := (&Client{BaseURL: base, Token: "wrong"}).Status(t.Context(), false)
	if !errors.Is(err, ErrUnauthorized) {
		t.Errorf("a wrong token: %v", err)
	}
}

func TestOtherSitesCantCommand(t *testing.T) {
	f := newFake(t)
	base := serve(t, ServerOptions{Backend: f})
	got := ask(t, "POST", base+"/v1/leave", "", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	if got.status != 401 || f.last() != "" {
		t.Errorf("a request of another site: %d %s", got.status, got.body)
	}
}

func TestBindRules(t *testing.T) {
	f := newFake(t)
	for _, tt := range []struct {
		o    ServerOptions
		want error
	}{
		{ServerOptions{Addr: "0.0.0.0:0"}, ErrInsecureBind},
		{ServerOptions{Addr: "[::]:0"}, ErrInsecureBind},
		{ServerOptions{Addr: "example.com:0"}, ErrInsecureBind},
		{ServerOptions{Addr: "nonsense"}, ErrBadRequest},
		{ServerOptions{Addr: "0.0.0.0:0", Token: "t"}, nil},
		{ServerOptions{Addr: "0.0.0.0:0", Insecure: true}, nil},
		{ServerOptions{Addr: "0.0.0.0:0", MetricsOnly: true, Metrics: http.NotFoundHandler()}, nil},
		{ServerOptions{Addr: ":0"}, nil},
		{ServerOptions{Addr: "localhost:0"}, nil},
	} {
		tt.o.Backend = f
		s, err := NewServer(tt.o)
		if !errors.Is(err, tt.want) {
			t.Errorf("%+v: %v, want %v", tt.o.Addr, err, tt.want)
		}
		if err != nil {
			continue
		}
		if tt.o.Addr == ":0" && !strings.HasPrefix(s.Addr(), "127.0.0.1:") {
			t.Errorf("no host: bound %s", s.Addr())
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	s, err := NewServer(ServerOptions{Addr: "127.0.0.1:0", Backend: f})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop(t.Context()) }()
	_, err = NewServer(ServerOptions{Addr: s.Addr(), Backend: f})
	if err == nil || !strings.Contains(err.Error(), "already in use") || !strings.Contains(Hint(err), "--http-addr") {
		t.Errorf("a port in use: %v (%s)", err, Hint(err))
	}
}

// TestNamesOfOthers: a web page whose name points to this machine is of no
// other site to a browser, so that the name itself must be refused.
func TestNamesOfOthers(t *testing.T) {
	for host, want := range map[string]int{"evil.example:7201": 401, "localhost:7201": 200, "127.0.0.1": 200, "[::1]:7201": 200} {
		for _, o := range []ServerOptions{{}, {Insecure: true}, {Token: "t"}} {
			o.Backend = newFake(t)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, serve(t, o)+"/v1/digest", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			req.Header.Set("Authorization", "Bearer t")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			want := want
			if o.Insecure || o.Token != "" {
				want = 200
			}
			if res.StatusCode != want {
				t.Errorf("%s, insecure %t, token %q: %d, want %d", host, o.Insecure, o.Token, res.StatusCode, want)
			}
		}
	}
}

func TestMetricsOnly(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("m")) })
	base := serve(t, ServerOptions{Backend: newFake(t), MetricsOnly: true, Metrics: metrics})
	for path, want := range map[string]int{"/metrics": 200, "/livez": 200, "/v1/status": 404} {
		if got := ask(t, "GET", base+path, ""); got.status != want {
			t.Errorf("%s: %d, want %d", path, got.status, want)
		}
	}
}

func TestHealthEndpoints(t *testing.T) {
	f := newFake(t)
	base := serve(t, ServerOptions{Backend: f})
	f.ready, f.live = []Check{{Name: "leader", Problem: "no leader is known"}}, errors.New("stuck")
	if got := ask(t, "GET", base+"/readyz?verbose", ""); got.status != 503 || got.body != "[+] member\n[-] leader: no leader is known\nnot ready\n" {
		t.Errorf("readyz: %+v", got)
	}
	if got := ask(t, "GET", base+"/readyz", ""); got.status != 503 || got.body != "not ready\n" {
		t.Errorf("readyz: %+v", got)
	}
	if got := ask(t, "GET", base+"/livez", ""); got.status != 503 {
		t.Errorf("livez: %+v", got)
	}
	missing, err := (&Client{BaseURL: base}).Ready(t.Context())
	if err != nil || len(missing) != 1 || missing[0] != "leader: no leader is known" {
		t.Errorf("client: %v, %v", missing, err)
	}
}

func TestBodyIsBounded(t *testing.T) {
	f := newFake(t)
	base := serve(t, ServerOptions{Backend: f})
	got := ask(t, "PUT", base+"/v1/kv/k", strings.Repeat("x", maxBody+1))
	if got.status != 400 || f.last() != "" {
		t.Errorf("a body too large: %d %s", got.status, got.body)
	}
}

// TestStopCutsOff: a node that was told to stop has stopped in order, whatever
// request it still had.
func TestStopCutsOff(t *testing.T) {
	begun := make(chan struct{})
	s, err := NewServer(ServerOptions{
		Addr: "127.0.0.1:0", Backend: newFake(t),
		Metrics: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { close(begun); <-r.Context().Done() }),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	ended := make(chan error, 1)
	go func() {
		res, err := http.Get("http://" + s.Addr() + "/metrics")
		if err == nil {
			err = res.Body.Close()
		}
		ended <- err
	}()
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("stopped with %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the request ended without an error")
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestStopEndsJoins(t *testing.T) {
	f := newFake(t)
	f.hold = make(chan struct{})
	s, err := NewServer(ServerOptions{Addr: "127.0.0.1:0", Backend: f})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	ended := make(chan error, 1)
	go func() {
		_, err := (&Client{BaseURL: "http://" + s.Addr()}).Join(context.Background(), "a:1", "", nil)
		ended <- err
	}()
	<-f.hold
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("a second stop: %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the join ended without an error")
	}
	http.DefaultClient.CloseIdleConnections()
}

package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/botnode/botnode/admin"
)

// secret is a token that no output may have.
const secret = "MTA5c2VjcmV0.Gabcde.do-not-print-me"

var update = flag.Bool("update", false, "rewrite what tests compare with")

func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// TestScripts runs the transcripts of testdata/script. BOTNODE_HTTP is a stub
// of a node, DEAD an address at which nobody listens.
func TestScripts(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			s := httptest.NewServer(stub())
			env.Defer(s.Close)
			env.Vars = append(env.Vars, "BOTNODE_HTTP="+s.URL, "DEAD="+dead, "SECRET="+secret)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "nosecret": noSecret,
			"writesecret": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte("Bot "+secret+"\n"), 0o600))
			},
		},
	})
}

// exits runs a command line in this process and wants its exit code:
// exits 3 botnode status.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || args[1] != "botnode" {
		ts.Fatalf("exits CODE botnode ARGUMENTS...")
	}
	code := Run(context.Background(), Options{
		Version: "v1.2.3", Args: args[2:], Stdin: strings.NewReader("from stdin"), Stdout: ts.Stdout(), Stderr: ts.Stderr(),
		LookupEnv: func(name string) (string, bool) { v := ts.Getenv(name); return v, v != "" },
		Builtins:  map[string]func() Program{"ping": func() Program { return Program{} }},
	})
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// noSecret wants that neither output has the token, nor a part of it.
func noSecret(ts *testscript.TestScript, _ bool, _ []string) {
	for _, name := range []string{"stdout", "stderr"} {
		for part := range strings.SplitSeq(secret, ".") {
			if strings.Contains(ts.ReadFile(name), part) {
				ts.Fatalf("%s has a part of the token", name)
			}
		}
	}
}

// stub answers as a node does.
func stub() http.Handler {
	mux := http.NewServeMux()
	answers := map[string]any{
		"GET /v1/status": testStatus(), "GET /v1/nodes": testStatus().Nodes, "GET /v1/nodes/joe": testStatus().Nodes[0],
		"GET /v1/shards": testStatus().Shards, "GET /v1/shards/0": testStatus().Shards[0],
		"GET /v1/digest":               admin.Digest{AppliedIndex: 42, Digest: "abc"},
		"GET /v1/kv":                   []admin.KVItem{{Key: "greeting", Value: json.RawMessage(`"hello"`), Version: 7}},
		"GET /v1/kv/greeting":          admin.KVItem{Key: "greeting", Value: json.RawMessage(`"hello"`), Version: 7},
		"PUT /v1/kv/{key}":             admin.KVItem{Key: "greeting", Version: 8},
		"DELETE /v1/kv/{key}":          admin.KVItem{Key: "greeting"},
		"GET /v1/cache/stats":          []admin.CacheStats{{Kind: "guilds", Policy: "on", Count: 3, Bytes: 4096}, {Kind: "members", Policy: "bounded 5 objects", Count: 9, Sweeping: true}},
		"GET /v1/cache/guilds/1":       map[string]string{"id": "1", "name": "A & B"},
		"GET /v1/cache/guilds/1/roles": []map[string]string{{"id": "1"}},
		"GET /v1/dead-letters":         []admin.DeadLetter{{Pos: 9, Type: "MESSAGE_CREATE", Attempts: 5, Error: "handler panicked"}},
		"GET /v1/config": admin.BotConfig{Bot: "default", Revision: 3, Config: json.RawMessage(`{"api":"https://discord.com/api/v10","intents":1,"shards":"2",` +
			`"caches":{"members":{"mode":"bounded","max_count":7,"filter":"id > 1"},"roles":{"mode":"off"}}}`)},
		"POST /v1/shards/0/move": nil, "POST /v1/takeover": nil, "POST /v1/nodes/mike/drain": nil, "DELETE /v1/nodes/mike/drain": nil,
		"POST /v1/nodes/mike/promote": nil, "POST /v1/nodes/mike/demote": nil, "DELETE /v1/nodes/mike": nil, "POST /v1/dead-letters/9/retry": nil,
		"POST /v1/dead-letters/9/drop": nil,
	}
	for pattern, v := range answers {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			enc := json.NewEncoder(w)
			enc.SetEscapeHTML(false)
			_ = enc.Encode(v)
		})
	}
	mux.HandleFunc("PUT /v1/config", putConfig)
	stubClientKeys(mux)
	stubAdminTokens(mux)
	stubBotToken(mux)
	refusals := map[string]*admin.APIError{
		"POST /v1/leave":           {Status: 503, Code: "no_quorum", Message: "no quorum", Hint: "start the others", Retryable: true},
		"POST /v1/leader/transfer": {Status: 504, Code: "unknown_outcome", Message: "outcome unknown"},
		"DELETE /v1/nodes/ghost":   {Status: 404, Code: "unknown_node", Message: "no such node: ghost", Hint: "`botnode node list` shows the nodes"},
	}
	for pattern, e := range refusals {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(e.Status)
			_ = json.NewEncoder(w).Encode(map[string]any{"error": e})
		})
	}
	stubManual(mux)
	mux.HandleFunc("POST /v1/join", func(w http.ResponseWriter, _ *http.Request) {
		for _, l := range []string{`{"stage":"contacted"}`, `{"stage":"nonvoter"}`, `{"stage":"caught_up"}`, `{"stage":"voter"}`, `{"result":{"cluster_id":"c1"}}`} {
			_, _ = fmt.Fprintln(w, l)
		}
	})
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "id: 3\nevent: gap\ndata: {\"from\":1,\"to\":3,\"reason\":\"behind the retention\"}\n\n"+
			"id: 4\ndata: {\"pos\":4,\"type\":\"MESSAGE_CREATE\",\"data\":{\"content\":\"hi\"}}\n\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	return mux
}

// putConfig refuses as a node does what can't change or comes too late.
func putConfig(w http.ResponseWriter, r *http.Request) {
	var b struct {
		Config struct {
			Shards      string `json:"shards"`
			MaxAttempts int    `json:"max_attempts"`
		} `json:"config"`
	}
	_ = json.NewDecoder(r.Body).Decode(&b)
	e := &admin.APIError{Status: 409, Code: "refused", Message: "refused: shards: 0-1/2 are in force and can't become \"4\""}
	switch {
	case b.Config.MaxAttempts == 99:
		e = &admin.APIError{Status: 412, Code: "conflict", Message: "conflict: the configuration has another revision"}
	case b.Config.Shards != "4":
		_ = json.NewEncoder(w).Encode(admin.BotConfig{Bot: "default", Revision: 4})
		return
	}
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": e})
}

func testStatus() admin.Status {
	return admin.Status{
		Schema: 1, Version: "v1.2.3", ClusterID: "c0ffee", ID: "joe", Health: "degraded", State: "leader", Leader: &admin.LeaderID{ID: "joe"},
		Term: 3, CommitIndex: 42, AppliedIndex: 42, Quorum: admin.Quorum{Have: 2, Need: 2},
		Problems: []admin.Problem{{Code: "node_down", Message: "node robert is dead", Hint: "start it again, or `botnode node remove robert`"}},
		Nodes: []admin.Node{
			{ID: "joe", ClusterAddr: "10.0.0.1:7101", State: "leader", Voter: true, Alive: true, Status: "alive", AppliedIndex: 42, Version: "v1.2.3", UptimeS: 7265, Shards: 1, EventsPerS: 1200, MemoryBytes: 210 << 20},
			{ID: "mike", ClusterAddr: "10.0.0.2:7101", State: "follower", Voter: true, Alive: true, Status: "alive", AppliedIndex: 40, Version: "v1.2.3", UptimeS: 65, Draining: true},
			{ID: "robert", ClusterAddr: "10.0.0.3:7101", State: "unknown", Voter: true, Status: "dead", LastContactMS: -1},
		},
		Bots: []admin.Bot{{Name: "default", Guilds: 3, Layout: 2, Identify: admin.Identify{Remaining: 990, Limit: 1000}, ShardsByState: map[string]int{"ready": 1, "resuming": 1}, Unacked: 4, OldestMS: 1500}},
		Shards: []admin.Shard{
			{Bot: "default", ID: 0, Total: 2, Owner: "joe", Epoch: 4, State: "ready", Seq: 1234, Guilds: 2, LatencyMS: 41.6, LastTakeover: &admin.Takeover{Kind: "failover", From: "robert", GapMS: 38, At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)}},
			{Bot: "default", ID: 1, Total: 2, Owner: "joe", Epoch: 2, State: "resuming", Seq: 99, Guilds: 1},
		},
	}
}

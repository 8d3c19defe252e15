package cli

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord/sim"
)

var proxyAt = regexp.MustCompile(`"msg":"serving".*"proxy":"([^"]+)"`)

// TestProxyThroughTheCommandLine: a node with a proxy, a key made by the command
// line, a client with it, and what the status shows; revoked, the key is worth
// nothing. When the node stops, the client is told before its shards go.
func TestProxyThroughTheCommandLine(t *testing.T) {
	srv := sim.New(sim.Options{Token: secret, GlobalLimit: -1})
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	joe := startNode(t, srv.APIURL(), "joe", t.TempDir(), "--bootstrap", "--proxy-addr", "127.0.0.1:0")
	m := proxyAt.FindStringSubmatch(joe.log.String())
	if m == nil {
		t.Fatalf("no proxy: %s", joe.log)
	}
	joe.must("wait", "--for", "ready", "--timeout", "20s")
	out := joe.must("client-key", "create", "web")
	key := strings.TrimSpace(out[:strings.IndexByte(out, '\n')])
	if !strings.HasPrefix(key, "MT") || strings.Count(key, ".") != 2 {
		t.Fatalf("key: %q", out)
	}
	ask := func(path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+m[1]+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bot "+key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	if status, text := ask("/api/v10/users/@me"); status != 200 || !strings.Contains(text, `"bot":true`) {
		t.Errorf("a request: %d %s", status, text)
	}
	ws, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+m[1]+"/?v=10&encoding=json", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.Close() }()
	identify := map[string]any{"op": 2, "d": map[string]any{"token": key, "intents": 1, "properties": map[string]any{}}}
	if err := ws.WriteJSON(identify); err != nil {
		t.Fatal(err)
	}
	await(t, ws, "READY")
	var st admin.Status
	if err := json.Unmarshal([]byte(joe.must("status", "--json")), &st); err != nil || st.Nodes[0].ProxyAddr != m[1] || st.Nodes[0].Clients != 1 {
		t.Errorf("status: %+v, %v", st.Nodes, err)
	}
	if text := joe.must("node", "show", "joe") + joe.must("status"); !strings.Contains(text, m[1]+", 1 client") || !strings.Contains(text, "clients") {
		t.Errorf("status: %s", text)
	}
	if text := checkMetrics(t, joe.http); !strings.Contains(text, "\nbotnode_proxy_clients 1\n") || !strings.Contains(text, `botnode_proxy_requests_total{code="2xx"} 1`) {
		t.Error("the metrics lack the proxy's")
	}
	if text := joe.must("client-key", "list"); !strings.Contains(text, "web   events,rest         1") {
		t.Errorf("list: %s", text)
	}
	if code, text := joe.run("client-key", "create", "web"); code != admin.ExitFailed || !strings.Contains(text, "revoke web") {
		t.Errorf("a name that is taken: %d %s", code, text)
	}
	if code, text := joe.run("client-key", "revoke", "nobody"); code != admin.ExitFailed || !strings.Contains(text, "not found") {
		t.Errorf("a name that nobody has: %d %s", code, text)
	}
	joe.signals <- syscall.SIGTERM
	await(t, ws, "op 7")
	if code := joe.exitCode(); code != 0 {
		t.Errorf("exit code %d: %s", code, joe.log)
	}
	for _, text := range []string{joe.log.String()} {
		if strings.Contains(text, key[strings.LastIndexByte(key, '.')+1:]) {
			t.Error("the log has the client's key")
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// await reads a gateway connection up to a dispatch, or "op 7".
func await(t *testing.T, ws *websocket.Conn, what string) {
	t.Helper()
	if err := ws.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for {
		var msg struct {
			Op int    `json:"op"`
			T  string `json:"t"`
		}
		if err := ws.ReadJSON(&msg); err != nil {
			t.Fatalf("no %s: %v", what, err)
		}
		if msg.T == what || msg.Op == 7 && what == "op 7" {
			return
		}
	}
}

// TestProxyAddrInUse: a node that can't have its proxy's address doesn't start,
// and leaves nothing open.
func TestProxyAddrInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	var errs output
	args := []string{"start", "--data-dir", t.TempDir(), "--cluster-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--proxy-addr", ln.Addr().String()}
	code := Run(t.Context(), Options{Args: args, Stderr: &errs, LookupEnv: env(map[string]string{"DISCORD_TOKEN": secret})})
	if code != admin.ExitFailed || !strings.Contains(errs.String(), "choose another --proxy-addr") {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	dir := t.TempDir()
	if code := Run(t.Context(), Options{Args: []string{"start", "--data-dir", filepath.Join(dir, "d"), "--cluster-addr", ln.Addr().String(), "--http-addr", "127.0.0.1:0", "--proxy-addr", "127.0.0.1:0"},
		Stderr: &errs, LookupEnv: env(map[string]string{"DISCORD_TOKEN": secret})}); code != admin.ExitFailed {
		t.Errorf("a cluster address that is in use: exit code %d", code)
	}
}

package sim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/botnode/botnode/discord/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// all is every intent that matters here.
const all = 1<<17 - 1

const patience = 5 * time.Second

// frame is a message of the gateway.
type frame struct {
	Op int             `json:"op"`
	S  *int64          `json:"s"`
	T  string          `json:"t"`
	D  json.RawMessage `json:"d"`
}

// client is a raw gateway client. It knows no rule: tests do.
type client struct {
	t   testing.TB
	ws  *websocket.Conn
	dec func([]byte) []byte
	sid string
	url string
	seq int64
}

func start(t *testing.T, o sim.Options) *sim.Server {
	t.Helper()
	srv := sim.New(o)
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return srv
}

// dial connects and reads HELLO.
func dial(t testing.TB, url, query string) *client {
	t.Helper()
	c := &client{t: t}
	ws, res, err := websocket.DefaultDialer.Dial(url+"/?v=10&encoding=json"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	c.ws = ws
	t.Cleanup(func() { _ = ws.NetConn().Close() })
	return c
}

func (c *client) hello() *client {
	c.t.Helper()
	if f := c.next(); f.Op != 10 {
		c.t.Fatalf("first op %d, want HELLO", f.Op)
	}
	return c
}

func (c *client) read() (frame, error) {
	_ = c.ws.SetReadDeadline(time.Now().Add(patience))
	kind, b, err := c.ws.ReadMessage()
	if err != nil {
		return frame{}, err
	}
	if kind == websocket.BinaryMessage && c.dec != nil {
		b = c.dec(b)
	}
	var f frame
	if err := json.Unmarshal(b, &f); err != nil {
		return frame{}, fmt.Errorf("%w in %q", err, b)
	}
	if f.S != nil {
		c.seq = *f.S
	}
	return f, nil
}

func (c *client) next() frame {
	c.t.Helper()
	f, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

// event reads on until an event of the kind.
func (c *client) event(kind string) frame {
	c.t.Helper()
	for {
		if f := c.next(); f.T == kind {
			return f
		}
	}
}

// op reads on until an op.
func (c *client) op(op int) frame {
	c.t.Helper()
	for {
		if f := c.next(); f.Op == op {
			return f
		}
	}
}

// closed reads on until the connection ends and returns its close code.
func (c *client) closed() int {
	c.t.Helper()
	for {
		_, err := c.read()
		var ce *websocket.CloseError
		switch {
		case errors.As(err, &ce):
			return ce.Code
		case err != nil:
			return -1
		}
	}
}

func (c *client) send(op int, d any) {
	c.t.Helper()
	if err := c.ws.WriteJSON(map[string]any{"op": op, "d": d}); err != nil {
		c.t.Fatal(err)
	}
}

type m = map[string]any

func identify(token string, intents int64, shard ...int) m {
	d := m{"token": token, "intents": intents, "properties": m{"os": "linux", "browser": "raw", "device": "raw"}}
	if shard != nil {
		d["shard"] = shard
	}
	return d
}

// login connects, identifies and reads READY.
func login(t *testing.T, srv *sim.Server, intents int64, shard ...int) *client {
	t.Helper()
	c := dial(t, srv.GatewayURL(), "").hello()
	c.send(2, identify(srv.Token(), intents, shard...))
	c.ready()
	return c
}

func (c *client) ready() frame {
	c.t.Helper()
	f := c.event("READY")
	var d struct {
		SessionID string `json:"session_id"`
		ResumeURL string `json:"resume_gateway_url"`
	}
	if err := json.Unmarshal(f.D, &d); err != nil || d.SessionID == "" || d.ResumeURL == "" {
		c.t.Fatalf("READY without session: %s", f.D)
	}
	c.sid, c.url = d.SessionID, d.ResumeURL
	return f
}

// guilds reads n GUILD_CREATEs.
func (c *client) guilds(n int) *client {
	c.t.Helper()
	for range n {
		c.event("GUILD_CREATE")
	}
	return c
}

// again dials by the resume URL and sends RESUME.
func (c *client) again(token string, seq int64) *client {
	c.t.Helper()
	n := dial(c.t, c.url, "").hello()
	n.sid, n.url, n.seq = c.sid, c.url, seq
	n.send(6, m{"token": token, "session_id": c.sid, "seq": seq})
	return n
}

// answer is an HTTP answer.
type answer struct {
	status int
	header http.Header
	body   m
	raw    []byte
}

// call makes a REST request as the bot.
func call(t *testing.T, srv *sim.Server, method, path string, body any) answer {
	t.Helper()
	return callAs(t, srv, "Bot "+srv.Token(), method, path, body)
}

func callAs(t *testing.T, srv *sim.Server, auth, method, path string, body any) answer {
	t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, srv.APIURL()+path, in)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", auth)
	return do(t, req)
}

// hc keeps no connections: goleak would find their goroutines.
var hc = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func do(t *testing.T, req *http.Request) answer {
	t.Helper()
	res, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, raw: b}
	_ = json.Unmarshal(b, &a.body)
	return a
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func text(f frame) string {
	var d struct {
		Content string `json:"content"`
	}
	_ = json.Unmarshal(f.D, &d)
	return d.Content
}

func mustHave(t *testing.T, s, part string) {
	t.Helper()
	if !strings.Contains(s, part) {
		t.Errorf("%.300q lacks %q", s, part)
	}
}

func want[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// eventually polls a condition that no message announces.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ctx := within(t); !cond(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

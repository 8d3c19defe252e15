package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/rest"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
)

// testToken is the bot's token, which no client may ever see.
const testToken = "MTI.real.do-not-show-me"

// restNode is a node as the REST half sees it: a real state, and a real way to an
// API.
type restNode struct {
	t    testing.TB
	m    *fsm.Machine
	trip http.RoundTripper
	api  string
	web  string                // the key of the client "web"
	gate atomic.Pointer[error] // what the gate of writes says
	away atomic.Pointer[error] // why it may not serve

	mu    sync.Mutex // guards index
	index uint64
}

var _ Backend = (*restNode)(nil)

func (n *restNode) Self() fsm.NodeRef { return fsm.NodeRef{ID: "joe", Inc: 1} }
func (n *restNode) ViewState(f func(*fsm.State)) {
	n.m.View(func(_ uint64, s *fsm.State) { f(s) })
}
func (n *restNode) Sync(context.Context) error { return nil }
func (n *restNode) Changed() <-chan struct{}   { return n.m.Changed() }
func (n *restNode) Serving() error {
	if err := n.away.Load(); err != nil {
		return *err
	}
	return nil
}
func (n *restNode) REST(bot string) (http.RoundTripper, string, error) {
	if bot != "default" {
		return nil, "", errors.New("no such bot in this program")
	}
	return n.trip, n.api, nil
}

func (n *restNode) Speak(context.Context, string, int, discord.Opcode, []byte) error {
	return errors.New("no gateway here")
}

func (n *restNode) ProposeState(_ context.Context, build func(*fsm.State) fsm.Command) (fsm.Result, error) {
	var cmd []byte
	n.m.View(func(_ uint64, s *fsm.State) { cmd = fsm.Encode(s.Generation, build(s)) })
	n.mu.Lock()
	defer n.mu.Unlock()
	n.index++
	rs, _ := n.m.Apply(n.index, fsm.EncodeBatch([][]byte{cmd})).([]fsm.Result)
	return rs[0], nil
}

func (n *restNode) apply(c fsm.Command) {
	n.t.Helper()
	if res, _ := n.ProposeState(context.Background(), func(*fsm.State) fsm.Command { return c }); res.Code != fsm.OK {
		n.t.Fatalf("%T: %+v", c, res)
	}
}

// key makes a client key.
func (n *restNode) key(bot, name string, rights fsm.Rights) string {
	n.t.Helper()
	key, hash := NewKey(12)
	n.apply(&fsm.PutClientKey{Bot: bot, Key: fsm.ClientKey{Name: name, Hash: hash, Rights: rights, At: 1}})
	return key
}

// restStand is a proxy in front of an API.
type restStand struct {
	*restNode
	*Server
	url  string // http://host:port
	http *http.Client
	key  string // with the rights events and rest
}

// newNode returns a node whose bot speaks to an API.
func newNode(t testing.TB, api string, o rest.Options) *restNode {
	t.Helper()
	n := &restNode{t: t, m: fsm.NewMachine(), api: api}
	o.BaseURL, o.Token = api, func() string { return testToken }
	o.Gate = func(context.Context) error {
		if err := n.gate.Load(); err != nil {
			return *err
		}
		return nil
	}
	if o.GlobalPerSecond == 0 {
		o.GlobalPerSecond = 1 << 20
	}
	trip, err := rest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trip.Close)
	n.trip = trip
	n.apply(&fsm.Init{ClusterID: "c1"})
	n.apply(&fsm.Rules{N: fsm.KnownRules})
	for _, bot := range []string{"default", "elsewhere"} {
		n.apply(&fsm.Configure{Bot: bot, Config: []byte(`{"intents":513}`)})
	}
	return n
}

// serve starts a proxy for a node.
func serve(t testing.TB, n *restNode, o Options) *restStand {
	t.Helper()
	if o.Listener == nil {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		o.Listener = ln
	}
	o.Backend = n
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{MaxIdleConnsPerHost: 64, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // a test's certificate
	st := &restStand{restNode: n, Server: s, url: "http://" + s.Addr().String(), http: &http.Client{Transport: tr}}
	st.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if o.TLS {
		st.url = "https://" + s.Addr().String()
	}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Errorf("closing the proxy: %v", err)
		}
	})
	if n.web == "" {
		n.web = n.key("default", "web", fsm.RightEvents|fsm.RightREST)
	}
	st.key = n.web
	return st
}

// onSim returns a proxy in front of a simulated Discord without limits, unless o
// has some.
func onSim(t testing.TB, o sim.Options) (*restStand, *sim.Server) {
	t.Helper()
	o.Token = testToken
	if o.GlobalLimit == 0 {
		o.GlobalLimit = -1
	}
	o.NoRouteLimits = o.Limits == nil
	srv := sim.New(o)
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return serve(t, newNode(t, srv.APIURL(), rest.Options{}), Options{}), srv
}

// onHandler returns a proxy in front of a handler, whose API is below /api/v10.
func onHandler(t testing.TB, h http.HandlerFunc) *restStand {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h} //nolint:gosec // a test's
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return serve(t, newNode(t, "http://"+ln.Addr().String()+"/api/v10", rest.Options{}), Options{})
}

// got is an answer.
type got struct {
	status int
	header http.Header
	text   string
	body   map[string]any // of a JSON object
	closed bool           // the connection ends with it
}

// own is botnode's name of the error in an answer.
func (g got) own() string {
	own, _ := g.body["botnode"].(map[string]any)
	name, _ := own["error"].(string)
	return name
}

// do sends a request with the stand's key, unless it has an Authorization header,
// which "-" leaves out.
func (st *restStand) do(method, path string, body any, header ...string) got {
	st.t.Helper()
	var r io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case io.Reader:
		r = b
	case string:
		r = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			st.t.Fatal(err)
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, st.url+path, r)
	if err != nil {
		st.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bot "+st.key)
	if r != nil {
		req.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i+1] == "-" {
			req.Header.Del(header[i])
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	return st.send(req)
}

func (st *restStand) send(req *http.Request) got {
	st.t.Helper()
	res, err := st.http.Do(req)
	if err != nil {
		st.t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		st.t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	if bytes.Contains(text, []byte("do-not-show-me")) {
		st.t.Errorf("%s %s shows the bot's token", req.Method, req.URL.Path)
	}
	g := got{status: res.StatusCode, header: res.Header, text: string(text), closed: res.Close}
	_ = json.Unmarshal(text, &g.body) // an answer need not be an object
	return g
}

// within polls a condition.
func within(t testing.TB, d time.Duration, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !cond(); <-time.After(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}

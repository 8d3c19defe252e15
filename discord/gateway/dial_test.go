package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/botnode/botnode/discord"
)

func TestDialRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"no sink":        {URL: "ws://h", Token: "x"},
		"no token":       {URL: "ws://h", Sink: &recorder{}},
		"http":           {URL: "http://h", Token: "x", Sink: &recorder{}},
		"no host":        {URL: "wss:///", Token: "x", Sink: &recorder{}},
		"no url":         {Token: "x", Sink: &recorder{}},
		"max message":    {URL: "ws://h", Token: "x", Sink: &recorder{}, MaxMessage: -1},
		"no compression": {URL: "ws://h", Token: "x", Sink: &recorder{}, Compression: 9},
	} {
		o.NetDial = func(context.Context, string, string) (net.Conn, error) {
			t.Errorf("%s: dialled", name)
			return nil, errors.New("no")
		}
		if _, err := Dial(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAddress(t *testing.T) {
	for _, tt := range []struct {
		url  string
		c    Compression
		want string
	}{
		{"wss://gateway.discord.gg", None, "wss://gateway.discord.gg/?encoding=json&v=10"},
		{"wss://gateway.discord.gg/?v=9&encoding=etf&compress=zlib-stream", None, "wss://gateway.discord.gg/?encoding=json&v=10"},
		{"ws://127.0.0.1:80/a?x=1#f", ZstdStream, "ws://127.0.0.1:80/a?compress=zstd-stream&encoding=json&v=10&x=1"},
	} {
		got, err := Options{URL: tt.url, Compression: tt.c}.address()
		if err != nil || got != tt.want {
			t.Errorf("%s: %s, %v", tt.url, got, err)
		}
	}
}

func TestDialReportsTheHTTPStatus(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	_, err := Dial(t.Context(), Options{URL: "ws" + srv.URL[4:], Token: testToken, Sink: &recorder{}})
	if !errors.Is(err, websocket.ErrBadHandshake) || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	client, server := net.Pipe() // a server that accepts and says nothing
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = server.Read(make([]byte, 1)) // the handshake has begun
		cancel()
	}()
	_, err := Dial(ctx, Options{
		URL: "ws://127.0.0.1:1", Token: testToken, Sink: &recorder{},
		NetDial: func(context.Context, string, string) (net.Conn, error) { return client, nil },
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestOverTLS is the whole way over real sockets: an event, then Drop from
// another goroutine, which the server must see as a bare end of TCP.
func TestOverTLS(t *testing.T) {
	ended := make(chan error, 1)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			ended <- err
			return
		}
		defer ws.Close()
		_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"op":10,"d":{"heartbeat_interval":40000}}`))
		_, _, _ = ws.ReadMessage() // the RESUME
		_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"op":0,"s":3,"t":"RESUMED","d":null}`))
		_, _, err = ws.ReadMessage()
		ended <- err
	}))
	defer srv.Close()
	roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	sink := &recorder{}
	got := make(chan Dispatch, 1)
	sink.onDispatch = func(e Dispatch) { got <- e }
	c, err := Dial(t.Context(), Options{
		URL: "wss" + srv.URL[5:], Token: testToken, Sink: sink, TLS: &tls.Config{RootCAs: roots},
	})
	if err != nil {
		t.Fatal(err)
	}
	sink.hello = func() { c.Resume("sid", 2) }
	done := make(chan struct{})
	go func() { defer close(done); c.Run() }()
	if e := <-got; e.Seq != 3 || e.Type != discord.EventResumed || string(e.Data) != "null" {
		t.Errorf("got %+v", e)
	}
	start := time.Now()
	c.Drop()
	if took := time.Since(start); took > time.Second {
		t.Errorf("Drop took %v", took)
	}
	<-done
	var ce *websocket.CloseError
	if err := <-ended; errors.As(err, &ce) && ce.Code != websocket.CloseAbnormalClosure {
		t.Errorf("the server saw a close frame: %v", err)
	}
	if cl := sink.closure(t); cl.Cause != CauseDropped {
		t.Errorf("closure %+v", cl)
	}
}

func TestDropBeforeRun(t *testing.T) {
	s := dialPipe(t, Options{})
	s.Drop()
	s.Run()
	s.peer.stop()
	if c := s.sink.closure(t); c.Cause != CauseDropped {
		t.Errorf("closure %+v", c)
	}
}

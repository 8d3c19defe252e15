package proxy

import (
	"net/http"
	"testing"

	"github.com/botnode/botnode/discord/rest"
	"github.com/botnode/botnode/fsm"
)

// TestGatewayRoutes: clients are told of the proxy's gateway, and of limits that
// stop no library.
func TestGatewayRoutes(t *testing.T) {
	n := newNode(t, "http://127.0.0.1:1/api/v10", rest.Options{})
	st := serve(t, n, Options{})
	own := "ws://" + st.Addr().String()
	for _, path := range []string{"/api/gateway", "/api/v9/gateway", "/api/v10/gateway/"} {
		if g := st.do("GET", path, nil); g.status != 200 || g.text != `{"url":"`+own+`"}` {
			t.Errorf("%s: %d %s", path, g.status, g.text)
		}
	}
	want := func(shards, starts, concurrency string) string {
		return `{"session_start_limit":{"max_concurrency":` + concurrency + `,"remaining":` + starts + `,"reset_after":0,"total":` + starts + `},"shards":` + shards + `,"url":"` + own + `"}`
	}
	if g := st.do("GET", "/api/v10/gateway/bot", nil); g.status != 200 || g.text != want("1", "1000", "64") {
		t.Errorf("before the bot's shards are known: %s", g.text)
	}
	n.apply(&fsm.Layout{Bot: "default", Total: 2000, From: 0, To: 1999})
	if g := st.do("GET", "/api/v10/gateway/bot", nil); g.text != want("2000", "2000", "500") {
		t.Errorf("of a large bot: %s", g.text)
	}
	if g := st.do("POST", "/api/v10/gateway/bot", "{}"); g.status != 405 {
		t.Errorf("POST: %d", g.status)
	}
	for path, want := range map[string]int{"/api/v10/gateway": 200, "/api/v10/gateway/bot": 401} {
		if g := st.do("GET", path, nil, "Authorization", "-"); g.status != want {
			t.Errorf("%s without a key: %d", path, g.status)
		}
	}
	public := serve(t, n, Options{PublicURL: "wss://bots.example.org"})
	if g := public.do("GET", "/api/v10/gateway", nil); g.body["url"] != "wss://bots.example.org" {
		t.Errorf("with a public address: %s", g.text)
	}
}

// TestGatewayURL: a client is sent to where it came, if it says that in a way
// that is an address.
func TestGatewayURL(t *testing.T) {
	st := serve(t, newNode(t, "http://127.0.0.1:1/api/v10", rest.Options{}), Options{})
	for host, want := range map[string]string{
		"bots.example.org:7301": "ws://bots.example.org:7301", "[::1]:7301": "ws://[::1]:7301", "bots": "ws://bots",
		"": "ws://" + st.Addr().String(), "a/b": "ws://" + st.Addr().String(), "u@h": "ws://" + st.Addr().String(), "a?b": "ws://" + st.Addr().String(),
		`a"b`: "ws://" + st.Addr().String(), "a b": "ws://" + st.Addr().String(),
	} {
		if got := st.gatewayURL(&http.Request{Host: host}); got != want {
			t.Errorf("%q: %s, want %s", host, got, want)
		}
	}
}

package proxy

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
)

// TestPaths: what is a path of the API, and where it leads.
func TestPaths(t *testing.T) {
	const base = "https://discord.com/api/v10"
	for in, want := range map[string]string{
		"/api/v10/users/@me": "/api/v10/users/@me",
		"/api/v9/users/@me":  "/api/v9/users/@me",
		"/api/users/@me":     "/api/v10/users/@me",
		"/api/v10/gateway/":  "/api/v10/gateway",
		"/api/v10/channels/1/messages/2/reactions/%F0%9F%91%8D/@me": "/api/v10/channels/1/messages/2/reactions/%F0%9F%91%8D/@me",
		"/api/v10/channels/1/messages/2/reactions/a:1/@me":          "/api/v10/channels/1/messages/2/reactions/a:1/@me",
		"/api/v10/invites/a.b":                                      "/api/v10/invites/a.b",
		"/api/v10/x%20y":                                            "/api/v10/x%20y",
		"/api/v10/voice/regions":                                    "/api/v10/voice/regions",

		"/api/v8/users/@me": "version", "/api/v100/users/@me": "version", "/api/v10.5/x": "/api/v10/v10.5/x",
		"/api": "none", "/api/": "none", "/api/v10": "none", "/api/v10/": "none", "/apix/v10/users": "none", "/users/@me": "none",
		"/api/v10/../users": "none", "/api/v10/a/./b": "none", "/api/v10/a//b": "none", "/api/v10//evil.example/a": "none", "/api//v10/a": "none",
		"/api/v10/%2e%2e/a": "none", "/api/v10/%2E%2E%2Fa": "none", "/api/v10/a%2fb": "none", "/api/v10/%252e%252e/a": "none", "/api/v10/a%5cb": "none",
		"/api/v10/%252f": "none", "/api/v10/a%0d%0ab": "none", "/api/v10/a%00": "none", "/api/v10/%250a": "none", "/api/v10/.%2e": "none",
	} {
		p, e := parsePath(in)
		switch got := p.target(base, "a=b"); {
		case e == errVersion && want == "version", e == errNotFound && want == "none":
		case e != nil || got == nil:
			t.Errorf("%s: %v, %v", in, e, got)
		case got.String() != "https://discord.com"+want+"?a=b":
			t.Errorf("%s leads to %s, want %s", in, got, want)
		}
	}
	for base, want := range map[string]string{
		"http://127.0.0.1:1/api/v10":  "http://127.0.0.1:1/api/v9/a",
		"http://127.0.0.1:1/api/v10/": "http://127.0.0.1:1/api/v9/a",
		"http://127.0.0.1:1/api":      "http://127.0.0.1:1/api/a",
		"http://127.0.0.1:1":          "http://127.0.0.1:1/a",
		"http://127.0.0.1:1/x/v1/api": "http://127.0.0.1:1/x/v1/api/a",
	} {
		if got := (apiPath{version: "v9", rest: "/a"}).target(base, ""); got == nil || got.String() != want {
			t.Errorf("%s: %v, want %s", base, got, want)
		}
	}
}

// FuzzPath: no path of a request leads to another host, nor out of the API,
// whatever a server makes of the way up, once or twice.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"/api/v10/users/@me", "/api/v10/../x", "/api//evil.example/x", "/api/v9/%2e%2e/%2e%2e", "/api/@evil.example/x", "/api/v10/a?b#c", "/api/v10/%zz",
		"/api/%252e%252e/x", "/api/v10/\\..\\x", "/api/v10/a%2F..%2F..%2Fb", "/api/:80/x", "/api/v10/x;y=1",
	} {
		f.Add(seed, "a=b")
	}
	f.Add("/api/0", "\x00")
	f.Add("/api/0", "#%")
	f.Fuzz(func(t *testing.T, raw, query string) {
		r, err := http.NewRequest(http.MethodGet, "http://proxy.example", nil) //nolint:noctx // it is not sent
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.ParseRequestURI(raw)
		if err != nil {
			return
		}
		r.URL = u
		p, e := parsePath(r.URL.EscapedPath())
		if e != nil {
			return
		}
		for _, base := range []string{"https://discord.com/api/v10", "http://127.0.0.1:8080"} {
			got := p.target(base, query)
			if got == nil {
				continue
			}
			b, _ := url.Parse(base)
			again, err := url.Parse(got.String())
			if err != nil || again.Host != b.Host || again.Scheme != b.Scheme || again.User != nil {
				t.Fatalf("%q leads to %q (%v)", raw, got, err)
			}
			below := strings.TrimSuffix(b.Path, "/v10") + "/"
			plain := got.EscapedPath()
			for range 3 {
				if clean := path.Clean(plain); !strings.HasPrefix(clean+"/", below) || strings.Contains(plain, "/../") || strings.ContainsAny(plain, "\\\r\n\x00") {
					t.Fatalf("%q leads out of the API: %q", raw, plain)
				}
				if plain, err = url.PathUnescape(plain); err != nil {
					break
				}
			}
		}
	})
}

// TestPublicURL: what an operator writes, and what clients are told.
func TestPublicURL(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "wss://bots.example.org": "wss://bots.example.org", "https://bots.example.org/": "wss://bots.example.org", "HTTP://10.0.0.1:7301": "ws://10.0.0.1:7301",
		"ws://[::1]:7301": "ws://[::1]:7301",
	} {
		if got, err := PublicURL(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"bots.example.org", "bots.example.org:443", "ftp://x", "wss://", "wss://u:p@x", "wss://x/discord", "wss://x?y=z", "wss://x#y", "://", "wss://a b"} {
		if got, err := PublicURL(in); err == nil {
			t.Errorf("%q: %q", in, got)
		}
	}
}

package proxy

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/botnode/botnode/discord/rest"
	"github.com/botnode/botnode/internal/certfile"
	"github.com/botnode/botnode/internal/certfile/certtest"
)

// TestTLS: the proxy speaks TLS, HTTP/1.1 alone, and tells its clients so.
func TestTLS(t *testing.T) {
	certFile, keyFile := certtest.Write(t, t.TempDir(), "proxy.example", 1)
	c, err := certfile.Load(certFile, keyFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	st := serve(t, newNode(t, "http://127.0.0.1:1/api/v10", rest.Options{}), Options{Listener: c.Listen(ln), TLS: true})
	g := st.do("GET", "/api/v10/gateway", nil)
	if want := "wss://" + ln.Addr().String(); g.status != 200 || g.body["url"] != want {
		t.Errorf("%d %s, want %s", g.status, g.text, want)
	}
	conn, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}) //nolint:gosec // a test's certificate
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if p := conn.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
		t.Errorf("it speaks %q", p)
	}
	if _, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil { //nolint:gosec // what is to be refused
		t.Error("it speaks TLS 1.1")
	}
}

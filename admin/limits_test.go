package admin

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSilentConnectionsMakeRoom: whoever connects and says nothing, or half of
// something, keeps nobody out.
func TestSilentConnectionsMakeRoom(t *testing.T) {
	base := serve(t, ServerOptions{Backend: newFake(t)})
	var conns []net.Conn
	for i := range 3 * maxSilent {
		c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if i%2 == 1 {
			_, _ = io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Half: ") // it may be closed already
		}
		conns = append(conns, c)
	}
	begun := time.Now()
	if got := ask(t, "GET", base+"/v1/digest", ""); got.status != 200 || time.Since(begun) > 2*time.Second {
		t.Errorf("another client: %d after %v", got.status, time.Since(begun))
	}
	// The first have made room: they are closed before their header's time is over.
	for _, c := range conns[:maxSilent] {
		_ = c.SetReadDeadline(begun.Add(headerTimeout / 2))
		if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Fatalf("a silent connection stays: %v", err)
		}
	}
}

// TestSlowHeaderEnds: a header that doesn't come to its end ends the connection.
func TestSlowHeaderEnds(t *testing.T) {
	base := serve(t, ServerOptions{Backend: newFake(t)})
	c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Half: ") // what comes of it is read below
	_ = c.SetReadDeadline(time.Now().Add(2 * headerTimeout))
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("it stays: %v", err)
	}
}

// TestBodiesAndHeadersAreBounded sends too much of each, and what nests too deep.
func TestBodiesAndHeadersAreBounded(t *testing.T) {
	f := newFake(t)
	base := serve(t, ServerOptions{Backend: f})
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	for what, body := range map[string]string{
		"a body that is too large": `{"peer":"` + strings.Repeat("x", maxBody) + `"}`, "a body that nests too deep": `{"peer":` + deep + `}`,
	} {
		if got := ask(t, "POST", base+"/v1/join", body); got.status != http.StatusBadRequest && got.status != http.StatusRequestEntityTooLarge || f.last() != "" {
			t.Errorf("%s: %d %.200s", what, got.status, got.body)
		}
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	go func() {
		_, _ = io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("y", 2*maxHeader))
	}() // it may be cut off
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil {
		_ = res.Body.Close()
	}
	if err != nil || res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header that is too large: %v %v", res, err)
	}
}

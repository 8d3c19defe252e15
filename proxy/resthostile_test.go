package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// dial connects to a stand.
func (st *restStand) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", st.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// response reads an answer off a connection.
func response(t *testing.T, c net.Conn) (status int, text string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("half an answer: %v", err)
	}
	return res.StatusCode, string(b)
}

// TestHalfOpen: a thousand connections that say nothing, or half of it, make room
// for those that do, and take little memory.
func TestHalfOpen(t *testing.T) {
	st := onHandler(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if g := st.do("GET", "/api/v10/guilds/1", nil); g.status != 204 {
		t.Fatal(g.status)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 1000 {
		c := st.dial(t)
		if i%2 == 1 {
			_, _ = io.WriteString(c, "GET /api/v10/guilds/1 HTTP/1.1\r\nHost: x\r\nX-Half: ") // it may be closed already
		}
	}
	within(t, 10*time.Second, "the silent ones are bounded", func() bool {
		all, silent := st.peers.Counts()
		return silent == maxSilent && all <= maxSilent+1
	})
	runtime.ReadMemStats(&after)
	if grown := int64(after.Sys) - int64(before.Sys); grown > 64<<20 {
		t.Errorf("they take %d MiB", grown>>20)
	}
	st.http.CloseIdleConnections()
	begun := time.Now()
	if g := st.do("GET", "/api/v10/guilds/1", nil); g.status != 204 {
		t.Error(g.status)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("another client waits %v", took)
	}
}

// TestSlowBody: a body that doesn't come, or trickles, is cut off, and takes no
// request to Discord with it.
func TestSlowBody(t *testing.T) {
	asked := 0
	st := onHandler(t, func(http.ResponseWriter, *http.Request) { asked++ })
	st.rest.pace = pace{pause: 60 * time.Millisecond, grace: 200 * time.Millisecond, rate: 1 << 20, answer: time.Second, api: time.Minute}
	head := "POST /api/v10/guilds/1/channels HTTP/1.1\r\nHost: x\r\nAuthorization: Bot " + st.key + "\r\nContent-Type: application/json\r\n"
	c := st.dial(t)
	_, _ = io.WriteString(c, head+"Content-Length: 100\r\n\r\n{") // what comes of it is read below
	if status, text := response(t, c); status != 408 || !strings.Contains(text, "slow_body") {
		t.Errorf("a body that stops: %d %s", status, text)
	}
	c = st.dial(t)
	_, _ = io.WriteString(c, head+"Content-Length: 1000\r\n\r\n")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
			case <-stop:
				return
			}
		}
	})
	begun := time.Now()
	if status, text := response(t, c); status != 408 || time.Since(begun) > 5*time.Second {
		t.Errorf("a body that trickles: %d %s after %v", status, text, time.Since(begun))
	}
	close(stop)
	wg.Wait()
	c = st.dial(t)
	_, _ = io.WriteString(c, head+"Content-Length: 100\r\n\r\n{}")
	_ = c.Close()
	within(t, 5*time.Second, "a body that breaks off lets go", func() bool { return st.underWay() == 0 })
	if asked != 0 {
		t.Errorf("Discord was asked %d times", asked)
	}
}

// TestUnreadBody: a request that is refused before its body was read ends soon
// whatever becomes of the body, and what is left of it is never taken for a
// request.
func TestUnreadBody(t *testing.T) {
	st := onHandler(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }) // at once, without reading
	post := func(auth string, length int) net.Conn {
		c := st.dial(t)
		_, _ = fmt.Fprintf(c, "POST /api/v10/webhooks/1/abc HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: %d\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", auth, length)
		return c
	}
	for _, x := range []struct {
		auth   string
		length int
		want   int
	}{
		{"Bot nobody", 1000, 401}, {"Bot nobody", 1 << 20, 401}, {"Bot " + st.key, maxHeld + 100_000, 418},
	} {
		begun := time.Now()
		c := post(x.auth, x.length)
		status, text := response(t, c)
		if took := time.Since(begun); status != x.want || took > unreadTimeout+2*time.Second {
			t.Errorf("%s, %d bytes: %d %s after %v", x.auth[:5], x.length, status, text, took)
		}
		if more, err := io.ReadAll(c); err == nil && len(more) > 0 {
			t.Errorf("%s, %d bytes: then comes %q", x.auth[:5], x.length, more)
		}
	}
	within(t, 5*time.Second, "the connections are gone", func() bool {
		all, _ := st.peers.Counts()
		return all == 0
	})
}

// underWay counts the requests that hold a slot.
func (st *restStand) underWay() int {
	st.rest.requests.mu.Lock()
	defer st.rest.requests.mu.Unlock()
	return st.rest.requests.all
}

// TestSlowUpload: an upload that is passed on while it comes, and stops, ends on
// both sides, nonce on the way or not.
func TestSlowUpload(t *testing.T) {
	ended := make(chan error, 2)
	st := onHandler(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	})
	st.rest.pace = pace{pause: 100 * time.Millisecond, grace: time.Minute, rate: 1 << 10, answer: time.Second, api: time.Minute}
	for _, path := range []string{"/channels/1/messages", "/webhooks/1/abc"} {
		body, kind := form(t, `{"content":"a file"}`, bytes.Repeat([]byte{'x'}, 2*maxMessage))
		c := st.dial(t)
		_, _ = fmt.Fprintf(c, "POST /api/v10%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bot %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, st.key, kind, body.Len())
		if _, err := c.Write(body.Bytes()[:maxMessage]); err != nil {
			t.Fatal(err)
		}
		if status, text := response(t, c); status != 408 {
			t.Errorf("%s: %d %s", path, status, text)
		}
		if err := <-ended; err == nil {
			t.Errorf("%s: Discord takes half an upload for a whole one", path)
		}
	}
	within(t, 5*time.Second, "nothing is held", func() bool { return st.underWay() == 0 && st.rest.buffered.left == maxBuffered })
}

// TestTooLarge: what is too large is refused before it is read.
func TestTooLarge(t *testing.T) {
	asked := 0
	st := onHandler(t, func(http.ResponseWriter, *http.Request) { asked++ })
	c := st.dial(t)
	_, _ = fmt.Fprintf(c, "POST /api/v10/webhooks/1/abc HTTP/1.1\r\nHost: x\r\nAuthorization: Bot %s\r\nContent-Length: %d\r\n\r\n", st.key, maxBody+1)
	if status, text := response(t, c); status != 413 || !strings.Contains(text, `"code":40005`) {
		t.Errorf("a body beyond the bound: %d %s", status, text)
	}
	big := `{"content":"` + strings.Repeat("x", maxMessage) + `"}`
	if g := st.do("POST", "/api/v10/channels/1/messages", big); g.status != 413 {
		t.Errorf("a message beyond the bound: %d %s", g.status, g.text)
	}
	if g := st.do("POST", "/api/v10/channels/1/messages", io.MultiReader(strings.NewReader(big))); g.status != 413 { // of unknown length
		t.Errorf("a message beyond the bound, in pieces: %d %s", g.status, g.text)
	}
	c = st.dial(t)
	_, _ = io.WriteString(c, "GET /api/v10/users/@me HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("x", 2*maxHeaderBytes)+"\r\n\r\n")
	if status, text := response(t, c); status != 431 || strings.Contains(text, "<") {
		t.Errorf("a header beyond the bound: %d %s", status, text)
	}
	if asked != 0 {
		t.Errorf("Discord was asked %d times", asked)
	}
}

// TestBadForm: a large form that is none is refused in a way that tells so.
func TestBadForm(t *testing.T) {
	st := onHandler(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	junk := strings.Repeat("x", maxMessage+100)
	if g := st.do("POST", "/api/v10/channels/1/messages", junk, "Content-Type", "multipart/form-data; boundary=b"); g.status != 400 || g.own() != "bad_form" {
		t.Errorf("%d %s", g.status, g.text)
	}
	if g := st.do("POST", "/api/v10/channels/1/messages", junk, "Content-Type", "multipart/form-data"); g.status != 400 || g.own() != "bad_form" {
		t.Errorf("without a boundary: %d %s", g.status, g.text)
	}
	if g := st.do("POST", "/api/v10/channels/1/messages", "--b junk", "Content-Type", "multipart/form-data; boundary=b"); g.status != 200 {
		t.Errorf("a small one is Discord's to judge: %d %s", g.status, g.text)
	}
}

// TestUnderWay: requests that are under way are bounded, of a key and in all, and
// so is what is held of their bodies.
func TestUnderWay(t *testing.T) {
	let := make(chan struct{})
	st := onHandler(t, func(http.ResponseWriter, *http.Request) { <-let })
	st.rest.requests.most, st.rest.requests.each = 3, 2
	second := st.restNode.key("default", "second", 2)
	answers := make(chan int, 3)
	var wg sync.WaitGroup
	for _, auth := range []string{st.key, st.key, second} {
		n := st.underWay()
		wg.Go(func() { answers <- st.do("GET", "/api/v10/guilds/1", nil, "Authorization", auth).status })
		within(t, 5*time.Second, "it is under way", func() bool { return st.underWay() == n+1 })
		if auth == second {
			break
		}
		if n == 1 {
			if g := st.do("GET", "/api/v10/guilds/1", nil); g.status != 429 || g.own() != "busy" {
				t.Errorf("of a key: %d %s", g.status, g.text)
			}
		}
	}
	if g := st.do("GET", "/api/v10/guilds/1", nil, "Authorization", second); g.status != 429 {
		t.Errorf("in all: %d", g.status)
	}
	if g := st.do("GET", "/api/v10/gateway/bot", nil); g.status != 200 {
		t.Errorf("the gateway's address: %d", g.status)
	}
	close(let)
	wg.Wait()
	for range 3 {
		if status := <-answers; status != 200 {
			t.Errorf("one that was under way: %d", status)
		}
	}
	st.rest.buffered.left = 50
	if g := st.do("POST", "/api/v10/guilds/1/channels", strings.Repeat(" ", 100)); g.status != 503 || g.own() != "busy" {
		t.Errorf("bodies: %d %s", g.status, g.text)
	}
	if st.rest.buffered.left != 50 || st.underWay() != 0 || len(st.rest.requests.of) != 0 {
		t.Errorf("left behind: %d bytes, %d requests", st.rest.buffered.left, st.underWay())
	}
}

// TestDeafClient: one that doesn't read its answer is cut off.
func TestDeafClient(t *testing.T) {
	st := onHandler(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, io.LimitReader(endless{}, 64<<20)) // it breaks off
	})
	st.rest.pace.answer = 100 * time.Millisecond
	c := st.dial(t)
	_, _ = fmt.Fprintf(c, "GET /api/v10/guilds/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bot %s\r\n\r\n", st.key)
	within(t, 5*time.Second, "it is under way", func() bool { return st.underWay() == 1 })
	within(t, 10*time.Second, "it is cut off", func() bool { return st.underWay() == 0 })
}

// endless is a text without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestSilentDiscord: a request that Discord doesn't answer ends.
func TestSilentDiscord(t *testing.T) {
	let := make(chan struct{})
	defer close(let)
	st := onHandler(t, func(http.ResponseWriter, *http.Request) { <-let })
	st.rest.pace.api = 50 * time.Millisecond
	for method, retry := range map[string]string{"GET": `"retryable":true`, "POST": `"retryable":false`} {
		if g := st.do(method, "/api/v10/guilds/1/channels", nil, "Botnode-Max-Wait", "50ms"); g.status != 502 || g.own() != "discord_timeout" || !strings.Contains(g.text, retry) {
			t.Errorf("%s: %d %s", method, g.status, g.text)
		}
	}
}

// TestGoneClient: a request whose client goes while it waits for a limit leaves
// the queue.
func TestGoneClient(t *testing.T) {
	let := make(chan struct{})
	defer close(let)
	st := onHandler(t, func(http.ResponseWriter, *http.Request) { <-let })
	c := st.dial(t)
	_, _ = fmt.Fprintf(c, "GET /api/v10/guilds/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bot %s\r\n\r\n", st.key)
	within(t, 5*time.Second, "it is under way", func() bool { return st.underWay() == 1 })
	_ = c.Close()
	within(t, 5*time.Second, "it is gone", func() bool { return st.underWay() == 0 })
}

// panicking is a way to Discord that panics.
type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("do-not-show-me") }

// TestPanic: a fault costs one request, and shows nothing.
func TestPanic(t *testing.T) {
	st := onHandler(t, func(http.ResponseWriter, *http.Request) {})
	trip := st.trip
	st.trip = panicking{}
	if g := st.do("GET", "/api/v10/guilds/1", nil); g.status != 500 || g.own() != "proxy_panic" {
		t.Errorf("%d %s", g.status, g.text)
	}
	st.trip = trip
	if g := st.do("GET", "/api/v10/guilds/1", nil); g.status != 200 || st.underWay() != 0 {
		t.Errorf("after it: %d, %d under way", g.status, st.underWay())
	}
}

// TestClose: a server that closes lets a request finish, and tells one that waits
// that it won't.
func TestClose(t *testing.T) {
	st := onHandler(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-RateLimit-Limit", "1")
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset-After", "60")
		w.Header().Set("X-RateLimit-Bucket", "b")
	})
	st.rest.pace.finish = 300 * time.Millisecond
	if g := st.do("GET", "/api/v10/guilds/1", nil); g.status != 200 {
		t.Fatal(g.status)
	}
	answer := make(chan got, 1)
	go func() { answer <- st.do("GET", "/api/v10/guilds/1", nil, "Botnode-Max-Wait", "5m") }()
	within(t, 5*time.Second, "it waits", func() bool { return st.underWay() == 1 })
	begun := time.Now()
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	if g := <-answer; g.status != 503 || g.own() != "closing" {
		t.Errorf("one that waits: %d %s", g.status, g.text)
	}
	if took := time.Since(begun); took < st.rest.pace.finish || took > st.rest.pace.finish+2*time.Second {
		t.Errorf("closing takes %v", took)
	}
	if _, err := net.Dial("tcp", st.Addr().String()); err == nil {
		t.Error("it still listens")
	}
	if err := st.Close(); err != nil {
		t.Errorf("once more: %v", err)
	}
}

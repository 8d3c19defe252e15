package proxy

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// Bytes that are no payload end the connection that they came on, and no other.
func TestGarbage(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	good := b.nodes[0].dial("")
	good.begun(bedIntents, "")
	for name, p := range map[string][]byte{
		"binary":    {0x83, 't', 0, 0, 0, 1},
		"deep":      []byte(`{"op":2,"d":` + strings.Repeat("[", 1900) + strings.Repeat("]", 1900) + `}`),
		"huge":      bytes.Repeat([]byte("x"), 5<<20),
		"no text":   {},
		"not UTF-8": []byte("{\"op\":2,\"d\":\"\xff\"}"),
	} {
		c := b.nodes[0].dial("")
		_ = c.ws.WriteMessage(websocket.BinaryMessage, p) // the server may hang up in the middle
		if code, _ := c.closed(); code != 4002 {
			t.Errorf("%s: %d", name, code)
		}
	}
	// No WebSocket at all after the upgrade.
	raw, err := net.Dial("tcp", b.nodes[0].server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	_, _ = fmt.Fprintf(raw, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	_, _ = raw.Write(bytes.Repeat([]byte{0xff}, 1000))
	_ = raw.SetReadDeadline(deadline())
	buf := make([]byte, 4096)
	for err = nil; err == nil; {
		_, err = raw.Read(buf)
	}
	if e, ok := err.(net.Error); ok && e.Timeout() { //nolint:errorlint // of net itself
		t.Error("it isn't hung up on")
	}
	res, err := http.Get("http://" + b.nodes[0].server.Addr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("a plain request: %d", res.StatusCode)
	}
	b.say(guildID(0), "still here")
	good.event(discord.EventMessageCreate)
}

// A client that doesn't read holds up nobody, and what it misses is not kept for
// it: when it reads again it is sent all that is still there, or op 9.
func TestSlowReader(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1, retain: 1 << 20})
	slow, good := b.nodes[0].dial(""), b.nodes[0].dial("")
	slow.begun(bedIntents, "")
	good.begun(bedIntents, "")
	text := strings.Repeat("x", 10_000)
	const n = 3000 // 30 MB: more than the sockets' buffers and the journal hold
	for i := range n {
		b.say(guildID(0), fmt.Sprint(i, " ", text))
		if got := good.event(discord.EventMessageCreate).content(); !strings.HasPrefix(got, fmt.Sprint(i, " ")) {
			t.Fatalf("event %d: %.20s", i, got)
		}
	}
	for i := 0; ; i++ {
		m := slow.next()
		if m.Op == discord.OpInvalidSession {
			if i == 0 || i == n {
				t.Errorf("op 9 after %d events", i)
			}
			break
		}
		if !strings.HasPrefix(m.content(), fmt.Sprint(i, " ")) {
			t.Fatalf("event %d: %.20s: a hole, and no op 9", i, m.content())
		}
	}
	slow.begun(bedIntents, "") // a new session on the same connection
}

// A client that reads nothing at all doesn't hold up the server's end.
func TestCloseDoesNotWaitForASlowReader(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	slow := b.nodes[0].dial("")
	slow.begun(bedIntents, "")
	for range 3000 {
		b.say(guildID(0), strings.Repeat("x", 10_000))
	}
	begun := time.Now()
	b.close()
	if d := time.Since(begun); d > closeGrace+3*time.Second {
		t.Errorf("the end took %v", d)
	}
}

// panicky is a node that panics when it is asked for a session.
type panicky struct{ *bedNode }

func (panicky) ProposeState(context.Context, func(*fsm.State) fsm.Command) (fsm.Result, error) {
	panic("a mistake")
}

// A panic ends one connection, with a line in the log, and none of the key in it.
func TestPanicEndsOneConnection(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	s, err := New(Options{Listener: ln, Backend: panicky{b.nodes[0]}, Logger: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	n := &bedNode{bed: b, server: s}
	c := n.dial("")
	c.identify(bedIntents, "")
	if code, _ := c.closed(); code != 4000 {
		t.Errorf("%d", code)
	}
	lines := logs.FilterField(zap.String("code", "proxy_panic")).All()
	if len(lines) != 1 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, l := range logs.All() {
		if strings.Contains(fmt.Sprint(l.Message, l.ContextMap()), b.key) {
			t.Error("the key is in the log")
		}
	}
}

// Wrong keys at speed are slowed down, a right one of the same address isn't.
func TestWrongKeysAreSlowed(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	s := b.nodes[0].server
	for range freeAttempts + 2 {
		s.attempts.wrong("127.0.0.1", time.Now())
	}
	begun := time.Now()
	c := b.nodes[0].dial("")
	c.send(discord.OpIdentify, `{"token":"wrong","intents":0}`)
	if code, _ := c.closed(); code != 4004 {
		t.Errorf("%d", code)
	}
	if d := time.Since(begun); d < 3*attemptStep {
		t.Errorf("the answer came after %v", d)
	}
	begun = time.Now()
	b.nodes[0].dial("").begun(0, "")
	if d := time.Since(begun); d > 2*attemptStep {
		t.Errorf("the right key was answered after %v", d)
	}
}

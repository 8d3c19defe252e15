package transport

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

func cluster(id string) func(*Options) {
	return func(o *Options) { o.ClusterID = func() string { return id } }
}

func TestClustersKeepApart(t *testing.T) {
	for _, tt := range []struct {
		mine, theirs string
		rpc, raft    error
	}{
		{"c1", "c1", nil, nil},
		{"", "", nil, nil},
		{"", "c1", nil, ErrWrongCluster},
		{"c1", "", nil, ErrWrongCluster},
		{"c1", "c2", ErrWrongCluster, ErrWrongCluster},
	} {
		a, b := node(t, "a", cluster(tt.mine)), node(t, "b", cluster(tt.theirs))
		b.RaftLayer()
		_, err := a.Probe(testContext(t), b.Addr())
		if !errors.Is(err, tt.rpc) {
			t.Errorf("%q to %q: rpc: %v", tt.mine, tt.theirs, err)
		}
		c, err := a.RaftLayer().Dial(b.Addr(), 10*time.Second)
		if !errors.Is(err, tt.raft) {
			t.Errorf("%q to %q: raft: %v", tt.mine, tt.theirs, err)
		}
		if err == nil {
			_ = c.Close()
		}
	}
}

func TestDuplicateIDs(t *testing.T) {
	a, b := node(t, "a", nil), node(t, "b", nil)
	twin := node(t, "a", incarnation(2))
	ctx := testContext(t)
	if _, err := twin.Probe(ctx, a.Addr()); !errors.Is(err, ErrDuplicateID) || !strings.Contains(err.Error(), "--id") {
		t.Errorf("a second a calls the first: %v", err)
	}
	b.Handle(mEcho, echo)
	if _, err := a.Call(ctx, b.Addr(), mEcho, nil); err != nil {
		t.Fatal(err)
	}
	// b is connected to a: it asks a, who lives, before it believes the twin.
	if _, err := twin.Call(ctx, b.Addr(), mEcho, nil); !errors.Is(err, ErrDuplicateID) || !strings.Contains(err.Error(), a.Addr()) {
		t.Errorf("a second a calls b: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := twin.Call(ctx, b.Addr(), mEcho, nil); err != nil {
		t.Errorf("the only a that is left calls b: %v", err)
	}
	older := node(t, "a", nil)
	if _, err := older.Call(ctx, b.Addr(), mEcho, nil); !errors.Is(err, ErrStaleIncarnation) {
		t.Errorf("an older incarnation calls b: %v", err)
	}
}

func TestVersionsRefuseEachOther(t *testing.T) {
	a := node(t, "a", nil)
	c, err := net.Dial("tcp", a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	hello := header{version: protocolVersion + 1, kind: kindRPC, id: "future"}
	if _, err := c.Write(hello.append(nil)); err != nil {
		t.Fatal(err)
	}
	h, err := readHeader(c)
	if err != nil || h.kind != answerVersion || !strings.Contains(h.note, "upgrade") {
		t.Errorf("got %+v, %v", h, err)
	}
	answer := header{version: protocolVersion + 1, kind: answerVersion}
	if _, err := a.Probe(testContext(t), answering(t, answer.append(nil))); !errors.Is(err, ErrWrongVersion) {
		t.Errorf("dialling a future node: %v", err)
	}
}

func TestStrangersAreNamed(t *testing.T) {
	a := node(t, "a", nil)
	for name, says := range map[string]string{"http": "HTTP/1.1 400 Bad Request\r\n\r\n", "tls": "\x15\x03\x01\x00\x02\x02\x46\x00\x00"} {
		if _, err := a.Probe(testContext(t), answering(t, []byte(says))); !errors.Is(err, ErrNotPeer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	reflected := header{version: protocolVersion, kind: kindRPC, id: "a", incarnation: 1}
	if _, err := a.Probe(testContext(t), answering(t, reflected.append(nil))); !errors.Is(err, ErrNotPeer) {
		t.Errorf("a hello for an answer: %v", err)
	}
}

// answering listens for one connection and answers it with b.
func answering(t *testing.T, b []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = c.Read(make([]byte, 1024))
		_, _ = c.Write(b)
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

func TestSilentStrangerDoesNotBlockOthers(t *testing.T) {
	a, b := node(t, "a", nil), node(t, "b", nil)
	c, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), acceptTimeout/2)
	defer cancel()
	if _, err := a.Probe(ctx, b.Addr()); err != nil {
		t.Error(err)
	}
}

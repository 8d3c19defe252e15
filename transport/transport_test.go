package transport

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

func TestListenRefusals(t *testing.T) {
	taken := listen(t, "a", nil)
	for name, tt := range map[string]struct {
		o    Options
		want error
		text string
	}{
		"port in use":     {Options{Bind: taken.Addr(), ID: "b"}, ErrPortInUse, "--cluster-addr"},
		"all interfaces":  {Options{Bind: "0.0.0.0:0", ID: "b"}, ErrInsecureBind, "--insecure"},
		"no host":         {Options{Bind: ":0", ID: "b"}, ErrInsecureBind, "--cluster-addr"},
		"no id":           {Options{Bind: "127.0.0.1:0"}, nil, "id"},
		"no port":         {Options{Bind: "127.0.0.1", ID: "b"}, nil, "--cluster-addr"},
		"what to dial":    {Options{Bind: "0.0.0.0:0", ID: "b", Insecure: true}, nil, "--advertise-addr"},
		"advertised host": {Options{Bind: "127.0.0.1:0", ID: "b", Advertise: ":7101"}, nil, "--advertise-addr"},
	} {
		tr, err := Listen(tt.o)
		if err == nil {
			_ = tr.Close()
			t.Errorf("%s: no error", name)
			continue
		}
		if tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	udp, err := net.ListenPacket("udp", freePort(t)) // only the UDP twin is taken
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	if tr, err := Listen(Options{Bind: udp.LocalAddr().String(), ID: "b"}); !errors.Is(err, ErrPortInUse) || !strings.Contains(err.Error(), "udp") {
		t.Errorf("udp port in use: %v, %v", tr, err)
	}
}

func TestAdvertise(t *testing.T) {
	bound := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7101}
	for advertise, want := range map[string]string{
		"": "127.0.0.1:7101", "joe.example:7000": "joe.example:7000", "joe.example": "joe.example:7101",
		"joe.example:0": "joe.example:7101", "[::1]:0": "[::1]:7101",
	} {
		got, err := (&Options{Advertise: advertise}).advertised(bound)
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", advertise, got, err, want)
		}
	}
}

func TestStreamsGoByKind(t *testing.T) {
	a, b := node(t, "a", nil), node(t, "b", nil)
	raft, gossip := b.RaftLayer(), b.GossipStreams()
	if got := raft.Addr().String(); got != b.Addr() {
		t.Errorf("layer's address is %s, want %s", got, b.Addr())
	}
	dial := func(c net.Conn, err error) net.Conn {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for want, pair := range map[string]struct {
		l net.Listener
		c net.Conn
	}{
		"raft":   {raft, dial(a.RaftLayer().Dial(b.Addr(), 10*time.Second))},
		"gossip": {gossip, dial(a.DialGossip(b.Addr(), 10*time.Second))},
	} {
		c, err := pair.l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if p := c.(*Conn).Peer(); p != a.self() {
			t.Errorf("%s: peer is %+v", want, p)
		}
		if _, err := pair.c.Write([]byte(want)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 16)
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("got %q, %v, want %q", buf[:n], err, want)
		}
		_, _ = c.Close(), pair.c.Close()
	}
}

func TestLayerCanBeTakenAgain(t *testing.T) {
	a, b := node(t, "a", nil), node(t, "b", nil)
	first := b.RaftLayer()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept on a closed layer: %v", err)
	}
	second := b.RaftLayer()
	if second == first || second != b.RaftLayer() {
		t.Fatal("want one new layer")
	}
	c, err := a.RaftLayer().Dial(b.Addr(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := second.Accept(); err != nil {
		t.Error(err)
	}
	_ = b.Close()
	if _, err := b.RaftLayer().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept on a closed transport: %v", err)
	}
}

func TestPacketsOfOtherClustersAreDropped(t *testing.T) {
	a, b, stranger := node(t, "a", nil), node(t, "b", nil), node(t, "s", cluster("c2"))
	to := b.PacketConn().LocalAddr()
	for _, x := range []struct {
		from *Transport
		text string
	}{{stranger, "wrong"}, {a, ""}, {a, "right"}} {
		if _, err := x.from.PacketConn().WriteTo([]byte(x.text), to); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 100)
	n, from, err := b.PacketConn().ReadFrom(buf)
	if err != nil || string(buf[:n]) != "right" || from.String() != a.Addr() {
		t.Errorf("got %q from %v, %v", buf[:n], from, err)
	}
}

func TestCloseIsIdempotentAndWorksWithoutStart(t *testing.T) {
	tr := listen(t, "a", nil)
	for range 2 {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	}
	tr.Start()
	tr.Watch("127.0.0.1:1", "x")
	again, err := Listen(Options{Bind: tr.Addr(), ID: "a"})
	if err != nil {
		t.Fatalf("the port isn't free again: %v", err)
	}
	_ = again.Close()
}

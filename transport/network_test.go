package transport

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/botnode/botnode/internal/memnet"
)

// On a network in memory, the end of a host is a death as on a real one, and
// calls and datagrams pass as they do there.
func TestNetworkInMemory(t *testing.T) {
	t.Parallel()
	n := memnet.New()
	events := make(chan LinkEvent, 100)
	w := listen(t, "w", func(o *Options) {
		o.Network = n.Host()
		o.OnLink = func(e LinkEvent) { events <- e }
	})
	w.Start()
	host := n.Host()
	p := listen(t, "peer", func(o *Options) { o.Network, o.Incarnation = host, 7 })
	p.Handle(1, echo)
	p.Start()
	w.Watch(p.Addr(), "peer")
	await(t, events, Up, 7)
	if b, err := w.Call(testContext(t), p.Addr(), 1, []byte("x")); err != nil || string(b) != "w#1:x" {
		t.Errorf("%q, %v", b, err)
	}
	to, err := net.ResolveUDPAddr("udp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.PacketConn().WriteTo([]byte("gossip"), to); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if k, _, err := p.PacketConn().ReadFrom(buf); err != nil || string(buf[:k]) != "gossip" {
		t.Errorf("%q, %v", buf[:k], err)
	}
	killed := time.Now()
	host.Kill()
	await(t, events, Dead, 7)
	t.Log("the death was confirmed after", time.Since(killed))
	next := listen(t, "peer", func(o *Options) { o.Network, o.Bind, o.Incarnation = n.Host(), p.Addr(), 8 })
	next.Start()
	await(t, events, Up, 8)
}

// A peer that starts again calls, and is dialled at once instead of after the
// wait that has grown while it was away.
func TestCallingPeerIsDialledAtOnce(t *testing.T) {
	t.Parallel()
	slow := quick
	slow.backoffMin, slow.backoffMax = time.Hour, time.Hour
	w, events := watcher(t, slow)
	p := node(t, "peer", incarnation(1))
	w.Watch(p.Addr(), "peer")
	await(t, events, Up, 1)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if e := await(t, events, Dead, 1); !isRefused(e.Err) {
		t.Errorf("%v, want %v", e.Err, syscall.ECONNREFUSED)
	}
	next := node(t, "peer", func(o *Options) { o.Bind, o.Incarnation = p.Addr(), 2 })
	if _, err := next.Probe(testContext(t), w.Addr()); err != nil {
		t.Fatal(err)
	}
	await(t, events, Up, 2)
}

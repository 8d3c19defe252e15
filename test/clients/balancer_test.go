//go:build clients

package clients

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// balancer is one address for all nodes, as a load balancer or a virtual IP is:
// each connection goes to one node, and to the next where nobody listens. It
// stays with a node as long as that takes connections.
type balancer struct {
	l  net.Listener
	wg sync.WaitGroup // the accept loop and what it started

	mu      sync.Mutex // guards what follows
	targets []string
	at      int // of targets
	conns   map[net.Conn]bool
	closed  bool
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{l: l, conns: map[net.Conn]bool{}}
	b.wg.Go(b.accept)
	t.Cleanup(b.close)
	return b
}

func (b *balancer) addr() string { return b.l.Addr().String() }

// add makes another node known.
func (b *balancer) add(addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.targets = append(b.targets, addr)
}

// current is the node to which connections go.
func (b *balancer) current() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.targets[b.at]
}

func (b *balancer) accept() {
	for {
		c, err := b.l.Accept()
		if err != nil {
			return
		}
		if b.keep(c) {
			b.wg.Go(func() { b.serve(c) })
		}
	}
}

// keep remembers a connection for close; false if that has come.
func (b *balancer) keep(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		_ = c.Close()
		return false
	}
	b.conns[c] = true
	return true
}

func (b *balancer) drop(c net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.conns, c)
	_ = c.Close()
}

// serve carries bytes until either side ends. A node's end reaches the client as
// an orderly end of the stream, as it does through a load balancer: discord.js
// begins a new session after a reset.
func (b *balancer) serve(c net.Conn) {
	defer b.drop(c)
	up := b.dial()
	if up == nil || !b.keep(up) {
		return
	}
	defer b.drop(up)
	b.wg.Go(func() {
		_, _ = io.Copy(up, c)
		_ = up.Close()
	})
	_, _ = io.Copy(c, up)
	if t, ok := c.(*net.TCPConn); ok && t.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second)) // never fails
		_, _ = io.Copy(io.Discard, c)                          // what isn't read makes a close a reset
	}
}

// dial connects to the current node, or to the next that listens.
func (b *balancer) dial() net.Conn {
	b.mu.Lock()
	at, targets := b.at, b.targets
	b.mu.Unlock()
	for i := range targets {
		next := (at + i) % len(targets)
		c, err := net.DialTimeout("tcp", targets[next], time.Second)
		if err != nil {
			continue
		}
		b.mu.Lock()
		b.at = next
		b.mu.Unlock()
		return c
	}
	return nil
}

func (b *balancer) close() {
	_ = b.l.Close()
	b.mu.Lock()
	b.closed = true
	for c := range b.conns {
		_ = c.Close()
	}
	b.mu.Unlock()
	b.wg.Wait()
}

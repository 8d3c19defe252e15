package transport

import (
	"context"
	"net"
	"sync"
	"time"
)

// StreamLayer is the share of the port that carries one kind of stream: raft's
// or gossip's. Closing it closes neither the port nor open connections, and the
// kind can be taken again, so that raft may be restarted within the process.
type StreamLayer struct {
	t    *Transport
	kind kind
	ch   chan *Conn
	once sync.Once
	done chan struct{} // closed when the layer is
}

var _ net.Listener = (*StreamLayer)(nil)

// RaftLayer returns the streams of raft, the same value until it is closed.
func (t *Transport) RaftLayer() *StreamLayer { return t.raft.layer(t, kindRaft) }

// GossipStreams returns the streams of gossip, the same value until it is closed.
func (t *Transport) GossipStreams() *StreamLayer { return t.gossip.layer(t, kindGossip) }

// DialGossip opens a gossip stream.
func (t *Transport) DialGossip(addr string, timeout time.Duration) (net.Conn, error) {
	return t.dialStream(addr, kindGossip, timeout)
}

// Accept waits for the next connection, a *Conn.
func (l *StreamLayer) Accept() (net.Conn, error) {
	select {
	case c := <-l.ch:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-l.t.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close ends Accept and drops connections that nobody accepted.
func (l *StreamLayer) Close() error {
	l.once.Do(func() { close(l.done) })
	for {
		select {
		case c := <-l.ch:
			_ = c.Close()
		default:
			return nil
		}
	}
}

// Addr returns the advertised address.
func (l *StreamLayer) Addr() net.Addr { return netAddr(l.t.addr) }

// Dial opens a stream of the layer's kind to the node at addr.
func (l *StreamLayer) Dial(addr string, timeout time.Duration) (net.Conn, error) {
	return l.t.dialStream(addr, l.kind, timeout)
}

func (t *Transport) dialStream(addr string, k kind, timeout time.Duration) (net.Conn, error) {
	ctx := t.ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	c, err := t.dial(ctx, addr, k)
	if err != nil {
		return nil, err // not c: a nil *Conn in a net.Conn isn't nil
	}
	t.note(c, addr)
	return c, nil
}

// note remembers a stream for endStuck, until it is closed.
func (t *Transport) note(c *Conn, addr string) {
	release := c.release
	c.release = func() {
		release()
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.dialled, c)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dialled[c] = addr
}

// endStuck closes the streams to addr that have waited for an answer for d, once
// the network that had swallowed it is known to work again: the kernel tries to
// send again at intervals that double, so such a stream stays dead for up to as
// long again, and whoever waits on it does. What was asked on it has an unknown
// outcome, as after any end of a connection.
func (t *Transport) endStuck(addr string, d time.Duration) {
	t.mu.Lock()
	var stuck []*Conn
	for c, to := range t.dialled {
		if to == addr && c.waits(d) {
			stuck = append(stuck, c)
		}
	}
	t.mu.Unlock()
	for _, c := range stuck {
		_ = c.Close()
	}
}

// netAddr is an address that was never resolved.
type netAddr string

// Network implements net.Addr.
func (netAddr) Network() string { return "tcp" }

// String implements net.Addr.
func (a netAddr) String() string { return string(a) }

// streams holds the current layer of a kind.
type streams struct {
	mu      sync.Mutex // guards current
	current *StreamLayer
}

func (s *streams) layer(t *Transport, k kind) *StreamLayer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil || s.current.isClosed() {
		s.current = &StreamLayer{t: t, kind: k, ch: make(chan *Conn, 16), done: make(chan struct{})}
	}
	return s.current
}

func (l *StreamLayer) isClosed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// deliver hands c to the layer, or closes it if there is none: an idle node has
// no raft, and its callers should learn that at once rather than hang.
func (s *streams) deliver(ctx context.Context, c *Conn) {
	s.mu.Lock()
	l := s.current
	s.mu.Unlock()
	if l == nil || l.isClosed() {
		_ = c.Close()
		return
	}
	select {
	case l.ch <- c:
		if l.isClosed() {
			_ = l.Close() // it may have drained before c came
		}
	case <-l.done:
		_ = c.Close()
	case <-ctx.Done():
		_ = c.Close()
	}
}

func (s *streams) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return nil
	}
	return s.current.Close()
}

package consensus

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// errDial marks an error of dialling, as opposed to one on an open connection.
var errDial = errors.New("dial failed")

type dialError struct{ cause error }

func (e dialError) Error() string   { return e.cause.Error() }
func (e dialError) Unwrap() []error { return []error{errDial, e.cause} }

// layer is the StreamLayer as raft wants it. It also closes every connection when it is closed: raft leaves accepted
// ones open and waits for requests in flight, each up to its timeout, so that a plain shutdown would take seconds.
type layer struct {
	StreamLayer

	mu     sync.Mutex
	closed bool
	conns  map[*layerConn]struct{}
}

var _ raft.StreamLayer = (*layer)(nil)

func newLayer(inner StreamLayer) *layer {
	return &layer{StreamLayer: inner, conns: make(map[*layerConn]struct{})}
}

// Accept returns the next connection.
func (l *layer) Accept() (net.Conn, error) {
	c, err := l.StreamLayer.Accept()
	if err != nil {
		return nil, err
	}
	return l.track(c)
}

// Dial opens a connection.
func (l *layer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	c, err := l.StreamLayer.Dial(string(addr), timeout)
	if err != nil {
		return nil, dialError{err}
	}
	return l.track(c)
}

func (l *layer) track(c net.Conn) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	tc := &layerConn{Conn: c, layer: l}
	l.conns[tc] = struct{}{}
	return tc, nil
}

// Close closes the listener and all connections.
func (l *layer) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	conns := l.conns
	l.conns = make(map[*layerConn]struct{})
	l.mu.Unlock()
	err := l.StreamLayer.Close()
	for c := range conns {
		_ = c.Conn.Close()
	}
	return err
}

type layerConn struct {
	net.Conn
	layer *layer
}

// Close closes the connection and forgets it.
func (c *layerConn) Close() error {
	c.layer.mu.Lock()
	delete(c.layer.conns, c)
	c.layer.mu.Unlock()
	return c.Conn.Close()
}

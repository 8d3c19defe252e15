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

	// handlers counts accepted connections that raft's handlers still hold.
	handlers sync.WaitGroup

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
	return l.track(c, true)
}

// Dial opens a connection.
func (l *layer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	c, err := l.StreamLayer.Dial(string(addr), timeout)
	if err != nil {
		return nil, dialError{err}
	}
	return l.track(c, false)
}

func (l *layer) track(c net.Conn, accepted bool) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	tc := &layerConn{Conn: c, layer: l}
	if accepted {
		l.handlers.Add(1)
		tc.left = sync.OnceFunc(l.handlers.Done)
	}
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

// handlersTimeout bounds wait.
const handlersTimeout = time.Second

// wait waits, after Close, for raft's handlers of accepted connections: each closes its connection as its last act.
// Raft itself forgets them, and they would go on to log into a logger that is gone.
func (l *layer) wait() {
	ended := make(chan struct{})
	go func() {
		l.handlers.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(handlersTimeout):
	}
}

type layerConn struct {
	net.Conn
	layer *layer
	// left tells the layer that the handler is done. Nil for a connection that was dialled.
	left func()
}

// Close closes the connection and forgets it.
func (c *layerConn) Close() error {
	c.layer.mu.Lock()
	delete(c.layer.conns, c)
	c.layer.mu.Unlock()
	if c.left != nil {
		c.left()
	}
	return c.Conn.Close()
}

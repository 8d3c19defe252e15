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
//
// It knows besides when a peer can have no more to say: see drained.
type layer struct {
	StreamLayer
	// peer names who made a connection, "" if that isn't known.
	peer func(net.Conn) string

	// handlers counts accepted connections that raft's handlers still hold.
	handlers sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[*layerConn]struct{}
	// waiting are the channels of drained, by peer.
	waiting map[string][]chan struct{}
}

var _ raft.StreamLayer = (*layer)(nil)

func newLayer(inner StreamLayer, peer func(net.Conn) string) *layer {
	if peer == nil {
		peer = func(net.Conn) string { return "" }
	}
	return &layer{
		StreamLayer: inner, peer: peer, conns: make(map[*layerConn]struct{}), waiting: make(map[string][]chan struct{}),
	}
}

// Accept returns the next connection.
func (l *layer) Accept() (net.Conn, error) {
	c, err := l.StreamLayer.Accept()
	if err != nil {
		return nil, err
	}
	return l.track(c, true)
}

// Dial opens a connection. A closed layer doesn't try: raft on a disk that hangs can't stop, and would knock at its
// peers for as long as it does.
func (l *layer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return nil, dialError{net.ErrClosed}
	}
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
		tc.peer = l.peer(c)
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
	for peer := range l.waiting {
		l.release(peer)
	}
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

// drained returns a channel that is closed once no connection that peer has made is open. Raft's handlers close a
// connection when they have read it to its end and answered everything, so after a peer's death what it sent has had
// its effect by then.
func (l *layer) drained(peer string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	ch := make(chan struct{})
	l.waiting[peer] = append(l.waiting[peer], ch)
	if !l.open(peer) {
		l.release(peer)
	}
	return ch
}

// open reports whether a connection that peer has made is open. The lock is held.
func (l *layer) open(peer string) bool {
	for c := range l.conns {
		if c.left != nil && c.peer == peer {
			return true
		}
	}
	return false
}

// release ends the waits for a peer. The lock is held.
func (l *layer) release(peer string) {
	for _, ch := range l.waiting[peer] {
		close(ch)
	}
	delete(l.waiting, peer)
}

type layerConn struct {
	net.Conn
	layer *layer
	peer  string // who made it, if it was accepted
	// left tells the layer that the handler is done. Nil for a connection that was dialled.
	left func()
}

// Close closes the connection and forgets it.
func (c *layerConn) Close() error {
	c.layer.mu.Lock()
	delete(c.layer.conns, c)
	if !c.layer.open(c.peer) {
		c.layer.release(c.peer)
	}
	c.layer.mu.Unlock()
	if c.left != nil {
		c.left()
	}
	return c.Conn.Close()
}

package proxy

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"time"
)

// flushSize is how much is collected before it goes to the socket: a system call
// costs as much as the rest of a small event.
const flushSize = 64 << 10

// corkConn collects what is written to it between cork and flush. It keeps the
// deadlines of writes itself: those of control frames, which the reader may have
// to write, are not to cut short a message that is on its way.
type corkConn struct {
	net.Conn

	mu      sync.Mutex // guards what follows; held while the socket is written to
	buf     []byte     // nil unless something was collected
	corked  bool
	timeout time.Duration // of a write
}

// buffers hold what connections are about to write; a quiet one has none.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, flushSize); return &b }}

// SetWriteDeadline implements net.Conn: it does nothing.
func (c *corkConn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline implements net.Conn for reads.
func (c *corkConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// Write implements net.Conn.
func (c *corkConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.corked {
		return c.send(p)
	}
	if len(c.buf)+len(p) > flushSize {
		if err := c.drain(); err != nil {
			return 0, err
		}
		if len(p) >= flushSize {
			return c.send(p)
		}
	}
	if c.buf == nil {
		c.buf = (*buffers.Get().(*[]byte))[:0] //nolint:errcheck,forcetypeassert // the pool has nothing else
	}
	c.buf = append(c.buf, p...)
	return len(p), nil
}

// send writes to the socket. The lock is held.
func (c *corkConn) send(p []byte) (int, error) {
	_ = c.Conn.SetWriteDeadline(time.Now().Add(c.timeout)) // a closed connection says so at the write
	return c.Conn.Write(p)
}

// drain sends what was collected. The lock is held.
func (c *corkConn) drain() error {
	if len(c.buf) == 0 {
		return nil
	}
	_, err := c.send(c.buf)
	c.buf = c.buf[:0]
	return err
}

func (c *corkConn) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = true
}

// flush sends what was collected, and has writes go to the socket again.
func (c *corkConn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = false
	err := c.drain()
	if c.buf != nil {
		b := c.buf[:0]
		buffers.Put(&b)
		c.buf = nil
	}
	return err
}

// hurry bounds the writes to come.
func (c *corkConn) hurry(timeout time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timeout = timeout
}

// corkWriter makes the connection that an upgrade takes over a corkConn.
type corkWriter struct {
	http.ResponseWriter
	conn *corkConn // set by Hijack
}

// Hijack implements http.Hijacker.
func (w *corkWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.conn = &corkConn{Conn: conn, timeout: writeTimeout}
	return w.conn, rw, nil
}

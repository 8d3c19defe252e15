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

// corkConn collects what is written to it between cork and flush.
type corkConn struct {
	net.Conn
	buf    []byte // nil unless corked
	corked bool
}

// buffers hold what connections are about to write; a quiet one has none.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, flushSize); return &b }}

// Write implements net.Conn. Only the goroutine that corks writes, but for
// control frames, which the websocket's own lock keeps apart from messages.
func (c *corkConn) Write(p []byte) (int, error) {
	if !c.corked {
		return c.Conn.Write(p)
	}
	if len(c.buf)+len(p) > flushSize {
		if err := c.drain(); err != nil {
			return 0, err
		}
		if len(p) >= flushSize {
			return c.Conn.Write(p)
		}
	}
	if c.buf == nil {
		c.buf = (*buffers.Get().(*[]byte))[:0] //nolint:errcheck,forcetypeassert // the pool has nothing else
	}
	c.buf = append(c.buf, p...)
	return len(p), nil
}

func (c *corkConn) drain() error {
	if len(c.buf) == 0 {
		return nil
	}
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout)) // a closed connection says so at the write
	_, err := c.Conn.Write(c.buf)
	c.buf = c.buf[:0]
	return err
}

func (c *corkConn) cork() { c.corked = true }

// flush writes what was collected.
func (c *corkConn) flush() error {
	c.corked = false
	err := c.drain()
	if c.buf != nil {
		b := c.buf[:0]
		buffers.Put(&b)
		c.buf = nil
	}
	return err
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
	w.conn = &corkConn{Conn: conn}
	return w.conn, rw, nil
}

package sim

import (
	"net"
	"sync"
)

// corkListener hands out connections whose writes can be gathered.
type corkListener struct{ net.Listener }

func (l corkListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &corkConn{Conn: c}, nil
}

// corkConn gathers the frames of a batch into one write: a syscall for each
// frame would be most of the cost of an event. Only a connection's writer corks.
type corkConn struct {
	net.Conn

	mu     sync.Mutex // guards the fields below, not the socket
	corked bool
	buf    []byte
}

const corkLimit = 64 << 10

func (c *corkConn) cork() {
	c.mu.Lock()
	c.corked = true
	c.mu.Unlock()
}

// uncork writes what was gathered.
func (c *corkConn) uncork() error {
	c.mu.Lock()
	c.corked = false
	buf := c.buf
	c.buf = c.buf[:0]
	c.mu.Unlock()
	if len(buf) == 0 {
		return nil
	}
	_, err := c.Conn.Write(buf)
	return err
}

// Write gathers while corked, up to a bound.
func (c *corkConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	if !c.corked {
		c.mu.Unlock()
		return c.Conn.Write(p)
	}
	c.buf = append(c.buf, p...)
	full := len(c.buf) >= corkLimit
	buf := c.buf
	if full {
		c.buf = c.buf[:0]
	}
	c.mu.Unlock()
	if full {
		if _, err := c.Conn.Write(buf); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// cut drops the connection without a goodbye, as a dying machine does.
func (c *corkConn) cut() {
	if t, ok := c.Conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

func (c *corkConn) closeWrite() {
	if t, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = t.CloseWrite()
	}
}

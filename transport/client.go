package transport

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// client is the one rpc connection to an address, from the decision to dial
// until its end. It is never used again after that: the next call makes a new
// one.
type client struct {
	t     *Transport
	addr  string
	ready chan struct{} // closed when conn or err is set
	conn  *clientConn
	err   error
}

// connect returns the connection to addr, dialling if there is none. The dial
// goes on when ctx ends: others may wait for it.
func (t *Transport) connect(ctx context.Context, addr string) (*clientConn, error) {
	t.mu.Lock()
	c := t.clients[addr]
	if c == nil {
		if t.closing {
			t.mu.Unlock()
			return nil, ErrClosed
		}
		c = &client{t: t, addr: addr, ready: make(chan struct{})}
		t.clients[addr] = c
		t.wg.Go(c.run)
	}
	t.mu.Unlock()
	select {
	case <-c.ready:
		return c.conn, c.err
	case <-ctx.Done():
		return nil, fmt.Errorf("connecting: %w", ctx.Err())
	}
}

// run dials, then serves the connection until it ends.
func (c *client) run() {
	conn, err := c.t.dial(c.t.ctx, c.addr, kindRPC)
	if err != nil {
		c.err = err
		c.leave()
		close(c.ready)
		return
	}
	c.conn = newClientConn(conn)
	close(c.ready)
	var writer sync.WaitGroup
	writer.Go(func() {
		// A failed write is the end of the connection, but the reader is the one
		// that reports it: answers may still be on their way to it. A reader that
		// gets none is stopped by the deadline.
		if c.conn.w.run() != nil {
			_ = conn.SetReadDeadline(time.Now().Add(drainTime))
		}
	})
	err = c.conn.readLoop()
	c.leave()
	c.conn.end(err)
	writer.Wait()
}

// drainTime is how long answers are read after a write has failed.
const drainTime = 20 * time.Millisecond

// leave makes room for a successor.
func (c *client) leave() {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	delete(c.t.clients, c.addr)
}

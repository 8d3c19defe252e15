package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Pending is a call that was begun.
type Pending struct {
	c    *clientConn
	id   uint64
	done chan result // capacity 1

	// Guarded by the connection's mutex.
	queued  bool   // at is set
	at      uint64 // offset of the request in the connection's stream
	settled bool   // done has its result
}

// settle gives the call its result, unless it has one.
func (p *Pending) settle(r result) {
	if !p.settled {
		p.settled = true
		p.done <- r
	}
}

type result struct {
	data []byte
	err  error
}

// Call sends req to the node at addr and waits for the answer. All calls to an
// address share one connection; requests leave in the order of the calls. req
// may be reused when Call returns. Errors wrap ErrUnreachable when nothing was
// sent, ErrUnknownOutcome when no answer came; a *RemoteError is the answer of
// the peer's handler.
func (t *Transport) Call(ctx context.Context, addr string, m Method, req []byte) ([]byte, error) {
	p, err := t.Begin(ctx, addr, m, req)
	if err != nil {
		return nil, err
	}
	return p.Wait(ctx)
}

// Begin queues a call and returns without waiting for the answer, so that one
// goroutine can have several in flight in a certain order. Its errors wrap
// ErrUnreachable, except ErrTooLarge.
func (t *Transport) Begin(ctx context.Context, addr string, m Method, req []byte) (*Pending, error) {
	if len(req) > MaxMessage {
		return nil, fmt.Errorf("request of %d bytes: %w", len(req), ErrTooLarge)
	}
	for {
		c, err := t.connect(ctx, addr)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrUnreachable, addr, err)
		}
		p, err := c.begin(ctx, m, req)
		if err == nil {
			return p, nil
		}
		if ctx.Err() != nil || t.ctx.Err() != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrUnreachable, addr, err)
		}
		// The connection ended since: nothing of the request was queued.
	}
}

// Wait waits for the answer. It must be called exactly once.
func (p *Pending) Wait(ctx context.Context) ([]byte, error) {
	select {
	case r := <-p.done:
		return r.data, r.err
	case <-ctx.Done():
	}
	if p.c.forget(p.id) {
		return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err())
	}
	r := <-p.done // the answer won the race
	return r.data, r.err
}

// clientConn is the calling side of an rpc connection.
type clientConn struct {
	conn   *Conn
	w      *frameWriter
	heard  atomic.Uint64 // frames read
	closed chan struct{} // closed when the connection ended and all calls have their result

	mu    sync.Mutex // guards the fields below
	calls map[uint64]*Pending
	next  uint64
	err   error
}

func newClientConn(conn *Conn) *clientConn {
	return &clientConn{conn: conn, w: newFrameWriter(conn), closed: make(chan struct{}), calls: make(map[uint64]*Pending)}
}

// begin registers and queues a request. An error means that it wasn't queued.
func (c *clientConn) begin(ctx context.Context, m Method, req []byte) (*Pending, error) {
	p := &Pending{c: c, done: make(chan result, 1)}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil, c.err
	}
	c.next++
	p.id = c.next
	c.calls[p.id] = p
	c.mu.Unlock()

	at, err := c.w.request(ctx, frameHeader{typ: frameRequest, method: m, id: p.id, aux: patience(ctx)}, req)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		delete(c.calls, p.id)
		return nil, err
	}
	p.at, p.queued = at, true
	if c.err != nil {
		p.settle(c.lost(p)) // end couldn't tell yet whether it was sent
	}
	return p, nil
}

// patience is what is left of ctx in ms, rounded up; 0 means for ever.
func patience(ctx context.Context) uint32 {
	d, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	left := (time.Until(d) + time.Millisecond - 1) / time.Millisecond
	return uint32(min(max(left, 1), math.MaxUint32))
}

// forget drops a call and reports whether it was still waiting.
func (c *clientConn) forget(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.calls[id]
	delete(c.calls, id)
	return ok
}

// readLoop hands out answers until the connection ends.
func (c *clientConn) readLoop() error {
	r := bufio.NewReaderSize(c.conn, readBuffer)
	for {
		f, payload, err := readFrame(r)
		if err != nil {
			return err
		}
		c.heard.Add(1)
		switch f.typ {
		case framePong:
		case frameResponse:
			c.finish(f.id, result{data: payload})
		case frameError:
			c.finish(f.id, result{err: decodeRemoteError(payload)})
		default:
			return errors.New("unexpected frame from a server")
		}
	}
}

func (c *clientConn) finish(id uint64, r result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.calls[id]; p != nil {
		delete(c.calls, id)
		p.settle(r)
	}
}

// end closes the connection. It must be called once, when nothing reads any
// more: calls whose answer arrived before the end keep it.
func (c *clientConn) end(err error) {
	c.w.fail(err)
	_ = c.conn.Close()
	c.mu.Lock()
	c.err = err
	for _, p := range c.calls {
		if p.queued {
			p.settle(c.lost(p))
		}
	}
	clear(c.calls)
	c.mu.Unlock()
	close(c.closed)
}

// lost is the result of a call whose connection ended.
func (c *clientConn) lost(p *Pending) result {
	kind := ErrUnreachable
	if c.w.sent(p.at) {
		kind = ErrUnknownOutcome
	}
	return result{err: fmt.Errorf("%w: %s: %w", kind, c.conn.peer.ID, c.err)}
}

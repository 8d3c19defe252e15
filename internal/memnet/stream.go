package memnet

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how much of a stream may be unread before its writer waits: about
// what a kernel's two socket buffers hold.
const window = 256 << 10

// pipe is one direction of a stream.
type pipe struct {
	mu     sync.Mutex // guards what follows
	change sync.Cond
	buf    []byte // buf[head:] is unread
	head   int
	ended  bool // the writer will write no more
	gone   bool // the reader is closed: nobody reads what comes
	read   limit
	write  limit
}

func newPipe() *pipe {
	p := &pipe{}
	p.change.L = &p.mu
	return p
}

// limit is a deadline. A timer wakes those who wait when it is due.
type limit struct {
	at    time.Time
	timer *time.Timer
}

func (l *limit) passed() bool { return !l.at.IsZero() && !time.Now().Before(l.at) }

// set replaces a deadline of the pipe. The pipe's lock is held.
func (p *pipe) set(l *limit, at time.Time) {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	l.at = at
	if wait := time.Until(at); !at.IsZero() && wait > 0 {
		l.timer = time.AfterFunc(wait, p.wake)
	}
	p.change.Broadcast()
}

func (p *pipe) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.change.Broadcast()
}

// take reads what there is, or waits for something.
func (p *pipe) take(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.gone:
			return 0, net.ErrClosed
		case p.read.passed():
			return 0, os.ErrDeadlineExceeded
		case p.head < len(p.buf):
			n := copy(b, p.buf[p.head:])
			if p.head += n; p.head == len(p.buf) {
				p.buf, p.head = p.buf[:0], 0
			}
			p.change.Broadcast()
			return n, nil
		case p.ended:
			return 0, io.EOF
		case len(b) == 0:
			return 0, nil
		}
		p.change.Wait()
	}
}

// put writes all of b, as far as the window allows at a time.
func (p *pipe) put(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.ended:
			return n, net.ErrClosed
		case p.gone:
			return n, os.NewSyscallError("write", syscall.EPIPE)
		case p.write.passed():
			return n, os.ErrDeadlineExceeded
		case len(b) == 0:
			return n, nil
		}
		if room := window - (len(p.buf) - p.head); room > 0 {
			p.compact()
			k := min(room, len(b))
			p.buf = append(p.buf, b[:k]...)
			n, b = n+k, b[k:]
			p.change.Broadcast()
			continue
		}
		p.change.Wait()
	}
}

// compact moves what is unread to the front, once most of the buffer was read.
func (p *pipe) compact() {
	if p.head > len(p.buf)/2 {
		p.buf = p.buf[:copy(p.buf, p.buf[p.head:])]
		p.head = 0
	}
}

// end ends the pipe from its writer's side: what was written can be read.
func (p *pipe) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.change.Broadcast()
}

// abandon ends the pipe from its reader's side.
func (p *pipe) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone, p.buf, p.head = true, nil, 0
	p.change.Broadcast()
}

// conn is one end of a stream.
type conn struct {
	host          *Host
	local, remote netip.AddrPort
	in, out       *pipe
}

var _ net.Conn = (*conn)(nil)

// pair makes a stream between two hosts.
func pair(a *Host, from netip.AddrPort, b *Host, to netip.AddrPort) (near, far *conn) {
	there, back := newPipe(), newPipe()
	near = &conn{host: a, local: from, remote: to, in: back, out: there}
	far = &conn{host: b, local: to, remote: from, in: there, out: back}
	return near, far
}

// Read reads from the stream.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.in.take(b)
	return n, c.wrap("read", err)
}

// Write writes all of b.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.out.put(b)
	return n, c.wrap("write", err)
}

func (c *conn) wrap(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return opError(op, "tcp", c.RemoteAddr(), err)
}

// Close closes both directions; what was written can still be read.
func (c *conn) Close() error {
	c.host.close(c)
	return nil
}

func (c *conn) shut() {
	c.out.end()
	c.in.abandon()
	_ = c.SetDeadline(time.Time{}) // no timer outlives the stream
}

// CloseWrite ends the stream in one direction.
func (c *conn) CloseWrite() error {
	c.out.end()
	return nil
}

// LocalAddr returns this end's address.
func (c *conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr returns the other end's address.
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline bounds reads and writes.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline bounds reads.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.set(&c.in.read, t)
	return nil
}

// SetWriteDeadline bounds writes.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.set(&c.out.write, t)
	return nil
}

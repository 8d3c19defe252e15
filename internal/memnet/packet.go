package memnet

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// maxQueued is how many datagrams wait to be read; those above it are lost.
const maxQueued = 256

// packetConn receives datagrams at an address, and sends from it.
type packetConn struct {
	host *Host
	at   netip.AddrPort

	mu      sync.Mutex // guards what follows
	arrived sync.Cond
	queue   []datagram
	closed  bool
	read    time.Time
	timer   *time.Timer
}

type datagram struct {
	from netip.AddrPort
	data []byte
}

var _ net.PacketConn = (*packetConn)(nil)

// ReadFrom waits for the next datagram; what p has no room for is cut off.
func (c *packetConn) ReadFrom(p []byte) (int, net.Addr, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, nil, opError("read", "udp", c.LocalAddr(), net.ErrClosed)
		case !c.read.IsZero() && !time.Now().Before(c.read):
			return 0, nil, opError("read", "udp", c.LocalAddr(), os.ErrDeadlineExceeded)
		case len(c.queue) > 0:
			d := c.queue[0]
			c.queue = slices.Delete(c.queue, 0, 1)
			return copy(p, d.data), net.UDPAddrFromAddrPort(d.from), nil
		}
		c.arrived.Wait()
	}
}

// WriteTo sends a datagram. Where nobody listens it is lost, without a word.
func (c *packetConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	to, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return 0, opError("write", "udp", addr, err)
	}
	c.host.net.mu.Lock()
	dead, peer := c.host.dead, c.host.net.packets[to]
	c.host.net.mu.Unlock()
	if dead || c.isClosed() {
		return 0, opError("write", "udp", addr, net.ErrClosed)
	}
	if peer != nil {
		peer.deliver(datagram{c.at, slices.Clone(p)})
	}
	return len(p), nil
}

func (c *packetConn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *packetConn) deliver(d datagram) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed && len(c.queue) < maxQueued {
		c.queue = append(c.queue, d)
		c.arrived.Signal()
	}
}

// Close ends ReadFrom and frees the address.
func (c *packetConn) Close() error {
	c.host.close(c)
	return nil
}

func (c *packetConn) shut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed, c.queue = true, nil
	if c.timer != nil {
		c.timer.Stop()
	}
	c.arrived.Broadcast()
}

// LocalAddr returns the address that datagrams are received at.
func (c *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.at) }

// SetDeadline bounds reads; writes never wait.
func (c *packetConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline bounds reads.
func (c *packetConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.read = t
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		c.timer = time.AfterFunc(wait, c.wake)
	}
	c.arrived.Broadcast()
	return nil
}

func (c *packetConn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arrived.Broadcast()
}

// SetWriteDeadline has no effect: writes never wait.
func (c *packetConn) SetWriteDeadline(time.Time) error { return nil }

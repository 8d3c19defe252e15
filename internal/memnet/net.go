package memnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// firstPort is where ports for those who ask for none in particular begin.
const firstPort = 10_000

// Net is one network. Nothing passes between two of them.
type Net struct {
	mu      sync.Mutex // guards what follows, in hosts too
	next    uint16
	streams map[netip.AddrPort]*listener
	packets map[netip.AddrPort]*packetConn
}

// New returns an empty network.
func New() *Net {
	return &Net{
		next: firstPort, streams: make(map[netip.AddrPort]*listener), packets: make(map[netip.AddrPort]*packetConn),
	}
}

// Host returns a new host of the network.
func (n *Net) Host() *Host { return &Host{net: n, open: make(map[closer]struct{})} }

// closer is what a host has open. shut is called without the network's lock.
type closer interface{ shut() }

// Host opens what one process opens. Its methods have the signatures of
// package net's dialer and listeners.
type Host struct {
	net  *Net
	dead bool
	open map[closer]struct{}
}

// Listen listens for streams; port 0 picks a free one.
func (h *Host) Listen(network, addr string) (net.Listener, error) {
	l := &listener{host: h, queue: make(chan *conn, backlog), done: make(chan struct{})}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	at, err := h.bind(network, addr, func(p netip.AddrPort) bool { return h.net.streams[p] != nil })
	if err != nil {
		return nil, err
	}
	l.at = at
	h.net.streams[at] = l
	h.open[l] = struct{}{}
	return l, nil
}

// ListenPacket listens for datagrams; port 0 picks a free one.
func (h *Host) ListenPacket(network, addr string) (net.PacketConn, error) {
	c := &packetConn{host: h}
	c.arrived.L = &c.mu
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	at, err := h.bind(network, addr, func(p netip.AddrPort) bool { return h.net.packets[p] != nil })
	if err != nil {
		return nil, err
	}
	c.at = at
	h.net.packets[at] = c
	h.open[c] = struct{}{}
	return c, nil
}

// bind decides the address of a listener. The network's lock is held.
func (h *Host) bind(network, addr string, taken func(netip.AddrPort) bool) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(addr)
	switch {
	case err != nil:
		return at, opError("listen", network, nil, err)
	case h.dead:
		return at, opError("listen", network, nil, net.ErrClosed)
	case at.Port() != 0 && taken(at):
		return at, opError("listen", network, net.TCPAddrFromAddrPort(at), os.NewSyscallError("bind", syscall.EADDRINUSE))
	}
	for at.Port() == 0 {
		// A port that was taken once isn't given out again before all others were.
		if p := netip.AddrPortFrom(at.Addr(), h.net.port()); !taken(p) {
			at = p
		}
	}
	return at, nil
}

// port returns the next port number. The network's lock is held.
func (n *Net) port() uint16 {
	n.next++
	if n.next < firstPort {
		n.next = firstPort
	}
	return n.next
}

// DialContext opens a stream to a listener of any host, or is refused at once:
// there is nothing here that could make it wait.
func (h *Host) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, opError("dial", network, nil, err)
	}
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, opError("dial", network, nil, fmt.Errorf("memnet knows no names: %w", err))
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	remote := net.TCPAddrFromAddrPort(to)
	if h.dead {
		return nil, opError("dial", network, remote, net.ErrClosed)
	}
	l := h.net.streams[to]
	if l == nil {
		return nil, opError("dial", network, remote, os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	near, far := pair(h, netip.AddrPortFrom(to.Addr(), h.net.port()), l.host, to)
	select {
	case l.queue <- far:
	default: // a full queue drops the SYN on a real machine
		return nil, opError("dial", network, remote, os.NewSyscallError("connect", syscall.ETIMEDOUT))
	}
	h.open[near] = struct{}{}
	l.host.open[far] = struct{}{}
	return near, nil
}

// Kill ends all that the host has open, and refuses it to open anything else.
// When it returns, nothing that the host's program does reaches anybody.
func (h *Host) Kill() {
	h.net.mu.Lock()
	h.dead = true
	open := h.open
	h.open = nil
	for c := range open {
		h.net.unbind(c)
	}
	h.net.mu.Unlock()
	// The addresses refuse by now: whoever sees a stream end and dials again
	// learns that nobody is there.
	for c := range open {
		c.shut()
	}
}

// unbind frees the address of a listener. The network's lock is held.
func (n *Net) unbind(c closer) {
	switch c := c.(type) {
	case *listener:
		if n.streams[c.at] == c {
			delete(n.streams, c.at)
		}
	case *packetConn:
		if n.packets[c.at] == c {
			delete(n.packets, c.at)
		}
	}
}

// close takes c from the host and shuts it.
func (h *Host) close(c closer) {
	h.net.mu.Lock()
	delete(h.open, c)
	h.net.unbind(c)
	h.net.mu.Unlock()
	c.shut()
}

// opError wraps err as package net does, so that errors.Is finds the cause.
func opError(op, network string, addr net.Addr, err error) error {
	return &net.OpError{Op: op, Net: network, Addr: addr, Err: err}
}

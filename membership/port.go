package membership

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// packetBuffer is the largest datagram that is read; memberlist's are smaller.
const packetBuffer = 64 << 10

// port is the cluster port as memberlist wants it.
type port struct {
	o       *Options
	resolve func(name string) string // a member's cluster address by memberlist name, or ""
	open    func() bool              // whether gossip may be sent and heard
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{} // closed by Shutdown
	once    sync.Once
	wg      sync.WaitGroup
}

var _ memberlist.NodeAwareTransport = (*port)(nil)

func newPort(o *Options, resolve func(string) string, open func() bool) *port {
	return &port{
		o: o, resolve: resolve, open: open, packets: make(chan *memberlist.Packet, 64),
		streams: make(chan net.Conn, 4), done: make(chan struct{}),
	}
}

func (p *port) start() {
	p.wg.Go(p.readPackets)
	p.wg.Go(p.acceptStreams)
}

func (p *port) readPackets() {
	buf := make([]byte, packetBuffer)
	for {
		n, from, err := p.o.Packets.ReadFrom(buf)
		if err != nil {
			if p.stopped() || errors.Is(err, net.ErrClosed) {
				return
			}
			continue // such as an ICMP answer to an earlier datagram
		}
		if !p.open() {
			continue
		}
		packet := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: time.Now()}
		select {
		case p.packets <- packet:
		case <-p.done:
			return
		}
	}
}

func (p *port) acceptStreams() {
	for {
		c, err := p.o.Streams.Accept()
		if err != nil {
			return
		}
		if !p.open() {
			_ = c.Close()
			continue
		}
		select {
		case p.streams <- c:
		case <-p.done:
			_ = c.Close()
		}
	}
}

func (p *port) stopped() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// FinalAdvertiseAddr returns what others send datagrams to: an IP address.
func (p *port) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	addr, err := net.ResolveUDPAddr("udp", p.o.Meta.ClusterAddr)
	if err != nil {
		return nil, 0, fmt.Errorf("advertised address: %w", err)
	}
	ip := addr.IP
	if v4 := ip.To4(); v4 != nil {
		ip = v4 // memberlist compares addresses byte by byte
	}
	return ip, addr.Port, nil
}

// WriteTo sends a datagram.
func (p *port) WriteTo(b []byte, addr string) (time.Time, error) {
	if !p.open() {
		return time.Time{}, errNoKeys
	}
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = p.o.Packets.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return time.Now(), err
}

// WriteToAddress sends a datagram.
func (p *port) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return p.WriteTo(b, a.Addr)
}

// DialTimeout opens a gossip stream.
func (p *port) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	if !p.open() {
		return nil, errNoKeys
	}
	return p.o.Dial(addr, timeout)
}

// DialAddressTimeout opens a gossip stream to a member, by the name that it
// advertises rather than the IP address that it resolved to: certificates are
// made out to names.
func (p *port) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	addr := a.Addr
	if known := p.resolve(a.Name); known != "" {
		addr = known
	}
	return p.DialTimeout(addr, timeout)
}

// PacketCh is where memberlist takes datagrams from.
func (p *port) PacketCh() <-chan *memberlist.Packet { return p.packets }

// StreamCh is where memberlist takes streams from.
func (p *port) StreamCh() <-chan net.Conn { return p.streams }

// Shutdown stops both readers and waits for them. The sockets stay open: they
// belong to the transport.
func (p *port) Shutdown() error {
	p.once.Do(func() {
		close(p.done)
		_ = p.o.Packets.SetReadDeadline(time.Unix(1, 0))
		_ = p.o.Streams.Close()
		p.wg.Wait()
		_ = p.o.Packets.SetReadDeadline(time.Time{})
		for {
			select {
			case c := <-p.streams:
				_ = c.Close()
			default:
				return
			}
		}
	})
	return nil
}

// joinTarget makes addr safe for memberlist, which would ask the DNS about a
// host without a port.
func joinTarget(addr string) (string, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("%q: want host:port: %w", addr, err)
	}
	if n, err := strconv.ParseUint(portText, 10, 16); err != nil || n == 0 || host == "" {
		return "", fmt.Errorf("%q: want host:port", addr)
	}
	return addr, nil
}

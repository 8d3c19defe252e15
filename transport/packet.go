package transport

import (
	"encoding/binary"
	"hash/fnv"
	"net"
	"sync"
)

// packetPrefix precedes each datagram: magic, version and a hash of the cluster
// id. It keeps clusters apart that were mixed up by an address; it is no
// protection against anybody who means harm.
const packetPrefix = 6

const packetMagic = 0xB7

// packetConn is the UDP socket with the prefix added and checked.
type packetConn struct {
	net.PacketConn
	cluster func() string
	pool    sync.Pool // of *[]byte
}

var _ net.PacketConn = (*packetConn)(nil)

// PacketConn returns the gossip datagrams. Closing it has no effect: the port
// belongs to the transport, and its closing would tell peers of a death. Its
// reader sees an error after the transport's Close, or by a read deadline.
func (t *Transport) PacketConn() net.PacketConn { return t.udp }

// Close does nothing, see Transport.PacketConn.
func (c *packetConn) Close() error { return nil }

func (c *packetConn) appendPrefix(b []byte) []byte {
	h := fnv.New32a()
	_, _ = h.Write([]byte(c.cluster()))
	b = append(b, packetMagic, protocolVersion)
	return binary.BigEndian.AppendUint32(b, h.Sum32())
}

// WriteTo sends one datagram.
func (c *packetConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	buf, _ := c.pool.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer c.pool.Put(buf)
	*buf = append(c.appendPrefix((*buf)[:0]), p...)
	n, err := c.PacketConn.WriteTo(*buf, addr)
	return max(0, n-packetPrefix), err
}

// ReadFrom returns the next datagram of this cluster. Others are dropped. p must
// have room for the prefix.
func (c *packetConn) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, addr, err := c.PacketConn.ReadFrom(p)
		if err != nil {
			return 0, addr, err
		}
		var want [packetPrefix]byte
		if n <= packetPrefix || [packetPrefix]byte(p) != [packetPrefix]byte(c.appendPrefix(want[:0])) {
			continue
		}
		return copy(p, p[packetPrefix:n]), addr, nil
	}
}

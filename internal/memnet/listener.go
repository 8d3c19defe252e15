package memnet

import (
	"net"
	"net/netip"
	"sync"
)

// backlog is how many streams wait to be accepted.
const backlog = 128

// listener hands out the far ends of streams.
type listener struct {
	host  *Host
	at    netip.AddrPort
	queue chan *conn
	once  sync.Once
	done  chan struct{} // closed by shut
}

var _ net.Listener = (*listener)(nil)

// Accept waits for the next stream.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, l.closed()
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, l.closed()
	}
}

func (l *listener) closed() error { return opError("accept", "tcp", l.Addr(), net.ErrClosed) }

// Close ends Accept, and resets the streams that nobody accepted.
func (l *listener) Close() error {
	l.host.close(l)
	return nil
}

func (l *listener) shut() {
	l.once.Do(func() { close(l.done) })
	for {
		select {
		case c := <-l.queue:
			_ = c.Close()
		default:
			return
		}
	}
}

// Addr returns the address that is listened on.
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

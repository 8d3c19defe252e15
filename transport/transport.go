package transport

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
)

const (
	// maxInbound bounds the accepted connections. A cluster of n nodes needs a
	// handful from each peer.
	maxInbound = 1024
	// acceptTimeout bounds the handshake on the accepting side.
	acceptTimeout = 3 * time.Second
	// dialTimeout bounds connecting and the handshake on the dialling side.
	dialTimeout = 2 * time.Second
	// portAttempts is how often a free pair of ports is looked for.
	portAttempts = 32
)

// Transport is one node's end of the cluster port.
type Transport struct {
	opts   Options
	log    *zap.Logger
	addr   string
	tcp    net.Listener
	udp    *packetConn
	timing linkTiming

	ctx    context.Context // done when Close begins
	cancel context.CancelFunc
	start  sync.Once
	once   sync.Once
	wg     sync.WaitGroup // every goroutine of the package

	inbound   atomic.Int32
	strangers atomic.Int32
	greeting  byHost // accepted connections that haven't said who they are
	strange   byHost // those of strangers
	refusals  refusals
	handlers  [256]atomic.Pointer[handler]
	peers     registry
	raft      streams
	gossip    streams

	mu      sync.Mutex                       // guards the maps
	closing bool                             // no goroutine or connection is added after it
	conns   map[net.Conn][]*x509.Certificate // with the other end's chain, once it has shown one
	clients map[string]*client               // by address
	dialled map[*Conn]string                 // streams that this node has made, with the address
	links   map[string]*link                 // by address
}

// Listen acquires the TCP and the UDP port. It serves nothing before Start:
// connections wait in the kernel's queue.
func Listen(o Options) (*Transport, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	tcp, udp, err := listenPair(o.Network, o.Bind)
	if err != nil {
		return nil, err
	}
	addr, err := o.advertised(tcp.Addr().(*net.TCPAddr)) //nolint:forcetypeassert // see Options.Network
	if err != nil {
		return nil, errors.Join(err, tcp.Close(), udp.Close())
	}
	t := &Transport{
		opts: o, log: o.Logger, addr: addr, tcp: tcp, timing: defaultTiming,
		conns:   make(map[net.Conn][]*x509.Certificate),
		clients: make(map[string]*client),
		dialled: make(map[*Conn]string),
		links:   make(map[string]*link),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.udp = &packetConn{PacketConn: udp, cluster: o.ClusterID}
	t.peers.entries = make(map[string]*registered)
	return t, nil
}

// listenPair binds TCP and UDP on one port number. For port 0 the kernel picks
// the TCP port, and another is tried while its UDP twin is taken.
func listenPair(on Network, bind string) (net.Listener, net.PacketConn, error) {
	host, port, err := net.SplitHostPort(bind)
	if err != nil {
		return nil, nil, fmt.Errorf("--cluster-addr %q: %w", bind, err)
	}
	attempts := 1
	if port == "0" || port == "" {
		attempts = portAttempts
	}
	for range attempts {
		var tcp net.Listener
		if tcp, err = on.Listen("tcp", bind); err != nil {
			return nil, nil, bindError(bind, "tcp", err)
		}
		got := strconv.Itoa(tcp.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // see Options.Network
		var udp net.PacketConn
		if udp, err = on.ListenPacket("udp", net.JoinHostPort(host, got)); err == nil {
			return tcp, udp, nil
		}
		_ = tcp.Close()
	}
	return nil, nil, bindError(bind, "udp", err)
}

// bindError says which flag to change.
func bindError(bind, network string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("--cluster-addr %s: %s %w: stop the other process or choose another --cluster-addr: %w", bind, network, ErrPortInUse, err)
	}
	return fmt.Errorf("--cluster-addr %s: %w", bind, err)
}

// Start begins to serve. Handlers should be registered before.
func (t *Transport) Start() {
	t.start.Do(func() { t.spawn(t.acceptLoop) })
}

// Close closes both sockets and every connection and waits for all goroutines.
// To every peer it looks like the death of this process.
func (t *Transport) Close() error {
	var err error
	t.once.Do(func() {
		t.mu.Lock()
		t.closing = true
		conns := t.conns
		t.conns = nil
		t.mu.Unlock()
		t.cancel()
		err = errors.Join(t.tcp.Close(), t.udp.PacketConn.Close())
		for c := range conns {
			_ = c.Close()
		}
		_ = t.raft.close()
		_ = t.gossip.close()
	})
	t.wg.Wait()
	return err
}

// Addr returns the address that others dial.
func (t *Transport) Addr() string { return t.addr }

// self is this node as its peers see it.
func (t *Transport) self() Peer {
	return Peer{ID: t.opts.ID, Incarnation: t.opts.Incarnation, Addr: t.addr}
}

// spawn runs f on a goroutine that Close waits for. It reports false, and runs
// nothing, once Close has begun.
func (t *Transport) spawn(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return false
	}
	t.wg.Go(f)
	return true
}

// track registers c to be closed by Close.
func (t *Transport) track(c net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return false
	}
	t.conns[c] = nil
	return true
}

func (t *Transport) untrack(c net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
}

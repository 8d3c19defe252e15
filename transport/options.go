package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"go.uber.org/zap"
)

// Network makes sockets, with the signatures of package net. What it makes must
// fail with the errors of the kernel: a refused dial is what tells a death.
type Network interface {
	Listen(network, addr string) (net.Listener, error)
	ListenPacket(network, addr string) (net.PacketConn, error)
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// kernel is the Network of the machine.
type kernel struct{ net.Dialer }

func (*kernel) Listen(network, addr string) (net.Listener, error) { return net.Listen(network, addr) } //nolint:noctx // binding doesn't block

func (*kernel) ListenPacket(network, addr string) (net.PacketConn, error) {
	return net.ListenPacket(network, addr) //nolint:noctx // binding doesn't block
}

// Options configure a Transport. Bind and ID are required.
type Options struct {
	// Bind is the host:port of both sockets. Port 0 picks a free pair.
	Bind string
	// Advertise is the host:port that others dial; empty means the bound one. A
	// missing or zero port stands for the bound port.
	Advertise string
	// ID is the node's name, Incarnation the number of this start of it.
	ID          string
	Incarnation uint64
	// ClusterID returns the cluster that the node belongs to, "" while none. It
	// is called for every connection and must not block. Nil means none.
	ClusterID func() string
	// Former, if set, may say what has become of another cluster, for a caller that belongs to it.
	Former func(cluster string) string
	// Credentials, when set, put TLS over every TCP connection, in both
	// directions: each end proves which node it is.
	Credentials Credentials
	// OnStranger answers the request of a process without a certificate; from and
	// host are what it says of itself and the address that it comes from. Nil
	// refuses strangers. It runs on a goroutine of its own.
	OnStranger func(ctx context.Context, from Peer, host string, req []byte) []byte
	// Network makes the sockets; nil is the machine's own. Its listeners have
	// addresses of package net's types.
	Network Network
	// Insecure permits to listen beyond loopback without TLS.
	Insecure bool
	// OnLink is told about watched peers. It is called on the peer's own
	// goroutine, one event of a peer after another, and must not block.
	OnLink func(LinkEvent)
	// Logger is required to be non-nil only if logs are wanted.
	Logger *zap.Logger
}

// validate checks o and fills in what may be left out.
func (o *Options) validate() error {
	if o.ID == "" || len(o.ID) > 255 {
		return fmt.Errorf("transport: node id must have 1 to 255 bytes, has %d", len(o.ID))
	}
	if o.ClusterID == nil {
		o.ClusterID = func() string { return "" }
	}
	if o.Network == nil {
		o.Network = new(kernel)
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	host, _, err := net.SplitHostPort(o.Bind)
	if err != nil {
		return fmt.Errorf("--cluster-addr %q: want host:port: %w", o.Bind, err)
	}
	if o.Credentials == nil && !o.Insecure && !IsLoopback(host) {
		return fmt.Errorf("--cluster-addr %s: %w: configure TLS, use a loopback address, or pass --insecure", o.Bind, ErrInsecureBind)
	}
	if o.Credentials == nil {
		o.OnStranger = nil // a secret is told over TLS alone
	}
	return nil
}

// IsLoopback reports whether all that a host stands for is loopback.
func IsLoopback(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	return host == "localhost"
}

// advertised computes the address that others dial.
func (o *Options) advertised(bound *net.TCPAddr) (string, error) {
	port := strconv.Itoa(bound.Port)
	if o.Advertise == "" {
		if bound.IP.IsUnspecified() {
			return "", fmt.Errorf("--cluster-addr %s listens on all interfaces: name the address that the other nodes dial with --advertise-addr", o.Bind)
		}
		return net.JoinHostPort(bound.IP.String(), port), nil
	}
	host, p, err := net.SplitHostPort(o.Advertise)
	if err != nil {
		var ae *net.AddrError
		if !errors.As(err, &ae) || ae.Err != "missing port in address" {
			return "", fmt.Errorf("--advertise-addr %q: want host[:port]: %w", o.Advertise, err)
		}
		host, p = o.Advertise, ""
	}
	if host == "" {
		return "", fmt.Errorf("--advertise-addr %q: the host is missing", o.Advertise)
	}
	if p == "" || p == "0" {
		p = port
	}
	addr := net.JoinHostPort(host, p)
	if len(addr) > 255 {
		return "", fmt.Errorf("--advertise-addr %q: longer than 255 bytes", o.Advertise)
	}
	return addr, nil
}

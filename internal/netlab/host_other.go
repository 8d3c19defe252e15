//go:build !linux

package netlab

import (
	"context"
	"net"
	"net/netip"
	"os"
)

// Host is a host of a Lab; here there is none.
type Host struct {
	// Addr is the host's address.
	Addr netip.Addr

	tun *os.File
}

func newHost(int) (*Host, error) { return nil, ErrUnavailable }

func (*Host) write([]byte) {}

func (*Host) close() {}

// Enter returns ErrUnavailable.
func (*Host) Enter() error { return ErrUnavailable }

// Listen returns ErrUnavailable.
func (*Host) Listen(string, string) (net.Listener, error) { return nil, ErrUnavailable }

// DialContext returns ErrUnavailable.
func (*Host) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, ErrUnavailable
}

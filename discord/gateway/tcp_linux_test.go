package gateway

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKernelWatchesTheWay: a way that is gone without a word is found in less time than a heartbeat takes.
func TestKernelWatchesTheWay(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	o, err := Options{Token: "token", Sink: &recorder{}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	c, err := o.NetDial(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	option := func(level, name int) (value time.Duration) {
		_ = raw.Control(func(fd uintptr) {
			n, err := unix.GetsockoptInt(int(fd), level, name)
			if err != nil {
				t.Error(err)
			}
			value = time.Duration(n)
		})
		return value
	}
	if option(unix.SOL_SOCKET, unix.SO_KEEPALIVE) == 0 {
		t.Fatal("nothing is asked on a silent connection")
	}
	silent := option(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)*time.Second +
		option(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)*option(unix.IPPROTO_TCP, unix.TCP_KEEPCNT)*time.Second
	unacked := option(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) * time.Millisecond
	if silent != 8*time.Second || unacked != 8*time.Second {
		t.Errorf("a silent way that is gone is found after %v, one on which something was sent after %v", silent, unacked)
	}
}

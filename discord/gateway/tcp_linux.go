package gateway

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// boundUnacked has the kernel end a connection on which what was sent stays without an acknowledgement.
func boundUnacked(_, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unackedMost.Milliseconds()))
	})
	return errors.Join(err, set)
}

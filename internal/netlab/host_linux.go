package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Host is a network namespace with an address on the lab's network and loopback
// of its own.
type Host struct {
	// Addr is the host's address.
	Addr netip.Addr

	ns  *os.File // the namespace
	tun *os.File // our end of its interface
}

// newHost makes a namespace and its interface.
func newHost(i int) (*Host, error) {
	h := &Host{Addr: addr(i)}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("a network namespace: %w", err)
		}
		var err error
		if h.ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		return h.plug()
	})
	if err != nil {
		h.close()
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return h, nil
}

// plug makes the interfaces, in the namespace of the calling thread.
func (h *Host) plug() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("/dev/net/tun: %w", err)
	}
	const name = "lab0"
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("a TUN device: %w", err)
	}
	h.tun = os.NewFile(uintptr(fd), "tun")
	ctl, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(ctl) }()
	mask := net.CIDRMask(prefix.Bits(), 32)
	return errors.Join(
		set(ctl, unix.SIOCSIFADDR, name, func(r *unix.Ifreq) error { return r.SetInet4Addr(h.Addr.AsSlice()) }),
		set(ctl, unix.SIOCSIFNETMASK, name, func(r *unix.Ifreq) error { return r.SetInet4Addr(mask) }),
		set(ctl, unix.SIOCSIFMTU, name, func(r *unix.Ifreq) error { r.SetUint32(mtu); return nil }),
		set(ctl, unix.SIOCSIFFLAGS, name, up),
		set(ctl, unix.SIOCSIFFLAGS, "lo", up),
	)
}

func up(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }

// set changes one thing of an interface.
func set(ctl int, what uint, name string, value func(*unix.Ifreq) error) error {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := value(r); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(ctl, what, r); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return nil
}

// write hands a packet to the host. One that it doesn't take is lost.
func (h *Host) write(packet []byte) { _, _ = h.tun.Write(packet) }

func (h *Host) close() {
	for _, f := range []*os.File{h.tun, h.ns} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// Enter moves the calling thread to the host. The caller has locked its goroutine
// to the thread, and never unlocks it: the thread ends with the goroutine.
func (h *Host) Enter() error {
	if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("netlab: %w", err)
	}
	return nil
}

// onThread runs f on a thread of its own, which ends with it.
func onThread(f func() error) error {
	res := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good
		res <- f()
	}()
	return <-res
}

// Listen listens on the host.
func (h *Host) Listen(network, address string) (l net.Listener, err error) {
	err = onThread(func() (err error) {
		if err := h.Enter(); err != nil {
			return err
		}
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// DialContext connects from the host. address has an IP address: a name would be
// looked up on another thread, in another namespace.
func (h *Host) DialContext(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = onThread(func() (err error) {
		if err := h.Enter(); err != nil {
			return err
		}
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

package netlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// ErrUnavailable is returned by New where the machine has no such network: not
// Linux, not root, or no TUN device.
var ErrUnavailable = errors.New("netlab: not available here")

// mtu is that of the hosts' interfaces.
const mtu = 1500

// prefix is the hosts' network. Nothing routes it but the package.
var prefix = netip.MustParsePrefix("10.177.0.0/24")

// maxHosts is how many hosts fit into prefix.
const maxHosts = 200

// Lab is a network of hosts.
type Lab struct {
	hosts []*Host
	pipes [][]*pipe // by sender and receiver
	done  chan struct{}
	once  sync.Once
	wg    sync.WaitGroup

	mu     sync.Mutex // guards what follows
	faults map[int]Fault
	next   int
}

// Fault is a link between some hosts, in the directions From to To. Several at a
// time add up.
type Fault struct {
	From, To []int
	Link     Link
}

// New makes a network of so many hosts. Equal seeds lose equal packets, as far as
// equal packets are sent.
func New(hosts int, seed uint64) (*Lab, error) {
	if hosts < 1 || hosts > maxHosts {
		return nil, fmt.Errorf("netlab: %d hosts", hosts)
	}
	l := &Lab{done: make(chan struct{}), faults: map[int]Fault{}}
	for i := range hosts {
		h, err := newHost(i)
		if err != nil {
			l.Close()
			return nil, err
		}
		l.hosts = append(l.hosts, h)
	}
	for from := range hosts {
		row := make([]*pipe, hosts)
		for to := range hosts {
			row[to] = newPipe(seed, uint64(from*maxHosts+to), l.hosts[to].write)
			l.wg.Go(func() { row[to].run(l.done) })
		}
		l.pipes = append(l.pipes, row)
	}
	for i := range hosts {
		l.wg.Go(func() { l.forward(i) })
	}
	return l, nil
}

// Close ends the network. Processes on its hosts lose it at once.
func (l *Lab) Close() {
	l.once.Do(func() { close(l.done) })
	for _, h := range l.hosts {
		h.close()
	}
	l.wg.Wait()
}

// Host is one of the hosts, counted from 0.
func (l *Lab) Host(i int) *Host { return l.hosts[i] }

// Break adds a fault and returns what ends it.
func (l *Lab) Break(f Fault) (heal func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	id := l.next
	l.faults[id] = f
	l.applyLocked()
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.faults, id)
		l.applyLocked()
	}
}

func (l *Lab) applyLocked() {
	links := make([][]Link, len(l.hosts))
	for i := range links {
		links[i] = make([]Link, len(l.hosts))
	}
	for _, f := range l.faults {
		for _, from := range f.From {
			for _, to := range f.To {
				if from != to {
					links[from][to] = links[from][to].and(f.Link)
				}
			}
		}
	}
	for from, row := range l.pipes {
		for to, p := range row {
			p.set(links[from][to])
		}
	}
}

// Lost is how many packets were not delivered.
func (l *Lab) Lost() (n int) {
	for _, row := range l.pipes {
		for _, p := range row {
			n += p.losses()
		}
	}
	return n
}

// forward takes what a host sends to where it goes, until the host is closed.
func (l *Lab) forward(from int) {
	buf := make([]byte, mtu+64)
	for {
		n, err := l.hosts[from].tun.Read(buf)
		if err != nil {
			return
		}
		if to, ok := l.receiver(buf[:n]); ok {
			l.pipes[from][to].send(buf[:n], time.Now())
		}
	}
}

// receiver is the host that an IPv4 packet (RFC 791) goes to.
func (l *Lab) receiver(packet []byte) (int, bool) {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return 0, false
	}
	to := int(binary.BigEndian.Uint32(packet[16:20])) - int(binary.BigEndian.Uint32(prefix.Addr().AsSlice())) - 1
	return to, to >= 0 && to < len(l.hosts)
}

// addr is the address of a host.
func addr(i int) netip.Addr {
	b := prefix.Addr().As4()
	b[3] = byte(i + 1)
	return netip.AddrFrom4(b)
}

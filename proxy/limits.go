package proxy

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// The most connections of clients in all, of those nobody knows yet, and of the
// latter from one address.
const (
	maxConns          = 20_000
	maxUnknown        = 1024
	maxUnknownPerAddr = 128
)

// door bounds the connections that wait without a session.
type door struct {
	mu      sync.Mutex // guards what follows
	all     int
	unknown int
	byAddr  map[string]int
}

// enter admits a connection that nobody knows, if there is room.
func (d *door) enter(addr string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all >= maxConns || d.unknown >= maxUnknown || d.byAddr[addr] >= maxUnknownPerAddr {
		return false
	}
	if d.byAddr == nil {
		d.byAddr = make(map[string]int)
	}
	d.all++
	d.unknown++
	d.byAddr[addr]++
	return true
}

// recognise counts a connection as known from here on.
func (d *door) recognise(addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unknown--
	if d.byAddr[addr]--; d.byAddr[addr] <= 0 {
		delete(d.byAddr, addr)
	}
}

func (d *door) leave(addr string, known bool) {
	if !known {
		d.recognise(addr)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all--
}

// recognised notes that a client has shown a key.
func (c *conn) recognised() {
	if !c.known {
		c.known = true
		c.s.door.recognise(c.addr)
	}
}

// Slowing down of wrong keys: so many are free, then each takes longer than the
// one before. After a while without any all is forgotten.
const (
	freeAttempts  = 5
	attemptStep   = 250 * time.Millisecond
	mostDelay     = 5 * time.Second
	attemptMemory = 10 * time.Minute
	maxAddrs      = 10_000
)

// attempts counts the wrong keys that addresses have shown.
type attempts struct {
	mu     sync.Mutex // guards byAddr
	byAddr map[string]attempt
}

type attempt struct {
	n    int
	last time.Time
}

// wrong counts a wrong key and returns how long its answer is to wait.
func (a *attempts) wrong(addr string, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byAddr == nil {
		a.byAddr = make(map[string]attempt)
	}
	at := a.byAddr[addr]
	if now.Sub(at.last) > attemptMemory {
		at.n = 0
	}
	if len(a.byAddr) >= maxAddrs {
		a.forget(now)
	}
	at.n, at.last = at.n+1, now
	a.byAddr[addr] = at
	return min(max(0, time.Duration(at.n-freeAttempts)*attemptStep), mostDelay)
}

// forget makes room for many: what is old goes, else anything.
func (a *attempts) forget(now time.Time) {
	for addr, at := range a.byAddr {
		if now.Sub(at.last) > attemptMemory {
			delete(a.byAddr, addr)
		}
	}
	for addr := range a.byAddr {
		if len(a.byAddr) < maxAddrs*3/4 {
			return
		}
		delete(a.byAddr, addr)
	}
}

// peer returns the address that limits are kept by: of IPv6 the network, since
// who has one address of it mostly has all.
func peer(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if a = a.Unmap(); a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

package proxy

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

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

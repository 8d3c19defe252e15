// Package tries bounds how often one address may be wrong about a secret. It
// knows no secret and no protocol: whoever checks tells it of what was wrong.
package tries

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// PerMinute is how often an address may be wrong in a minute.
const PerMinute = 10

// maxAddrs bounds the addresses that are told apart; those beyond share one count.
const maxAddrs = 10_000

// Wrong counts what was wrong, by address. The zero value is ready for use, also
// by several goroutines.
type Wrong struct {
	mu    sync.Mutex // guards what follows
	since time.Time  // of the minute that is counted
	byNet map[netip.Prefix]int
}

// May reports whether an address may try: it was wrong less than PerMinute times
// in this minute.
func (w *Wrong) May(remote string, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn(now)
	return w.byNet[w.key(remote)] < PerMinute
}

// Count counts a try that was wrong. It reports whether it is the first of the
// minute, of all addresses: worth a line in the log.
func (w *Wrong) Count(remote string, now time.Time) (first bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn(now)
	first = len(w.byNet) == 0
	w.byNet[w.key(remote)]++
	return first
}

func (w *Wrong) turn(now time.Time) {
	if w.byNet == nil || now.Sub(w.since) >= time.Minute {
		w.since, w.byNet = now, make(map[netip.Prefix]int)
	}
}

// key is what an address is counted under. mu is held.
func (w *Wrong) key(remote string) netip.Prefix {
	p := NetOf(remote)
	if _, known := w.byNet[p]; !known && len(w.byNet) >= maxAddrs {
		return netip.Prefix{}
	}
	return p
}

// NetOf returns whose address it is, with or without a port: of IPv6 the network,
// since a host has as many addresses in it as it likes. It is zero for what is no
// IP address.
func NetOf(remote string) netip.Prefix {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	ip = ip.Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // bits are in range
	return p
}

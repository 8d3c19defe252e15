package proxy

import "sync"

// The most connections of clients in all, of those nobody knows yet, and of the
// latter from one address.
const (
	maxConns          = 20_000
	maxUnknown        = 1024
	maxUnknownPerAddr = 128
)

// door bounds the connections that have no session yet. When there is no room, the
// one that has been waiting for longest makes it: a client that means it sends
// its IDENTIFY at once. The address that has too many loses one, or the one that
// has most: so nobody keeps others out by holding places. Those whose IDENTIFY or
// RESUME is being looked at keep theirs.
type door struct {
	mu      sync.Mutex // guards what follows, and the seats
	all     int
	unknown int
	byAddr  map[string]map[*seat]struct{}
	count   uint64 // of the seats that were ever taken
}

// seat is the place of a connection. It is counted as unknown until it is
// recognised, evicted or left.
type seat struct {
	addr  string
	order uint64 // the lowest has waited for longest
	known bool   // it counts as unknown no more
	busy  bool   // its client has sent what it came for
	end   func() // ends the connection; nil until there is one
}

// enter admits a connection that nobody knows, if there is room or some can be
// made, else it returns nil.
func (d *door) enter(addr string) *seat {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all >= maxConns {
		return nil
	}
	if len(d.byAddr[addr]) >= maxUnknownPerAddr && !d.evict(addr) {
		return nil
	}
	if d.unknown >= maxUnknown && !d.evict(d.crowd()) {
		return nil
	}
	if d.byAddr == nil {
		d.byAddr = make(map[string]map[*seat]struct{})
	}
	if d.byAddr[addr] == nil {
		d.byAddr[addr] = make(map[*seat]struct{})
	}
	d.count++
	s := &seat{addr: addr, order: d.count}
	d.all++
	d.unknown++
	d.byAddr[addr][s] = struct{}{}
	return s
}

// crowd returns the address that has most seats. The lock is held.
func (d *door) crowd() (addr string) {
	most := 0
	for a, seats := range d.byAddr {
		if len(seats) > most {
			addr, most = a, len(seats)
		}
	}
	return addr
}

// evict ends the connection of an address that has been waiting for longest. The
// lock is held.
func (d *door) evict(addr string) bool {
	var oldest *seat
	for s := range d.byAddr[addr] {
		if !s.busy && s.end != nil && (oldest == nil || s.order < oldest.order) {
			oldest = s
		}
	}
	if oldest == nil {
		return false
	}
	d.forget(oldest)
	oldest.end()
	return true
}

// seated notes how a seat's connection is ended. end must not block.
func (d *door) seated(s *seat, end func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.end = end
}

// busy notes whether a seat's client has been heard and waits for an answer.
func (d *door) busy(s *seat, is bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.busy = is
}

// recognise notes that a seat's client has a session.
func (d *door) recognise(s *seat) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(s)
}

// forget counts a seat as unknown no more. The lock is held.
func (d *door) forget(s *seat) {
	if s.known {
		return
	}
	s.known = true
	d.unknown--
	delete(d.byAddr[s.addr], s)
	if len(d.byAddr[s.addr]) == 0 {
		delete(d.byAddr, s.addr)
	}
}

func (d *door) leave(s *seat) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(s)
	d.all--
}

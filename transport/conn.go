package transport

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Peer is who is at the other end, as the handshake told.
type Peer struct {
	ID          string
	Incarnation uint64
	Addr        string // the address that it advertises
}

// Conn is a connection after its handshake. Raft and gossip get these.
type Conn struct {
	net.Conn
	peer    Peer
	release func() // undoes what registered the connection
	once    sync.Once
	// asked is when something was last written that nothing read has followed, since
	// began, 0 for never.
	asked atomic.Int64
}

// began is what times of connections are counted from.
var began = time.Now()

// Write writes, and notes that an answer is awaited.
func (c *Conn) Write(b []byte) (int, error) {
	c.asked.Store(int64(time.Since(began)))
	return c.Conn.Write(b)
}

// Read reads. Whatever comes is a sign of life.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.asked.Store(0)
	}
	return n, err
}

// waits reports whether what was written d ago or earlier has had no answer yet.
func (c *Conn) waits(d time.Duration) bool {
	at := c.asked.Load()
	return at > 0 && time.Since(began)-time.Duration(at) >= d
}

// Peer returns who is at the other end.
func (c *Conn) Peer() Peer { return c.peer }

// Close closes the connection.
func (c *Conn) Close() error {
	c.once.Do(c.release)
	return c.Conn.Close()
}

// registry knows which incarnation of each node this one is connected to. It
// lets a newer incarnation in, keeps an older one out, and finds two processes
// that share an id. Entries live as long as their connections.
type registry struct {
	mu      sync.Mutex
	entries map[string]*registered
}

type registered struct {
	peer Peer
	refs int
}

// verdict is what the registry thinks of a newcomer.
type verdict int

const (
	admitted verdict = iota
	stale            // a newer incarnation is connected
	doubtful         // an older incarnation is connected from another address: is it alive?
)

// admit registers a connection of p. With force an older incarnation is
// replaced in any case. The returned peer is the one on record.
func (r *registry) admit(p Peer, force bool) (release func(), known Peer, v verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[p.ID]
	switch {
	case e == nil:
	case p.Incarnation < e.peer.Incarnation:
		return nil, e.peer, stale
	case p.Incarnation == e.peer.Incarnation:
		e.refs++
		return r.releaser(e), p, admitted
	case p.Addr != e.peer.Addr && !force:
		// On the same address the port itself proves that the older one is gone.
		return nil, e.peer, doubtful
	}
	e = &registered{peer: p, refs: 1}
	r.entries[p.ID] = e
	return r.releaser(e), p, admitted
}

func (r *registry) releaser(e *registered) func() {
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if e.refs--; e.refs == 0 && r.entries[e.peer.ID] == e {
			delete(r.entries, e.peer.ID)
		}
	}
}

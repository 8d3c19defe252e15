// Package httppeers bounds the connections of an HTTP server.
package httppeers

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
)

// Peers bounds the connections of strangers. Who connects and says nothing is
// bounded apart, and the one that has been silent for longest makes room: a
// client that means it sends its request at once.
type Peers struct {
	max, maxSilent int

	mu     sync.Mutex // guards what follows
	all    map[net.Conn]struct{}
	silent *list.List // of net.Conn, the longest silent first
	place  map[net.Conn]*list.Element
}

// New bounds connections to so many in all, and so many that have not sent a whole
// request yet.
func New(most, maxSilent int) *Peers {
	return &Peers{max: most, maxSilent: maxSilent, all: make(map[net.Conn]struct{}), silent: list.New(), place: make(map[net.Conn]*list.Element)}
}

// connKey is the context's key of a request's connection.
type connKey struct{}

// Conn implements http.Server.ConnContext.
func Conn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// State implements http.Server.ConnState.
func (ps *Peers) State(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if over := ps.add(c); over != nil {
			_ = over.Close() // its goroutine sees it, and ends
		}
	case http.StateClosed, http.StateHijacked: // a gateway connection is counted by itself
		ps.mu.Lock()
		defer ps.mu.Unlock()
		delete(ps.all, c)
		ps.heard(c)
	case http.StateActive, http.StateIdle:
	}
}

// add counts a connection in, and returns the one to close, nil for none.
func (ps *Peers) add(c net.Conn) net.Conn {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.all[c] = struct{}{}
	ps.place[c] = ps.silent.PushBack(c)
	switch {
	case ps.silent.Len() > ps.maxSilent:
		oldest, _ := ps.silent.Front().Value.(net.Conn)
		ps.heard(oldest)
		return oldest
	case len(ps.all) > ps.max:
		ps.heard(c)
		return c
	}
	return nil
}

// Spoke notes that a connection has sent a whole request.
func (ps *Peers) Spoke(ctx context.Context) {
	c, _ := ctx.Value(connKey{}).(net.Conn)
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.heard(c)
}

// Counts returns how many connections there are, and how many of them are silent.
func (ps *Peers) Counts() (all, silent int) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return len(ps.all), ps.silent.Len()
}

// heard takes a connection off the silent ones. The caller holds the lock.
func (ps *Peers) heard(c net.Conn) {
	if e := ps.place[c]; e != nil {
		ps.silent.Remove(e)
		delete(ps.place, c)
	}
}

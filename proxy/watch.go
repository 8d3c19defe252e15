package proxy

import (
	"context"
	"errors"
	"time"
)

// lookEvery is how often the server looks whether this node may serve, and
// patience how long it may not before its clients are sent away.
const (
	lookEvery = 250 * time.Millisecond
	patience  = 1500 * time.Millisecond
)

// watch sends the clients away while this node may not serve them.
func (s *Server) watch() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var since time.Time // that it may not; zero while it may
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-tick.C:
			err := s.o.Backend.Serving()
			switch {
			case err == nil:
				since = time.Time{}
			case since.IsZero() && !errors.Is(err, ErrLeaving):
				since = now
			default:
				if now.Sub(since) < patience {
					break
				}
				s.sendAway("this node can't serve now: "+err.Error(), true)
			}
		}
	}
}

// admits reports whether this node may take a connection. It waits a moment for
// what passes by itself, such as an election, and so that a client that knows no
// other node isn't back at once. One that isn't let in keeps its session: libraries
// take a connection that ends before READY or RESUMED for their session's end.
func (s *Server) admits(ctx context.Context) error {
	return poll(ctx, patience, s.o.Backend.Serving)
}

// sendAway tells clients to come back elsewhere: all, or those whose session is
// under way.
func (s *Server) sendAway(reason string, settled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		e := elsewhere(reason)
		e.settled = settled
		c.stop(e)
	}
}

// closeGrace is how long clients have to take the news that the server ends.
const closeGrace = 2 * time.Second

// endConns ends all connections: in order, then not.
func (s *Server) endConns() {
	s.sendAway("this node stops; connect again", false)
	late := time.AfterFunc(closeGrace, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			_ = c.cork.Close() // whoever is blocked in it finds out
		}
	})
	defer late.Stop()
	s.serving.Wait()
}

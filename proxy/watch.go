package proxy

import (
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
				s.sendAway("this node can't serve now: " + err.Error())
			}
		}
	}
}

// sendAway tells all clients to come back elsewhere.
func (s *Server) sendAway(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.stop(elsewhere(reason))
	}
}

// closeGrace is how long clients have to take the news that the server ends.
const closeGrace = 2 * time.Second

// endConns ends all connections: in order, then not.
func (s *Server) endConns() {
	s.sendAway("this node stops; connect again")
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

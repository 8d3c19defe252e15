package proxy

import (
	"context"
	"sync"
)

// Limits of requests that are under way. Waiting for a limit of Discord's counts.
const (
	maxRequests       = 2048
	maxRequestsOfAKey = 1024
	maxBuffered       = 256 << 20 // bytes of bodies that are held to be sent again
)

// restState is what the REST half of a server keeps.
type restState struct {
	addresses *addresses
	requests  *slots
	waits     *slots // of answers to interactions, by address
	buffered  *budget
	pace      pace
	ctx       context.Context // ends when requests that wait must not wait any more
	cancel    context.CancelFunc
}

func newRESTState() restState {
	ctx, cancel := context.WithCancel(context.Background())
	return restState{
		ctx: ctx, cancel: cancel, pace: usualPace,
		addresses: newAddresses(), requests: &slots{most: maxRequests, each: maxRequestsOfAKey, of: make(map[[32]byte]int)},
		waits:    &slots{most: maxInteractionWaits, each: maxInteractionWaitsOf, of: make(map[[32]byte]int)},
		buffered: &budget{left: maxBuffered},
	}
}

// slots bounds requests that are under way, in all and of each key.
type slots struct {
	most, each int

	mu  sync.Mutex // guards what follows
	all int
	of  map[[32]byte]int // by the key's hash
}

// take counts a request in. free counts it out; it is nil if there are too many.
func (s *slots) take(key [32]byte) (free func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= s.most || s.of[key] >= s.each {
		return nil
	}
	s.all++
	s.of[key]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.of[key]--; s.of[key] == 0 {
			delete(s.of, key)
		}
	}
}

// budget bounds the memory that bodies take.
type budget struct {
	mu   sync.Mutex // guards left
	left int64
}

// take reserves n bytes, or none.
func (b *budget) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.left {
		return false
	}
	b.left -= n
	return true
}

// give gives n bytes back.
func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += n
}

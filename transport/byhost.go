package transport

import (
	"errors"
	"sync"
)

// maxGreetings bounds the connections of one host that haven't said who they
// are: without it a single stranger could hold all of maxInbound.
const maxGreetings = 128

var errTooManyGreetings = errors.New("too many connections of that host are in their handshake")

// byHost counts by host. The zero value is ready.
type byHost struct {
	mu sync.Mutex
	n  map[string]int
}

// enter counts one more, unless there are limit already.
func (b *byHost) enter(host string, limit int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n == nil {
		b.n = make(map[string]int)
	}
	if b.n[host] >= limit {
		return false
	}
	b.n[host]++
	return true
}

func (b *byHost) leave(host string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n[host]--; b.n[host] <= 0 {
		delete(b.n, host)
	}
}

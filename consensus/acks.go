package consensus

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// acks knows when the newest request that a follower has accepted was sent.
//
// Raft's own verification takes any heartbeat that is answered after it began, also one that was sent before: what the
// follower said then may be older than the call, and in a process that stood still by as much as that.
type acks struct {
	mu     sync.Mutex
	newest map[raft.ServerID]ack
}

// ack is a request that was accepted as one of the leader of a term.
type ack struct {
	term uint64
	sent time.Time
}

func newAcks() *acks { return &acks{newest: make(map[raft.ServerID]ack)} }

// note notes that a follower accepted a request.
func (a *acks) note(id raft.ServerID, term uint64, sent time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.newest[id]; term > old.term || term == old.term && sent.After(old.sent) {
		a.newest[id] = ack{term, sent}
	}
}

// quorum reports whether a majority of the voters, self included, has accepted a request of a term that was not sent
// before since.
func (a *acks) quorum(servers []Server, self string, term uint64, since time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	voters, yes := 0, 0
	for _, s := range servers {
		if !s.Voter {
			continue
		}
		voters++
		if got := a.newest[raft.ServerID(s.ID)]; s.ID == self || got.term == term && !got.sent.Before(since) {
			yes++
		}
	}
	return 2*yes > voters
}

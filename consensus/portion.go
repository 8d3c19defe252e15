package consensus

import (
	"sync"

	"github.com/hashicorp/raft"
)

const (
	// maxEntries is how many entries raft puts into one message and one write. A follower that comes back waits for a
	// sync for each message, and while it is needed for the majority so does the cluster.
	maxEntries = 256
	// maxPortion and minPortion bound what portions lets through of them, in bytes.
	maxPortion = 1 << 20
	minPortion = 64 << 10
)

// portions bounds the bytes of one message to a follower: raft bounds the number of its entries alone, and a message has
// to arrive within a timeout. What fails is halved, down to what a slow line carries; what arrives is doubled.
type portions struct {
	mu sync.Mutex
	// bytes is by follower; 0 is maxPortion.
	bytes map[raft.ServerID]int
}

func newPortions() *portions { return &portions{bytes: make(map[raft.ServerID]int)} }

// cut shortens a message to what the follower is sent at a time, at least one entry. Raft goes on behind what was sent.
func (p *portions) cut(id raft.ServerID, req *raft.AppendEntriesRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	left, known := p.bytes[id]
	if !known {
		left = maxPortion
	}
	for i, e := range req.Entries {
		if left -= int(logCost(e)); left < 0 && i > 0 {
			req.Entries = req.Entries[:i]
			return
		}
	}
}

// sent notes what became of a message.
func (p *portions) sent(id raft.ServerID, req *raft.AppendEntriesRequest, err error) {
	if len(req.Entries) < 2 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now, known := p.bytes[id]
	switch {
	case err != nil:
		size := 0
		for _, e := range req.Entries {
			size += int(logCost(e))
		}
		p.bytes[id] = max(size/2, minPortion)
	case known && 2*now < maxPortion:
		p.bytes[id] = 2 * now
	case known:
		delete(p.bytes, id)
	}
}

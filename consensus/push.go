package consensus

import (
	"sync"

	"github.com/hashicorp/raft"
)

// pusher tells followers of a new commit index at once.
//
// Raft tells them with the next AppendEntries, which on an idle cluster comes after one to two commit timeouts. A short
// timeout costs processor time around the clock; an empty AppendEntries when something was committed costs one message.
// It is a message that the leader could have sent itself: of its term, with a previous entry that the follower
// acknowledged in that term, and a commit index that doesn't reach beyond that entry.
type pusher struct {
	w *wire
	// commit returns the commit index of this node.
	commit func() uint64
	// nudge holds one token if a follower may have to be told.
	nudge chan struct{}

	mu    sync.Mutex
	peers map[raft.ServerID]*pushPeer
}

// pushPeer is what is known of a follower.
type pushPeer struct {
	target raft.ServerAddress
	// acked is the request to push: its previous entry is the newest that the follower acknowledged. Term 0 for none.
	acked raft.AppendEntriesRequest
	// told is the highest commit index that was sent in acked.Term.
	told uint64
	// busy counts the requests on their way. While there is one, its end decides whether anything is left to tell.
	busy int
}

func newPusher(w *wire, commit func() uint64) *pusher {
	return &pusher{w: w, commit: commit, nudge: make(chan struct{}, 1), peers: make(map[raft.ServerID]*pushPeer)}
}

// poke makes run look; it doesn't block.
func (p *pusher) poke() {
	select {
	case p.nudge <- struct{}{}:
	default:
	}
}

// sending notes a request of raft's own.
func (p *pusher) sending(id raft.ServerID, target raft.ServerAddress, req *raft.AppendEntriesRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer, ok := p.peers[id]
	if !ok {
		peer = &pushPeer{}
		p.peers[id] = peer
	}
	if req.Term != peer.acked.Term {
		peer.acked, peer.told = raft.AppendEntriesRequest{}, 0
	}
	peer.target = target
	peer.told = max(peer.told, req.LeaderCommitIndex)
	peer.busy++
}

// answered notes the answer to a request, raft's own or a push.
func (p *pusher) answered(id raft.ServerID, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer := p.peers[id]
	peer.busy--
	if err != nil || !resp.Success {
		peer.acked, peer.told = raft.AppendEntriesRequest{}, 0
		return
	}
	at, term := req.PrevLogEntry, req.PrevLogTerm
	if n := len(req.Entries); n > 0 {
		at, term = req.Entries[n-1].Index, req.Entries[n-1].Term
	}
	if req.Term != peer.acked.Term || at >= peer.acked.PrevLogEntry { // else a newer one overtook it
		peer.acked = *req
		peer.acked.Entries, peer.acked.PrevLogEntry, peer.acked.PrevLogTerm = nil, at, term
	}
	if p.commit() > peer.told {
		p.poke()
	}
}

func (p *pusher) run() {
	for {
		select {
		case <-p.nudge:
		case <-p.w.done:
			return
		}
		for id, push := range p.due() {
			p.w.wg.Go(func() {
				var resp raft.AppendEntriesResponse
				err := p.w.NetworkTransport.AppendEntries(id, push.target, &push.req, &resp)
				p.answered(id, &push.req, &resp, err)
			})
		}
	}
}

type push struct {
	target raft.ServerAddress
	req    raft.AppendEntriesRequest
}

// due returns what is to be sent now, and notes it as on its way.
func (p *pusher) due() map[raft.ServerID]push {
	p.mu.Lock()
	defer p.mu.Unlock()
	commit := p.commit()
	out := make(map[raft.ServerID]push)
	for id, peer := range p.peers {
		upTo := min(commit, peer.acked.PrevLogEntry)
		if peer.acked.Term == 0 || peer.busy > 0 || upTo <= peer.told {
			continue
		}
		// Asked after the commit index was read: a node that leads in this term now did so then, so the index was
		// committed in a log that the follower's agrees with.
		if !p.w.wanted(peer.acked.Term, id) {
			delete(p.peers, id)
			continue
		}
		req := peer.acked
		req.LeaderCommitIndex = upTo
		peer.told = upTo
		peer.busy++
		out[id] = push{peer.target, req}
	}
	return out
}

package rest

import (
	"context"
	"encoding/binary"
	"time"

	"go.uber.org/zap"
)

const (
	// tellBytes closes a message to a peer.
	tellBytes = 256 << 10
	// maxUntold bounds what waits for a peer that is out of reach. Without a quorum
	// the view doesn't change, and nothing ends it.
	maxUntold = 16 << 20
	// tellTime is how long a peer may take to hear a message.
	tellTime = 2 * time.Second
)

// peer is another process of the view. What it is told arrives in order and
// once, as long as both are in the view.
type peer struct {
	member   Member
	ctx      context.Context
	cancel   context.CancelFunc // when it leaves the view
	reach    context.Context    // ends with that, too, and when it goes out of reach
	cut      context.CancelFunc
	lost     bool        // it is out of reach
	since    time.Time   // when it last came in or out of reach
	silence  *time.Timer // from when it went out of reach; nil before
	untold   [][]byte    // messages' items, the last one still open
	size     int
	wake     chan struct{} // capacity 1
	heard    uint64        // sequence of the newest message from it
	informed bool          // it has told of this node's present view
	bad      int           // its invalid requests
}

// newPeer returns a peer in reach and starts what tells it things.
func (c *Cluster) newPeer(m Member) *peer {
	p := &peer{member: m, wake: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(c.ctx)
	p.reach, p.cut = context.WithCancel(p.ctx)
	c.wg.Go(func() { c.teller(p) })
	return p
}

// tell queues an item for another process. One that isn't in the view hears
// nothing. The caller holds the lock.
func (c *Cluster) tell(m Member, it item) {
	p := c.peers[m.ID]
	if p == nil || p.member != m || c.here.closed {
		return
	}
	if p.size > maxUntold {
		c.o.Logger.Warn("too much is untold to a node that is out of reach", zap.String("code", "rest-untold"), zap.String("node", m.ID))
		return
	}
	n := len(p.untold)
	if n == 0 || len(p.untold[n-1]) >= tellBytes {
		p.untold = append(p.untold, nil)
		n++
	}
	before := len(p.untold[n-1])
	p.untold[n-1] = appendItem(p.untold[n-1], it)
	p.size += len(p.untold[n-1]) - before
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// untoldNext takes the next message's items and its number. Numbers rise over all
// that this process ever tells: a peer that has left the view and come back may
// have been there all along in its own, and goes on counting.
func (c *Cluster) untoldNext(p *peer) (seq uint64, items []byte) {
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	if len(p.untold) == 0 {
		return 0, nil
	}
	items = p.untold[0]
	p.untold = p.untold[1:]
	p.size -= len(items)
	c.tells++
	return c.tells, items
}

// teller brings a peer what it is told, one message at a time: what gathers
// meanwhile forms the next.
func (c *Cluster) teller(p *peer) {
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.wake:
		}
		for seq, items := c.untoldNext(p); items != nil; seq, items = c.untoldNext(p) {
			msg := binary.AppendUvarint([]byte{msgTell}, seq)
			if !c.bring(p, append(msg, items...)) {
				return
			}
		}
	}
}

// bring sends a message until it has arrived, or the peer leaves the view.
func (c *Cluster) bring(p *peer, msg []byte) bool {
	for {
		ctx, cancel := context.WithTimeout(p.ctx, tellTime)
		_, err := c.o.Peers.Call(ctx, p.member, msg)
		cancel()
		if err == nil {
			return true
		}
		if pause(p.ctx, retryTime) != nil {
			return false
		}
	}
}

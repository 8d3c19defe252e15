package rest

import (
	"context"
	"time"
)

// lease is this node's side of a lane whose places the cluster shares: how many
// of them it has. All fields but wake are guarded by the limiter's lock.
//
// Invariant: what is used of the lane is at most held, and the lane's home has
// never counted less than held for this node. held rises with an answer of the
// home only, and falls with a question only.
type lease struct {
	c        *Cluster
	identity Identity
	lane     *lane
	held     int
	target   int // what to go down to as places become free
	seq      uint64
	asking   bool
	end      context.CancelFunc // ends the question on its way
	poked    bool
	failing  time.Time     // since when the home doesn't answer; zero while it does
	wake     chan struct{} // capacity 1
}

// lookAtLanes is called whenever a lane has changed. The caller holds the lock.
func (c *Cluster) lookAtLanes(now time.Time) {
	for _, l := range c.leases {
		l.look(now)
	}
}

// look sets how many places may be used, and wakes the one who asks if the home
// must hear something.
func (l *lease) look(now time.Time) {
	if l.alone(now) {
		l.target = min(l.target, l.c.share())
		l.lane.limit = l.c.share()
	} else {
		l.lane.limit = min(l.held, l.target)
	}
	l.lane.watched = l.held > l.target
	if l.lane.none || l.asking || !l.due(now) {
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// alone is true for a node that has no home to ask: the home counts on it to take
// its share then, and no more.
func (l *lease) alone(now time.Time) bool {
	if !l.c.view.has(l.c.o.Self) || !l.failing.IsZero() && now.Sub(l.failing) >= aloneTime {
		return true
	}
	p := l.c.peers[l.c.view.homeOfLane(l.identity).ID]
	return p != nil && p.out(now) >= aloneTime
}

// due is true if the home must hear something: requests wait for places, places
// go back, or it has asked.
func (l *lease) due(now time.Time) bool {
	used := l.lane.used(now)
	if l.held > l.target && used < l.held || l.poked {
		return true
	}
	return len(l.lane.queue) > 0 && used >= l.lane.limit && l.held <= l.target && !now.Before(l.lane.blocked)
}

// rehome ends the question to a home that may have begun its books anew; its
// answer doesn't count.
func (l *lease) rehome() {
	if l.end != nil {
		l.end()
	}
	l.seq++ // an answer to the old question is known by its number
	l.asking, l.poked = false, false
}

// run asks the home whenever there is something to say, until the limiter ends.
func (l *lease) run() {
	for {
		select {
		case <-l.c.ctx.Done():
			return
		case <-l.wake:
		}
		for l.ask() {
		}
	}
}

// ask asks the home once. It returns true if there is more to say.
func (l *lease) ask() bool {
	ctx, q, home, ok := l.question()
	if !ok {
		return false
	}
	a, err := l.c.askLane(ctx, home, q)
	l.answered(q.seq, a, err)
	if err != nil || a.code == ansMoved {
		_ = pause(l.c.ctx, retryTime) // the context's end shows in the next question
	}
	l.c.here.mu.Lock()
	defer l.c.here.mu.Unlock()
	now := time.Now()
	l.c.here.pumpLane(l.lane, now)
	return l.due(now) && !l.c.here.closed && !l.lane.none
}

// question makes the next question.
func (l *lease) question() (context.Context, laneMsg, Member, bool) {
	c := l.c
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	now := time.Now()
	if c.here.closed || l.lane.none || !c.view.has(c.o.Self) || !l.due(now) {
		return nil, laneMsg{}, Member{}, false
	}
	used := l.lane.used(now)
	if l.held > l.target {
		l.held = max(l.target, used)
	}
	l.held = max(l.held, used) // it has counted for itself
	l.seq++
	l.asking, l.poked = true, false
	q := laneMsg{view: c.view.stamp, seq: l.seq, identity: l.identity, held: l.held, want: used + len(l.lane.queue)}
	home := c.view.homeOfLane(l.identity)
	base := c.ctx
	if p := c.peers[home.ID]; p != nil {
		base = p.reach
	}
	var ctx context.Context
	ctx, l.end = context.WithTimeout(base, aloneTime)
	return ctx, q, home, true
}

// answered takes in the home's answer.
func (l *lease) answered(seq uint64, a laneAns, err error) {
	l.c.here.mu.Lock()
	defer l.c.here.mu.Unlock()
	if l.seq != seq {
		return // of a home that isn't one any more
	}
	now := time.Now()
	l.end()
	l.asking = false
	switch {
	case err == nil && a.code == ansGranted:
		l.held, l.target, l.failing = max(a.held, l.held), a.target, time.Time{}
	default: // the home may not have heard what it had asked for, and asks only once
		l.poked = true
		if l.failing.IsZero() {
			l.failing = now
		}
	}
	l.look(now)
}

// askLane brings a question to the lane's home.
func (c *Cluster) askLane(ctx context.Context, home Member, q laneMsg) (laneAns, error) {
	if home == c.o.Self {
		got := make(chan laneAns, 1)
		c.here.mu.Lock()
		c.serveLane(home, q, time.Now(), func(a laneAns) { got <- a })
		c.here.mu.Unlock()
		select {
		case a := <-got:
			return a, nil
		case <-ctx.Done():
			return laneAns{}, ctx.Err()
		}
	}
	b, err := c.o.Peers.Call(ctx, home, q.append(nil))
	if err != nil {
		return laneAns{}, err
	}
	return decodeLaneAns(b)
}

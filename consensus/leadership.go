package consensus

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// Leader is the leader as this node knows it.
type Leader struct {
	ID, Addr string
	// Term is this node's term. If Known, it is the term of that leader.
	Term  uint64
	Known bool
}

// LeadershipChange is the state of leadership at one moment.
type LeadershipChange struct {
	Leader Leader
	// IsLeader is true if the leader is this node.
	IsLeader bool
	// Established is true if this node leads and its barrier succeeded in this term. Before that a leader does nothing:
	// its state may lack entries that are committed.
	Established bool
}

// Leader returns the leader that this node knows, never guessed from its own state: a candidate has none, and a node
// that calls itself a leader may have been deposed.
func (r *Raft) Leader() Leader {
	for {
		addr, id := r.raft.LeaderWithID()
		term := r.raft.CurrentTerm()
		addr2, id2 := r.raft.LeaderWithID()
		// The leader is cleared before the term rises, so two equal readings around the term belong to it.
		if addr == addr2 && id == id2 {
			return Leader{ID: string(id), Addr: r.addrOf(string(id), string(addr)), Term: term, Known: id != ""}
		}
	}
}

// addrOf prefers what membership knows over what the leader was called when it was elected.
func (r *Raft) addrOf(id, known string) string {
	if r.opts.Resolve == nil || id == "" || id == r.opts.ID {
		return known
	}
	if addr, ok := r.opts.Resolve(id); ok && addr != "" {
		return addr
	}
	return known
}

// IsLeader reports whether this node is the leader that it knows. Others may know better: see Verify.
func (r *Raft) IsLeader() bool { return r.Leader().ID == r.opts.ID }

// Established returns the term in which this node leads with a successful barrier.
func (r *Raft) Established() (term uint64, ok bool) {
	now := r.lead.now()
	return now.Leader.Term, now.Established
}

// Leadership returns a channel of leadership's states, beginning with the present one. It is level-like: a slow reader
// misses states in between, never the newest. Each call makes a channel of its own; Close closes it.
func (r *Raft) Leadership() <-chan LeadershipChange {
	states, _ := r.lead.subscribe()
	return states
}

// leadership watches raft and tells subscribers.
type leadership struct {
	r *Raft
	// nudge holds one token if something may have changed.
	nudge chan struct{}

	mu   sync.Mutex
	last LeadershipChange
	// established is the term whose barrier succeeded, 0 for none.
	established uint64
	subs        map[chan LeadershipChange]struct{}
	closed      bool

	// trying is the term whose barrier was started; only run reads and writes it.
	trying uint64
}

func newLeadership(r *Raft) *leadership {
	return &leadership{r: r, nudge: make(chan struct{}, 1), subs: make(map[chan LeadershipChange]struct{})}
}

// start registers an observer that never blocks raft and never loses a change: its filter only sets the token, and what
// holds is read afterwards.
func (l *leadership) start() {
	observer := raft.NewObserver(nil, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			l.poke()
		}
		return false
	})
	l.r.raft.RegisterObserver(observer)
	l.r.wg.Go(l.run)
	l.poke()
}

func (l *leadership) poke() {
	select {
	case l.nudge <- struct{}{}:
	default:
	}
}

func (l *leadership) run() {
	for {
		select {
		case <-l.nudge:
			l.look()
		case <-l.r.ctx.Done():
			l.close()
			return
		}
	}
}

// look reads what holds now and publishes it if it is new.
func (l *leadership) look() {
	now := LeadershipChange{Leader: l.r.Leader()}
	now.IsLeader = now.Leader.ID == l.r.opts.ID
	l.mu.Lock()
	now.Established = now.IsLeader && l.established == now.Leader.Term
	changed := now != l.last
	l.last = now
	if changed {
		for sub := range l.subs {
			replace(sub, now)
		}
	}
	l.mu.Unlock()
	if now.IsLeader && l.trying != now.Leader.Term {
		l.trying = now.Leader.Term
		l.r.wg.Go(func() { l.establish(now.Leader.Term) })
	}
	if changed {
		l.r.elector.poke()
	}
}

// replace puts the newest state in a channel of capacity one. There is one sender, which holds the lock.
func replace(sub chan LeadershipChange, now LeadershipChange) {
	select {
	case <-sub:
	default:
	}
	sub <- now
}

// establish waits until all earlier entries are applied here. A leader that can't get there is of no use: it gives the
// leadership away. If nobody can take it, since the other voters lag or don't write for a while, it tries both again: a
// leader that raft's heartbeats keep and that does nothing would be the end of the cluster.
func (l *leadership) establish(term uint64) {
	for l.leads(term) {
		err := l.barrier()
		if err == nil {
			l.mu.Lock()
			l.established = max(l.established, term)
			l.mu.Unlock()
			l.poke()
			return
		}
		if !l.leads(term) {
			return
		}
		l.r.log.Warn("leader could not establish itself", zap.Uint64("term", term), zap.Error(err),
			zap.String("code", "leader_not_established"))
		if err := l.r.TransferLeadership(l.r.ctx, ""); err != nil {
			l.r.log.Warn("leadership could not be given away", zap.Uint64("term", term), zap.Error(err))
		}
		select {
		case <-time.After(l.r.opts.Timeouts.Heartbeat): // both may have failed at once
		case <-l.r.ctx.Done():
		}
	}
}

// leads reports whether this node runs and leads in a term.
func (l *leadership) leads(term uint64) bool {
	now := l.r.Leader()
	return now.ID == l.r.opts.ID && now.Term == term && l.r.ctx.Err() == nil
}

func (l *leadership) barrier() error {
	ctx, cancel := context.WithTimeout(l.r.ctx, l.r.opts.EstablishTimeout)
	defer cancel()
	return l.r.Barrier(ctx)
}

func (l *leadership) now() LeadershipChange {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.last
	if live := l.r.Leader(); live.ID != now.Leader.ID || live.Term != now.Leader.Term {
		return LeadershipChange{Leader: live, IsLeader: live.ID == l.r.opts.ID} // run hasn't seen it yet
	}
	return now
}

func (l *leadership) subscribe() (<-chan LeadershipChange, func()) {
	sub := make(chan LeadershipChange, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		close(sub)
		return sub, func() {}
	}
	l.subs[sub] = struct{}{}
	sub <- l.last
	return sub, func() { l.unsubscribe(sub) }
}

func (l *leadership) unsubscribe(sub chan LeadershipChange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.subs[sub]; ok {
		delete(l.subs, sub)
		close(sub)
	}
}

func (l *leadership) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for sub := range l.subs {
		close(sub)
	}
	clear(l.subs)
}

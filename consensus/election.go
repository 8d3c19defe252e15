package consensus

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

const (
	// noticeSkew is by how much voters may differ in noticing a death. A node that would win waits for those that may live
	// and have not reported for as long as a report may take, and this.
	noticeSkew = 50 * time.Millisecond
	// reportTimeout bounds one report to one voter.
	reportTimeout = 300 * time.Millisecond
	// drainMost bounds the wait for the end of what a dead leader sent. It is used up if the leader lives after all, if the
	// kernel never learns of the end of its connections, or if an append hangs in an fsync.
	drainMost = 100 * time.Millisecond
	// fireTimeout bounds the hand-over of TimeoutNow to raft's loop.
	fireTimeout = 50 * time.Millisecond
)

// LeaderLinkDead tells that the process of a node is known to be dead: its link ended and a new one was refused, or a
// newer process answered. It is no harm to call it of a node that doesn't lead. It doesn't block.
func (r *Raft) LeaderLinkDead(id string) {
	r.elector.send(electorEvent{dead: id, term: r.Term()})
}

// NodeAlive tells that a node is up, again or for the first time. It doesn't block.
func (r *Raft) NodeAlive(id string) { r.elector.send(electorEvent{alive: id}) }

// HandleElection takes another voter's report; the answer is this node's own, or nothing. The wiring serves the method
// of Options.Caller with it. from must be the authenticated id of the sender.
func (r *Raft) HandleElection(from string, req []byte) ([]byte, error) {
	rep, err := decodeReport(req)
	if err != nil {
		return nil, err
	}
	if rep.Voter != from {
		return nil, errReport
	}
	r.elector.send(electorEvent{report: rep})
	if own, ok := r.elector.own(rep.Leader, rep.Term); ok {
		return own.encode(), nil
	}
	return nil, nil
}

// elector is the I/O of the fast election: it collects reports, asks the rule, and fires.
type elector struct {
	r *Raft
	// nudge holds one token if there may be something to do.
	nudge chan struct{}

	mu    sync.Mutex
	inbox []electorEvent
	// mine is this node's report, for those who ask; empty until its position is final.
	mine report

	// The fields below belong to run.

	// down holds the nodes that died and didn't come back; died the term in which each died last: whatever came back,
	// it doesn't lead that term any more.
	down    map[string]bool
	died    map[string]uint64
	reports map[string]report
	lost    loss // the loss at hand, the zero loss for none
	losses  uint64
	fired   uint64
	grace   <-chan time.Time
}

// electorEvent is one of: a node died, in this node's term; a node is back; a report came; what the lost leader sent has
// been read.
type electorEvent struct {
	dead, alive string
	term        uint64
	report      report
	drained     loss
}

// loss is one time that this node lost a leader. A mistake may be followed by the leader's death in the same term.
type loss struct {
	leader string
	term   uint64
	number uint64
}

func newElector(r *Raft) *elector {
	return &elector{
		r: r, nudge: make(chan struct{}, 1), down: make(map[string]bool), died: make(map[string]uint64),
		reports: make(map[string]report),
	}
}

func (e *elector) start() {
	if e.r.opts.Caller != nil {
		e.r.wg.Go(e.run)
	}
}

func (e *elector) send(ev electorEvent) {
	if e.r.opts.Caller == nil {
		return
	}
	e.mu.Lock()
	e.inbox = append(e.inbox, ev)
	e.mu.Unlock()
	e.poke()
}

// poke makes the rule look again. It is called when the leader changed: the new one may have died meanwhile.
func (e *elector) poke() {
	select {
	case e.nudge <- struct{}{}:
	default:
	}
}

// own returns this node's report about the loss of leader in term, if it is final and holds still.
func (e *elector) own(leader string, term uint64) (report, bool) {
	e.mu.Lock()
	mine := e.mine
	e.mu.Unlock()
	if mine.Leader != leader || mine.Term != term {
		return report{}, false
	}
	if e.moved(mine) {
		e.poke() // it is told anew
		return report{}, false
	}
	return mine, true
}

// moved reports whether this node's log is not where a report of it says: the loss was a mistake, or the leader's last
// append took longer than the wait for it.
func (e *elector) moved(r report) bool {
	term, index := e.r.lastEntry()
	return term != r.LastTerm || index != r.LastIndex
}

func (e *elector) run() {
	for {
		graceOver := false
		select {
		case <-e.nudge:
			e.mu.Lock()
			events := e.inbox
			e.inbox = nil
			e.mu.Unlock()
			for _, ev := range events {
				e.take(ev)
			}
		case <-e.grace:
			graceOver = true
		case <-e.r.ctx.Done():
			return
		}
		e.step(graceOver)
	}
}

func (e *elector) take(ev electorEvent) {
	switch {
	case ev.dead != "":
		e.down[ev.dead] = true
		e.died[ev.dead] = max(e.died[ev.dead], ev.term)
		if ev.dead == e.lost.leader {
			e.lost = loss{} // what it did since the last time is told anew
		}
	case ev.alive != "":
		delete(e.down, ev.alive)
	case ev.report.Voter != "":
		e.reports[ev.report.Voter] = ev.report
	case ev.drained.number > 0 && ev.drained == e.lost:
		e.tellAll()
	}
}

// gone reports whether the leader is known to have died in its term.
func (e *elector) gone(l Leader) bool { return e.down[l.ID] || l.Term <= e.died[l.ID] }

// step reports a loss that is new, and asks the rule.
func (e *elector) step(graceOver bool) {
	leader := e.r.Leader()
	if !leader.Known || leader.ID == e.r.opts.ID || !e.gone(leader) {
		// Reports that come before this node's own loss may be about one that was taken back, and their log's position
		// old by the time of the real one: two would fire. The present ones come as answers to this node's own report.
		e.grace, e.lost = nil, loss{}
		clear(e.reports)
		e.setOwn(report{})
		return
	}
	if own, told := e.reports[e.r.opts.ID]; told && e.moved(own) {
		e.lost = loss{}
	}
	e.lose(leader)
	switch decide(e.view(leader)) {
	case fire:
		e.fire(leader)
	case hold:
		if graceOver {
			e.fire(leader)
		} else if e.grace == nil {
			e.grace = time.After(e.r.opts.drain + noticeSkew)
		}
	case wait:
		e.grace = nil
	}
}

// lose notes that this node lost its leader. What the leader sent before its death may still wait to be read; until it
// is, this node's log goes on growing, and a report of its position would have two nodes think that they win.
func (e *elector) lose(leader Leader) {
	if e.lost.leader == leader.ID && e.lost.term == leader.Term {
		return
	}
	e.losses++
	at := loss{leader: leader.ID, term: leader.Term, number: e.losses}
	e.lost = at
	delete(e.reports, e.r.opts.ID)
	e.setOwn(report{})
	drained := e.r.wire.layer.drained(leader.ID)
	e.r.wg.Go(func() {
		select {
		case <-drained:
		case <-time.After(e.r.opts.drain):
		case <-e.r.ctx.Done():
			return
		}
		e.send(electorEvent{drained: at})
	})
}

// tellAll fixes this node's report of the loss at hand and sends it to the other voters. From here on this node, too,
// judges itself by what it has told.
func (e *elector) tellAll() {
	own := report{Leader: e.lost.leader, Term: e.lost.term, Voter: e.r.opts.ID}
	own.LastTerm, own.LastIndex = e.r.lastEntry()
	e.reports[own.Voter] = own
	e.setOwn(own)
	e.r.log.Info("leader lost", zap.String("leader", own.Leader), zap.Uint64("term", own.Term),
		zap.Uint64("last_index", own.LastIndex))
	for _, s := range e.r.Servers() {
		if s.Voter && s.ID != own.Voter && s.ID != own.Leader {
			e.r.wg.Go(func() { e.tell(s, own) })
		}
	}
}

func (e *elector) setOwn(own report) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mine = own
}

// tell sends the report to one voter, and takes the voter's own from its answer.
func (e *elector) tell(s Server, own report) {
	ctx, cancel := context.WithTimeout(e.r.ctx, reportTimeout)
	defer cancel()
	answer, err := e.r.opts.Caller.Call(ctx, e.r.addrOf(s.ID, s.Addr), own.encode())
	if err != nil {
		e.r.log.Debug("election report not delivered", zap.String("node", s.ID), zap.Error(err))
		return
	}
	if len(answer) == 0 {
		return
	}
	if theirs, err := decodeReport(answer); err == nil && theirs.Voter == s.ID {
		e.send(electorEvent{report: theirs})
	}
}

func (e *elector) view(leader Leader) view {
	var voters []string
	for _, s := range e.r.Servers() {
		if s.Voter {
			voters = append(voters, s.ID)
		}
	}
	slices.Sort(voters)
	return view{
		Self: e.r.opts.ID, Leader: leader.ID, Term: leader.Term, Follower: e.r.raft.State() == raft.Follower,
		Voters: voters, Reports: e.reports, Down: e.down, Fired: e.fired,
	}
}

// fire stands for election, once in a dead term. Whoever else tries in the same term is a defect of the rule, so this
// node won't, whatever comes of it: raft's own timers remain.
func (e *elector) fire(leader Leader) {
	e.fired, e.grace = leader.Term, nil
	ctx, cancel := context.WithTimeout(e.r.ctx, fireTimeout)
	defer cancel()
	if err := e.r.wire.timeoutNow(ctx); err != nil {
		e.r.log.Warn("fast election not started", zap.Error(err), zap.String("code", "fast_election"))
		return
	}
	e.r.log.Info("fast election", zap.String("dead", leader.ID), zap.Uint64("term", leader.Term))
}

package shard

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/fsm"
)

// planEvery is how often a leader plans without being told of a change: some
// of its rules wait for time to pass.
const planEvery = 50 * time.Millisecond

// leaderLoop carries out the Leader's actions while this node leads.
type leaderLoop struct {
	m       *Manager
	wake    chan struct{} // holds a token if there may be something to plan
	changed chan struct{} // holds a token after a change of leadership

	// mu guards what follows. It is held for a step of the rules, never while a
	// proposal waits for room: questions for freshness must go on meanwhile.
	mu     sync.Mutex
	term   uint64
	leader *Leader // nil unless this node leads an established term
	// begun: the run has begun, as far as this process knows.
	begun bool
	told  []string // the nodes that the log was last told to be waited for
	// awaitUntil is when the wait for others ends, 0 until a leader was heard of.
	awaitUntil Time
	killed     map[fsm.NodeRef]bool // processes whose death is confirmed, for terms to come
	unread     map[string]complaint // what the log was last told of Discord, by bot
	reading    map[string]*Leader   // who reads a bot's session start limit
}

func newLeaderLoop(m *Manager) *leaderLoop {
	return &leaderLoop{
		m: m, wake: make(chan struct{}, 1), changed: make(chan struct{}, 1), killed: make(map[fsm.NodeRef]bool),
		unread: make(map[string]complaint), reading: make(map[string]*Leader),
	}
}

// newLeader makes the rules of a term that begins now. The lock is held.
func (l *leaderLoop) newLeader() *Leader {
	led := NewLeader(l.m.o.Timing, l.m.now())
	l.awaits()
	led.Self, led.Await, led.AwaitUntil, led.Begun = l.m.o.Self, l.m.o.SyncNodes, l.awaitUntil, l.begun
	return led
}

// awaits begins the time for which this node waits for others: once a leader
// was heard of, since there is no quorum before. The lock is held.
func (l *leaderLoop) awaits() {
	if l.awaitUntil == 0 {
		l.awaitUntil = l.m.now() + l.m.o.SyncTimeout
	}
}

// heard says that a leader has answered this node.
func (l *leaderLoop) heard() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.awaits()
}

// begins notes whether the run has begun, and tells of the nodes that it waits
// for. The lock is held.
func (l *leaderLoop) begins(led *Leader) {
	waiting := led.Waiting()
	switch {
	case led.Begun && len(l.told) > 0:
		l.m.log.Info("the bot starts", zap.Strings("waited_for", l.told), zap.Bool("timed_out", l.m.now() >= led.AwaitUntil))
	case !slices.Equal(waiting, l.told):
		l.m.log.Warn("the bot does not start before these nodes are up, or --sync-timeout is over",
			zap.String("code", "waiting_for_nodes"), zap.Strings("nodes", waiting), zap.Duration("left", led.AwaitUntil-l.m.now()))
	}
	l.begun, l.told = led.Begun, waiting
	l.m.setWaiting(waiting)
}

func (l *leaderLoop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *leaderLoop) set(term uint64, established bool) {
	l.mu.Lock()
	switch {
	case !established:
		l.leader = nil
	case l.leader == nil || l.term != term:
		l.term, l.leader = term, l.newLeader()
		for ref := range l.killed {
			l.leader.Killed(ref)
		}
	}
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
	l.poke()
}

// death records that a process is dead, or that it lives after all: a refused
// dial may have been a firewall's doing.
func (l *leaderLoop) death(ref fsm.NodeRef, dead bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !dead {
		delete(l.killed, ref)
		if l.leader != nil {
			delete(l.leader.killed, ref)
		}
		return
	}
	l.killed[ref] = true
	if l.leader != nil {
		l.leader.Killed(ref)
		l.poke()
	}
}

// with calls f with the leader's rules, then has them plan again.
func (l *leaderLoop) with(f func(*Leader) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leader == nil {
		return ErrNotLeading
	}
	err := f(l.leader)
	l.poke()
	return err
}

// hear calls f with the leader's rules, which need not plan at once.
func (l *leaderLoop) hear(f func(*Leader)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leader == nil {
		return ErrNotLeading
	}
	f(l.leader)
	return nil
}

// fresh answers a node's question whether this one leads. Leadership is
// verified by a round that begins after the question came, and in the term of the
// rules: a node that was deposed and leads again may not know of that here, nor have
// applied what was granted in between.
func (l *leaderLoop) fresh(ctx context.Context, node fsm.NodeRef, leaving bool) error {
	l.mu.Lock()
	led, term := l.leader, l.term
	l.mu.Unlock()
	if led == nil {
		return ErrNotLeading
	}
	if err := l.m.o.Cluster.Verify(ctx, term); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leader != led {
		return ErrNotLeading
	}
	if !leaving {
		delete(led.leaving, node) // it may have thought better of it
	}
	led.Answered(node, l.m.now(), leaving)
	return nil
}

func (l *leaderLoop) run() {
	tick := time.NewTicker(planEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.m.ctx.Done():
			return
		case <-l.wake:
		case <-tick.C:
		}
		l.plan()
	}
}

// plan steps the rules and carries out what they want. Only the loop does
// that, so that proposals keep their order.
func (l *leaderLoop) plan() {
	l.mu.Lock()
	led, term := l.leader, l.term
	if led == nil {
		l.mu.Unlock()
		return
	}
	l.m.o.Machine.View(func(_ uint64, s *fsm.State) { led.Plan(l.m.now(), s) })
	l.begins(led)
	l.layouts()
	l.chores(time.Now())
	todo := led.takeOut()
	l.mu.Unlock()
	l.perform(led, term, todo)
}

// takeOut returns the actions of the last call and forgets them.
func (l *Leader) takeOut() []LeaderAction {
	out := l.out
	l.out = nil
	return out
}

// layouts asks for the shard count of bots that have none in force yet. The
// lock is held.
func (l *leaderLoop) layouts() {
	var missing []string
	l.m.o.Machine.View(func(_ uint64, s *fsm.State) {
		for _, name := range s.BotNames() {
			if s.Bot(name).Layout == 0 && l.m.bots[name] != nil && !byHand(s.Bot(name)) {
				missing = append(missing, name)
			}
		}
	})
	for _, name := range missing {
		l.leader.WantBudget(l.m.now(), name)
	}
}

// WantBudget asks for the bot's gateway information, unless it was asked for
// of late.
func (l *Leader) WantBudget(now Time, bot string) {
	if at, ok := l.asked[bot]; !ok || now >= at+budgetEvery {
		l.asked[bot] = now
		l.out = append(l.out, ReadBudget{Bot: bot})
	}
}

func (l *leaderLoop) perform(led *Leader, term uint64, actions []LeaderAction) {
	for _, a := range actions {
		switch a := a.(type) {
		case LeaderPropose:
			l.log(a)
			// In order: a Down before the Grants that follow from it.
			l.m.leadSubmit(term, fsm.Encode(a.Generation, a.Cmd), func(r fsm.Result, err error) { l.answered(a, r, err) })
		case Announce:
			l.tell(a.To, fsm.ShardRef{Bot: a.Bot, Shard: a.Shard}, message{Kind: msgAnnounce, Epoch: a.Epoch})
		case TryAgain:
			l.tell(a.To, fsm.ShardRef{Bot: a.Bot, Shard: a.Shard}, message{Kind: msgTry, Epoch: a.Epoch})
		case ReadBudget:
			l.m.wg.Go(func() { l.readBudget(led, term, a.Bot) })
		}
	}
}

// tell sends a node a message about a shard.
func (l *leaderLoop) tell(to fsm.NodeRef, about fsm.ShardRef, msg message) {
	r := &runner{m: l.m, ref: about, ctx: l.m.ctx, log: l.m.log}
	l.m.wg.Go(func() {
		r.tell(to.ID, msg)
		r.wg.Wait()
	})
}

func (l *leaderLoop) log(a LeaderPropose) {
	switch c := a.Cmd.(type) {
	case *fsm.Grant:
		l.m.log.Info("granting shard", zap.String("bot", c.Bot), zap.Uint32("shard", c.Shard.Index),
			zap.Stringer("to", c.To), zap.Stringer("from", c.From), zap.Stringer("why", c.Why), zap.Bool("adopt", c.Adopt))
	case *fsm.Reidentify:
		l.m.log.Info("ending a session that has other intents than the configuration", zap.String("bot", c.Bot), zap.Uint32("shard", c.Shard.Index))
	case *fsm.Down:
		l.m.log.Warn("node is dead", zap.String("code", "node_dead"), zap.Stringer("node", c.Node))
	}
}

func (l *leaderLoop) answered(a LeaderPropose, r fsm.Result, err error) {
	if err != nil || r.Code != fsm.OK {
		l.m.log.Debug("proposal of the leader without effect", zap.String("key", a.Key),
			zap.Stringer("result", r.Code), zap.String("why", r.Msg), zap.Error(err))
	}
	l.poke()
}

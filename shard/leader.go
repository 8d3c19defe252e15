package shard

import (
	"cmp"
	"fmt"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// LeaderAction is something that the Leader wants done.
type LeaderAction interface{ leaderAction() }

// The actions of a Leader.
type (
	// LeaderPropose proposes a command. Its outcome is read from the applied
	// state; Key tells repeats of one intention apart from others.
	LeaderPropose struct {
		Key        string
		Generation uint64
		Cmd        fsm.Command
	}
	// Announce tells the target of a planned move to connect up to HELLO.
	Announce struct {
		Bot   string
		Shard fsm.ShardKey
		Epoch uint64 // that the Grant will bring
		To    fsm.NodeRef
	}
	// TryAgain has an owner that doesn't reach Discord dial at once, since another
	// node does.
	TryAgain struct {
		Bot   string
		Shard fsm.ShardKey
		Epoch uint64
		To    fsm.NodeRef
	}
	// ReadBudget asks Discord for the bot's session start limit.
	ReadBudget struct{ Bot string }
)

func (LeaderPropose) leaderAction() {}
func (Announce) leaderAction()      {}
func (TryAgain) leaderAction()      {}
func (ReadBudget) leaderAction()    {}

// shardID names a shard of a bot.
type shardID struct {
	bot string
	key fsm.ShardKey
}

// Leader is the leader's side of the protocol. A new one is made for every
// term, once the term's Barrier has succeeded. One goroutine uses it.
type Leader struct {
	// Self is this node's own process, which needs no answer to be alive.
	Self fsm.NodeRef
	// Timing is that of all nodes.
	Timing Timing
	// Established is when the Barrier of this term succeeded.
	Established Time
	// Stable is how long a node must have been up, as this leader saw it,
	// before shards are moved to it to even the load.
	Stable time.Duration
	// MaxMoves bounds the planned moves under way, but for those of shards whose
	// owner doesn't reach Discord.
	MaxMoves int
	// Await names nodes that have to be up before the first shard of a run is
	// granted, but no longer than until AwaitUntil.
	Await      []string
	AwaitUntil Time
	// Begun says that shards may be granted: the run has begun, as far as this
	// node's process knows.
	Begun bool

	waiting    []string // whom the beginning waits for
	generation uint64   // of the state at the last Plan, 0 before the first
	renewed    Time     // when it last changed
	planned    Time     // when Plan was last called
	resumed    Time     // when this leader last went on after it had stood still

	answered map[fsm.NodeRef]Time // when it last answered a node's request for freshness
	firstUp  map[fsm.NodeRef]Time
	falls    map[string]int       // how often a node has gone before it had settled
	killed   map[fsm.NodeRef]bool // processes whose death is confirmed
	leaving  map[fsm.NodeRef]bool // processes that are shutting down
	sent     map[string]Time      // proposals under way, by key
	moves    map[shardID]*move
	stranded map[shardID]stranding
	avoid    map[avoider]avoidance
	keys     map[permitKey]*keyState
	budgets  map[string]bool // bots whose budget was read in this term
	asked    map[string]Time // when a budget was asked for

	// placed counts the shards that each node has or is to have, by bot.
	placed map[string]map[string]int
	// avoided holds the targets that could not connect a shard of the bot at hand
	// of late; none if that are all of them.
	avoided map[string]bool
	detours bool // a stranded shard of it may go elsewhere

	out []LeaderAction
}

// NewLeader returns the leader's rules at the beginning of a term.
func NewLeader(t Timing, established Time) *Leader {
	return &Leader{
		Timing: t, Established: established, Stable: 2 * time.Second, MaxMoves: 2,
		answered: make(map[fsm.NodeRef]Time),
		firstUp:  make(map[fsm.NodeRef]Time),
		falls:    make(map[string]int),
		killed:   make(map[fsm.NodeRef]bool),
		leaving:  make(map[fsm.NodeRef]bool),
		sent:     make(map[string]Time),
		moves:    make(map[shardID]*move),
		stranded: make(map[shardID]stranding),
		avoid:    make(map[avoider]avoidance),
		keys:     make(map[permitKey]*keyState),
		budgets:  make(map[string]bool),
		asked:    make(map[string]Time),
	}
}

// Answered records that a node's request for freshness is being answered.
// Call it before the answer is sent, and only after leadership was verified
// by a round that began after the request came.
func (l *Leader) Answered(ref fsm.NodeRef, now Time, leaving bool) {
	l.answered[ref] = now
	if leaving {
		l.leaving[ref] = true
	} else {
		delete(l.leaving, ref) // it may have thought better of it
	}
}

// Killed records the confirmed death of a process.
func (l *Leader) Killed(ref fsm.NodeRef) { l.killed[ref] = true }

// silent reports whether a node has had no answer for so long that it can't
// be fresh any more. An answer of an earlier leader counts up to this one's
// Barrier, since that leader verified itself before it. The time in which this
// leader stood still is its own silence, not the nodes'.
func (l *Leader) silent(ref fsm.NodeRef, now Time) bool {
	since := max(l.answered[ref], l.Established, l.resumed)
	return now-since > l.Timing.Fresh*5/4
}

// proposed reports whether a proposal with this key was sent of late, and
// notes it if not. What was lost is proposed again after a while: every
// command is guarded by what it was made from.
func (l *Leader) proposed(key string, now Time) bool {
	if at, ok := l.sent[key]; ok && now < at+10*l.Timing.Retry {
		return true
	}
	l.sent[key] = now
	return false
}

func (l *Leader) propose(now Time, s *fsm.State, key string, cmd fsm.Command) {
	if !l.proposed(key, now) {
		l.out = append(l.out, LeaderPropose{Key: key, Generation: s.Generation, Cmd: cmd})
	}
}

// Plan compares the applied state with what it should be. It is
// level-triggered: call it after every change, and several times per Fresh or
// it takes itself for one that stood still. The returned slice is valid until
// the next call.
func (l *Leader) Plan(now Time, s *fsm.State) []LeaderAction {
	l.out = l.out[:0]
	if l.planned > 0 && now-l.planned > l.Timing.Fresh/2 {
		l.resumed = now
	}
	l.planned = now
	if l.generation != 0 && l.generation != s.Generation {
		l.renew(now)
	}
	l.generation = s.Generation
	for key, at := range l.sent {
		if now >= at+10*l.Timing.Retry {
			delete(l.sent, key)
		}
	}
	live := l.planNodes(now, s)
	if !l.begin(now, s, live) {
		return l.out
	}
	l.count(s)
	l.forget(now)
	for _, name := range s.BotNames() {
		b := s.Bot(name)
		l.planAvoided(now, name, live)
		l.planShards(now, s, b, live)
		l.planSessions(now, s, b, live)
		l.planPermits(now, s, b)
		l.planLocks(now, s, b, live)
		l.planSweep(now, s, b)
	}
	return l.out
}

// renew forgets what was planned on a state that a restore has replaced, where
// epochs, permits and the budget may be older than what has happened since.
func (l *Leader) renew(now Time) {
	l.renewed = now
	clear(l.sent)
	clear(l.moves)
	clear(l.stranded)
	clear(l.keys)
	clear(l.budgets)
}

// liveNode is a node whose process is up and not silent.
type liveNode struct {
	ref fsm.NodeRef
	// target: it may get shards.
	target bool
	// up is for how long it has been up without a break, as this leader saw it.
	up        time.Duration
	weight    uint32
	maxShards int // negative for no bound
}

// planNodes records confirmed deaths and returns the nodes that live, by id.
func (l *Leader) planNodes(now Time, s *fsm.State) map[string]liveNode {
	live := make(map[string]liveNode)
	for _, id := range s.Nodes() {
		n, _ := s.Node(id)
		ref := fsm.NodeRef{ID: id, Inc: n.Inc}
		if !n.Up {
			continue
		}
		if l.killed[ref] {
			l.propose(now, s, "down "+ref.String(), &fsm.Down{Node: ref})
			continue
		}
		if l.silent(ref, now) {
			continue
		}
		if _, ok := l.firstUp[ref]; !ok {
			l.firstUp[ref] = now
		}
		live[id] = liveNode{
			ref:    ref,
			target: !n.Draining && !l.leaving[ref],
			up:     now - l.firstUp[ref],
			weight: n.Weight, maxShards: cmp.Or(int(n.MaxShards), -1),
		}
	}
	for ref := range l.firstUp {
		if live[ref.ID].ref != ref {
			l.fell(now, ref)
		}
	}
	return live
}

// shardTask is the key of a proposal about a shard as it is in this epoch.
func shardTask(what string, b *fsm.Bot, sh fsm.Shard) string {
	return fmt.Sprintf("%s %s %v %d", what, b.Name, sh.Key, sh.Epoch)
}

// grant gives a shard without a living owner to a node, with all its entries.
func (l *Leader) grant(now Time, s *fsm.State, b *fsm.Bot, sh fsm.Shard, to fsm.NodeRef) {
	from, why := sh.Owner, fsm.WhyFailover
	if from.None() {
		from = sh.From
	}
	if from.None() || sh.Epoch == 0 {
		why = fsm.WhyNormal
	}
	l.propose(now, s, shardTask("grant", b, sh), &fsm.Grant{
		Bot: b.Name, Shard: sh.Key, Epoch: sh.Epoch, To: to, Adopt: true, Why: why, From: from,
	})
}

// adoptStrays gives the owner those entries of its shard whose runner is gone
// or has had its time to drain since a planned move. It reports whether it is
// about to.
func (l *Leader) adoptStrays(now Time, s *fsm.State, b *fsm.Bot, sh fsm.Shard, live map[string]liveNode) bool {
	e := sh.Oldest()
	if e == nil || e.Runner == sh.Owner {
		return false
	}
	id := shardID{b.Name, sh.Key}
	if n, ok := live[e.Runner.ID]; ok && n.ref == e.Runner {
		m := l.moves[id]
		if m == nil {
			// The move was another leader's: its time begins here.
			l.moves[id] = &move{to: sh.Owner, epoch: sh.Epoch, phase: draining, since: now}
			return false
		}
		if m.phase != draining || now < m.since+l.Timing.Drain {
			return false
		}
	}
	delete(l.moves, id)
	l.propose(now, s, shardTask("adopt", b, sh), &fsm.Grant{
		Bot: b.Name, Shard: sh.Key, Epoch: sh.Epoch, To: sh.Owner, Adopt: true, Why: fsm.WhyFailover, From: e.Runner,
	})
	return true
}

// permitKey is an identify key of a bot.
type permitKey struct {
	bot string
	key uint32
}

// identifyKey returns the key of a shard (events/gateway.mdx, "Rate Limiting").
func identifyKey(b *fsm.Bot, k fsm.ShardKey) uint32 {
	return uint32(discord.IdentifyKey(int(k.Index), max(1, b.Budget.MaxConcurrency)))
}

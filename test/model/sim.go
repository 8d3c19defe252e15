package model

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/botnode/botnode/internal/mutant"
	"github.com/botnode/botnode/shard"
)

// Time is an instant of the model's own clock, which no node can read.
type Time = time.Duration

// Options choose a history.
type Options struct {
	Seed   uint64
	Mutant mutant.Set
	// Trace records what happens; without it a history costs a tenth.
	Trace bool
	// Tune changes the knobs that the seed has drawn, for a scenario.
	Tune func(*Knobs)
	// Script adds faults of its own to the history.
	Script func(*Sim)
}

// Violation is an invariant that did not hold.
type Violation struct {
	Seed      uint64
	Invariant string
	At        Time
	Detail    string
	Trace     []string
}

// Error implements error.
func (v *Violation) Error() string {
	return fmt.Sprintf("seed %d, %v: %s: %s", v.Seed, v.At, v.Invariant, v.Detail)
}

// Story returns the last n lines of the trace.
func (v *Violation) Story(n int) string {
	t := v.Trace[max(0, len(v.Trace)-n):]
	return strings.Join(t, "\n")
}

// Stats say how much of the protocol a history has exercised.
type Stats struct {
	Histories                                                      int
	Commands, Events, Identifies, Resumes, Elections, Kills, Moves int
	Restores, Gaps, Starts, Conflicts, Sessions, Dead, Fenced      int
	Anew, Resumed, Sent, Guarded, Locks, Ticks                     int // of clients, writes and schedules
	Parks                                                          int // shards that an operator disconnected
	Rescues                                                        int // moves of shards whose owner didn't reach Discord
	Renewed                                                        int // sessions that were ended for other intents
	End                                                            Time
}

func (s *Stats) add(o Stats) {
	s.Commands += o.Commands
	s.Events += o.Events
	s.Identifies += o.Identifies
	s.Resumes += o.Resumes
	s.Elections += o.Elections
	s.Kills += o.Kills
	s.Moves += o.Moves
	s.Restores += o.Restores
	s.Gaps += o.Gaps
	s.Renewed += o.Renewed
	s.Starts += o.Starts
	s.Conflicts += o.Conflicts
	s.Sessions += o.Sessions
	s.Dead += o.Dead
	s.Fenced += o.Fenced
	s.Parks += o.Parks
	s.Rescues += o.Rescues
	s.Anew += o.Anew
	s.Resumed += o.Resumed
	s.Sent += o.Sent
	s.Guarded += o.Guarded
	s.Locks += o.Locks
	s.Ticks += o.Ticks
	s.End += o.End
}

// Sim is one history in the making.
type Sim struct {
	seed   uint64
	rng    *rand.Rand
	now    Time
	queue  eventHeap
	seq    uint64
	knobs  Knobs
	timing shard.Timing
	mutant mutant.Set

	nodes   []*node
	raft    *raft
	discord *discordSim
	oracle  *oracle
	clients []*client
	sids    int // sessions that clients have opened

	faults  bool // false once everything is quiet
	stats   Stats
	tracing bool
	trace   []string
	failure *Violation
}

// event is something that happens at a time. One that is bound to a node waits
// while the node is frozen and is void once the node's process has died.
type event struct {
	at   Time
	seq  uint64
	node *node
	life uint64
	fn   func()
}

// Run makes one history and returns the first violation, or nil.
func Run(o Options) (*Violation, Stats) {
	s := newSim(o)
	s.start()
	if o.Script != nil {
		o.Script(s)
	}
	s.run(s.knobs.Chaos)
	if s.failure == nil {
		s.calm()
		deadline := s.now + s.knobs.Quiet
		for s.failure == nil && !s.converged() {
			if s.now >= deadline {
				s.fail("I9", "%s", s.stuck())
				break
			}
			s.run(s.now + 200*time.Millisecond)
		}
	}
	if s.failure == nil {
		s.finale()
	}
	s.stats.End = s.now
	return s.failure, s.stats
}

func newSim(o Options) *Sim {
	s := &Sim{
		seed: o.Seed, rng: rand.New(rand.NewPCG(o.Seed, 0x9e3779b97f4a7c15)),
		mutant: o.Mutant, tracing: o.Trace, faults: true,
	}
	s.knobs = drawKnobs(s)
	if o.Tune != nil {
		o.Tune(&s.knobs)
	}
	s.timing = modelTiming()
	s.raft = newRaft(s)
	s.discord = newDiscord(s)
	s.oracle = newOracle(s)
	for i := range s.knobs.Clients {
		s.clients = append(s.clients, newClient(s, i))
	}
	for i := range s.knobs.Nodes {
		s.nodes = append(s.nodes, newNode(s, i))
	}
	return s
}

// modelTiming keeps the proportions of the cluster's intervals but is shorter,
// so that more of the protocol fits into a history.
func modelTiming() shard.Timing {
	t := shard.DefaultTiming()
	t.Fresh = 400 * time.Millisecond
	t.Permit = 800 * time.Millisecond
	t.Identify = 2 * time.Second
	t.Prepare = 1500 * time.Millisecond
	t.Drain = 2 * time.Second
	t.Ask = 200 * time.Millisecond
	t.BackoffMax = 2 * time.Second
	t.Answer = 3 * time.Second
	t.Unreached = 600 * time.Millisecond
	t.Avoid = 3 * time.Second
	return t
}

func (s *Sim) run(until Time) {
	for s.failure == nil && len(s.queue) > 0 && s.queue[0].at <= until {
		e := s.queue.pop()
		s.now = max(s.now, e.at)
		if n := e.node; n != nil {
			if !n.alive || n.life != e.life {
				continue
			}
			if n.frozenUntil > s.now {
				n.park(e)
				continue
			}
		}
		e.fn()
	}
	if s.failure == nil {
		s.now = max(s.now, until)
	}
}

func (s *Sim) push(e event) {
	s.seq++
	e.seq = s.seq
	s.queue.push(e)
}

// after has fn called when d has passed.
func (s *Sim) after(d Time, fn func()) { s.push(event{at: s.now + d, fn: fn}) }

// on has fn called on a node when d has passed, unless it dies before.
func (s *Sim) on(n *node, d Time, fn func()) {
	s.push(event{at: s.now + d, node: n, life: n.life, fn: fn})
}

func (s *Sim) chance(p float64) bool { return p > 0 && s.rng.Float64() < p }

// fault is chance while there are faults at all.
func (s *Sim) fault(p float64) bool { return s.faults && s.chance(p) }

func (s *Sim) between(lo, hi Time) Time {
	if hi <= lo {
		return lo
	}
	return lo + Time(s.rng.Int64N(int64(hi-lo)))
}

func (s *Sim) tracef(format string, args ...any) {
	if s.tracing {
		s.trace = append(s.trace, fmt.Sprintf("%10.4fs  ", s.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

func (s *Sim) fail(invariant, format string, args ...any) {
	if s.failure != nil {
		return
	}
	s.failure = &Violation{Seed: s.seed, Invariant: invariant, At: s.now, Detail: fmt.Sprintf(format, args...)}
	s.tracef("VIOLATION %s: %s", invariant, s.failure.Detail)
	s.failure.Trace = s.trace
}

// eventHeap is a binary heap by time, then by order of making.
type eventHeap []event

func (h eventHeap) less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}

func (h *eventHeap) push(e event) {
	*h = append(*h, e)
	q := *h
	for i := len(q) - 1; i > 0; {
		p := (i - 1) / 2
		if !q.less(i, p) {
			break
		}
		q[i], q[p] = q[p], q[i]
		i = p
	}
}

func (h *eventHeap) pop() event {
	q := *h
	top := q[0]
	last := len(q) - 1
	q[0] = q[last]
	q[last] = event{}
	q = q[:last]
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			break
		}
		if c+1 < last && q.less(c+1, c) {
			c++
		}
		if !q.less(c, i) {
			break
		}
		q[i], q[c] = q[c], q[i]
		i = c
	}
	*h = q
	return top
}

package model

import "time"

// Knobs are what a seed draws before anything happens: how large the cluster
// is and how much of each trouble there is.
type Knobs struct {
	Nodes       int
	Shards      int
	Concurrency int  // Discord's max_concurrency
	Chaos       Time // how long faults go on
	Quiet       Time // how long the cluster may then take to come to rest

	Latency Time    // of a message between nodes, at most, when nothing is wrong
	Lag     Time    // of a follower's apply, at most, when nothing is wrong
	Loss    float64 // of a message between nodes
	Dup     float64 // of a proposal
	Limbo   float64 // a copy of a proposal arrives very late
	Split   float64 // a batch goes as two proposals, which may be reordered
	Freeze  float64 // a node freezes between a decision and its execution
	Forward bool    // a leader's own proposals may reach its successor

	SplitVote float64 // two stand for election at once, and nobody wins

	NoIndex bool // freshness without having applied what was committed

	EventEvery Time // between two events of a shard
	Run        Time // of a handler, at most
	FailRate   float64
	KVRate     float64
	TwoRate    float64 // events that two handlers want

	Skip      float64 // Discord skips a number
	Truncate  float64 // Discord withholds events of a replay without a word
	Trim      bool    // heartbeats trim the replay buffer
	Window    Time    // how long a session without a connection can be resumed
	Swallow   float64 // Discord doesn't answer RESUME or IDENTIFY at all
	Refuse    float64 // Discord answers IDENTIFY with op 9
	Budget    int     // identifies left of the day
	Snapshots bool    // processes restart from snapshots
	Faults    int     // how many faults strike
	Restore   bool    // an older snapshot is restored
	Strict    bool    // digests are computed from scratch as well
	Intents   int     // how often the configured intents change

	Placement string // of the bot
	Failback  bool
	Idle      bool // node c is of weight 0
	Programs  bool // each process registers its handlers, and those of the next one differ
	Clients   int  // of the proxy
	Slow      Time // that a client takes for some events, at most
	Store     bool // programs write to the store, under a lock and without
	Ticks     bool // there is a schedule
	Rules     bool // the cluster begins with the oldest rules, and raises them at RulesAt
	RulesAt   Time

	EarlyView bool // a client's session begins from the state before it was opened
	LateRenew bool // the new generation is a command after the restore

	Unplugged string // a node that never reaches Discord again, once it is unplugged

	Await bool // a leader of a new run waits for node c, for a while
}

func drawKnobs(s *Sim) Knobs {
	pick := func(v ...float64) float64 { return v[s.rng.IntN(len(v))] }
	k := Knobs{
		Nodes:       3,
		Shards:      1 + s.rng.IntN(2),
		Concurrency: 1 + s.rng.IntN(2),
		Chaos:       s.between(2*time.Second, 7*time.Second),
		Quiet:       60 * time.Second,
		Latency:     Time(pick(1, 3, 20)) * time.Millisecond,
		Lag:         Time(pick(2, 10, 150)) * time.Millisecond,
		Loss:        pick(0, 0, 0.02, 0.2),
		Dup:         pick(0, 0.1, 0.3),
		Limbo:       pick(0, 0, 0.05, 0.2),
		Split:       pick(0, 0, 0.5),
		Freeze:      pick(0, 0, 0.02, 0.1),
		EventEvery:  Time(pick(30, 80, 200)) * time.Millisecond,
		Run:         Time(pick(5, 50, 400)) * time.Millisecond,
		FailRate:    pick(0, 0, 0.05, 0.2),
		KVRate:      pick(0, 0.2, 0.6),
		TwoRate:     pick(0, 0.2),
		Skip:        pick(0, 0.1, 0.4),
		Truncate:    pick(0, 0, 0.3),
		Trim:        s.chance(0.5),
		Window:      Time(pick(1, 4, 30)) * time.Second,
		Swallow:     pick(0, 0, 0.1),
		Refuse:      pick(0, 0, 0.3),
		Budget:      int(pick(1000, 1000, 1000, 2)),
		Snapshots:   s.chance(0.2),
		Faults:      1 + s.rng.IntN(10),
		Restore:     s.chance(0.15),
		Strict:      s.chance(0.03),
		Intents:     int(pick(0, 0, 1, 2)),
		Placement:   []string{"spread", "spread", "prefer:b,a+c"}[s.rng.IntN(3)],
		Failback:    s.chance(0.5),
		Idle:        s.chance(0.2),
		Await:       s.chance(0.2),
		Programs:    s.chance(0.5),
	}
	if s.chance(0.3) {
		k.Clients = 1 + s.rng.IntN(2)
	}
	k.SplitVote = pick(0, 0, 0.3)
	k.Slow = Time(pick(2, 2, 300)) * time.Millisecond
	k.Store, k.Ticks, k.Rules = s.chance(0.2), s.chance(0.2), s.chance(0.2)
	k.RulesAt = s.between(0, k.Chaos)
	return k
}

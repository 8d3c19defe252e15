// Package mutant names the guards of the ownership protocol that the model's
// tests take out, one at a time, to show that the simulation notices.
//
// A Set is zero in every running node: nothing but a test can reach the
// fields that hold one, since they are set through this internal package.
package mutant

// Set is a set of guards that are taken out.
type Set uint32

// The guards that can be taken out.
const (
	// PrevChain applies a batch of events whatever sequence it follows.
	PrevChain Set = 1 << iota
	// Dedupe applies events at or below the committed sequence again.
	Dedupe
	// CommittedSeq resumes and heartbeats with the sequence that was read.
	CommittedSeq
	// MoveRunner hands running entries to the new owner at a planned move.
	MoveRunner
	// DoneGuard takes any Done, whoever runs the entry now.
	DoneGuard
	// ReadyEpoch takes a READY of a fenced owner.
	ReadyEpoch
	// Generation takes commands of before a restore.
	Generation
	// Freshness lets a node act that no leader has answered of late.
	Freshness
	// Parked grants shards that an operator has disconnected.
	Parked
	// Acked starts an entry again while acknowledgements of it are on their way.
	Acked
	// ClientGap keeps clients' sessions when their shard begins another one.
	ClientGap
	// ClientRenew keeps clients' sessions in a new generation.
	ClientRenew
	// ClientFloor sends clients what the journal still has, whatever is gone.
	ClientFloor
	// ClientConfirmed leads a client that goes on before what it has confirmed to
	// where it would go on after it.
	ClientConfirmed
	// Reads takes a Done whatever has become of what its handler read.
	Reads
	// Repeats forgets the answers to writes from outside.
	Repeats
	// LockHeld gives a lock to another while it is held.
	LockHeld
	// LockFence takes writes under a lock that is another's by now.
	LockFence
	// Fences gives the fences of before a restore again.
	Fences
	// TickOnce makes a schedule's time more than once.
	TickOnce
	// Rules has a version's new effects before the rules of the cluster have them.
	Rules
	// OpenGaps opens a client's session again for a repeat of before a gap, or of
	// before the session's end.
	OpenGaps
)

// Has reports whether the guard m is taken out.
func (s Set) Has(m Set) bool { return s&m != 0 }

// All lists the guards, with a name for a test's output.
func All() map[string]Set {
	return map[string]Set{
		"prev-chain": PrevChain, "dedupe": Dedupe, "committed-seq": CommittedSeq,
		"move-runner": MoveRunner, "done-guard": DoneGuard, "ready-epoch": ReadyEpoch,
		"generation": Generation, "freshness": Freshness, "parked": Parked, "acked": Acked,
		"client-gap": ClientGap, "client-renew": ClientRenew, "client-floor": ClientFloor,
		"client-confirmed": ClientConfirmed, "reads": Reads, "repeats": Repeats, "lock-held": LockHeld,
		"lock-fence": LockFence, "fences": Fences, "tick-once": TickOnce, "rules": Rules, "open-gaps": OpenGaps,
	}
}

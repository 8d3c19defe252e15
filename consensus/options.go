package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// Machine is the replicated state machine.
//
// Apply, Capture and Restore are called on one goroutine, never at the same time.
type Machine interface {
	// Apply applies one committed entry. It is total: no error, no panic. The result reaches the future of the
	// proposal if it was made on this node. The entry belongs to the log and must not be changed.
	Apply(index uint64, entry []byte) any
	// Capture returns a consistent view of the state. No entry is applied while it runs, so it takes handles only.
	Capture() (Snapshot, error)
	// Restore builds a new state from r, verifies it, and swaps it in. After an error the node must not go on.
	Restore(r io.Reader) error
}

// Snapshot is a captured state. WriteTo runs beside Apply. Release is called exactly once, also if WriteTo never was.
type Snapshot interface {
	WriteTo(w io.Writer) (int64, error)
	Release()
}

// StreamLayer carries Raft's own streams. Closing it must not close other users of the same port.
type StreamLayer interface {
	net.Listener
	Dial(addr string, timeout time.Duration) (net.Conn, error)
}

// Caller sends one request to the node at addr and waits for its answer. The wiring binds it to a method of the
// transport, so that this package needs no table of methods.
type Caller interface {
	Call(ctx context.Context, addr string, req []byte) ([]byte, error)
}

// CallerFunc is a function that is a [Caller].
type CallerFunc func(ctx context.Context, addr string, req []byte) ([]byte, error)

// Call calls f.
func (f CallerFunc) Call(ctx context.Context, addr string, req []byte) ([]byte, error) {
	return f(ctx, addr, req)
}

// Metrics receives measurements; its methods are called on hot paths and must not block.
type Metrics interface {
	// StoredLogs is called after each durable append.
	StoredLogs(entries int, bytes int64, took time.Duration)
	// Proposed is called when a local proposal was answered.
	Proposed(took time.Duration, err error)
	// SnapshotTaken is called after a snapshot was attempted.
	SnapshotTaken(took time.Duration, err error)
}

// Timeouts are raft's timers.
type Timeouts struct {
	// Heartbeat is how long a follower waits for its leader before it stands for election.
	Heartbeat time.Duration
	// Election is how long a candidate waits before it tries again. At least Heartbeat.
	Election time.Duration
	// Lease is how long a leader stays one without an answer of a quorum. At most Heartbeat.
	Lease time.Duration
	// Commit is how soon an idle leader tells its followers of a new commit index (up to twice as long), should the
	// message be lost that tells them at once. Each such round costs processor time for ever.
	Commit time.Duration
}

// Safe are the default timeouts: they survive a busy disk and a long pause of the collector.
func Safe() Timeouts {
	return Timeouts{Heartbeat: time.Second, Election: time.Second, Lease: 500 * time.Millisecond, Commit: 10 * time.Millisecond}
}

// Fast are shorter timeouts for a quiet network. Shorter ones elect for no reason on small machines.
func Fast() Timeouts {
	return Timeouts{
		Heartbeat: 400 * time.Millisecond, Election: 400 * time.Millisecond,
		Lease: 300 * time.Millisecond, Commit: 50 * time.Millisecond,
	}
}

// Options configure a node.
type Options struct {
	// ID names the node for ever; Addr is where other nodes reach it now.
	ID, Addr string
	// Dir holds the log and the snapshots. Unused with Memory.
	Dir string
	// Layer carries Raft's streams. Close closes it.
	Layer StreamLayer
	// Peer names the node that made a connection which Layer accepted, "" if that isn't known. It may be nil; then a
	// fast election may begin before all that the dead leader sent is read, and fail.
	Peer func(net.Conn) string
	// Machine applies what is committed.
	Machine Machine
	// Caller carries the fast election's reports between voters. Nil turns the fast election off.
	Caller Caller
	// Resolve returns the present address of a node, as membership knows it. It may be nil, and may know nothing: then
	// the address in the replicated configuration is used.
	Resolve func(id string) (addr string, ok bool)

	// Timeouts default to Safe.
	Timeouts Timeouts
	// RPCTimeout bounds one of Raft's requests (default 5 s); a snapshot's transfer gets more, by its size.
	RPCTimeout time.Duration
	// EstablishTimeout is how long a new leader may take until its barrier succeeds, before it gives leadership away
	// (default 4 x Timeouts.Election).
	EstablishTimeout time.Duration
	// StoreTimeout is how long one write to the log store may take before the guard calls Fatal (default 5 s).
	StoreTimeout time.Duration

	// SnapshotBytes of new log trigger a snapshot at the latest (default 256 MiB): twice the size of the last one does
	// before, but no fewer than 16 MiB. A node that starts reads and applies what is above its snapshot before it is of
	// use to a quorum.
	SnapshotBytes int64
	// TrailingBytes of log are kept behind a snapshot (default 128 MiB). They must outlast the transfer of a snapshot.
	TrailingBytes int64
	// CacheBytes of recent log are kept in memory (default 32 MiB).
	CacheBytes int64
	// MaxEntryBytes bounds one entry (default 64 MiB). Where nodes forward entries to the leader it must leave room for
	// ForwardOverhead in what Caller carries: else a follower can never propose what the leader takes.
	MaxEntryBytes int

	// Memory, if set, holds the log and the snapshots in place of Dir: for tests and demonstrations.
	Memory *Memory
	// NoSync skips fsync: for tests only.
	NoSync bool

	// Logger defaults to a silent one.
	Logger *zap.Logger
	// Fatal is called at most once, when the log store failed or hung, or when a restore failed. The caller ends the
	// process: what it holds can't be trusted. It is called on one of Raft's goroutines and must not call Close.
	Fatal func(error)
	// Metrics may be nil.
	Metrics Metrics

	// wrapLog puts faults below the guard, in tests.
	wrapLog func(raft.LogStore) raft.LogStore
	// leastLog is how many bytes of log a snapshot is worth, however small it is.
	leastLog int64
	// segment is the size of a file of the log.
	segment int
	// drain is drainMost, but for tests on a machine that is slower than that allows.
	drain time.Duration
}

var errOptions = errors.New("invalid options")

// takenBack is what it costs the disk that entries are taken back: half of a file of the log, on average.
func (o *Options) takenBack() int64 {
	if o.NoSync {
		return 0
	}
	return int64(o.segment / 2)
}

func (o Options) withDefaults() Options {
	if o.Timeouts == (Timeouts{}) {
		o.Timeouts = Safe()
	}
	defaultTo(&o.Timeouts.Commit, 10*time.Millisecond)
	defaultTo(&o.RPCTimeout, 5*time.Second)
	defaultTo(&o.EstablishTimeout, 4*o.Timeouts.Election)
	defaultTo(&o.StoreTimeout, 5*time.Second)
	defaultTo(&o.SnapshotBytes, 256<<20)
	defaultTo(&o.TrailingBytes, 128<<20)
	defaultTo(&o.CacheBytes, 32<<20)
	defaultTo(&o.MaxEntryBytes, 64<<20)
	defaultTo(&o.leastLog, 16<<20)
	defaultTo(&o.segment, segmentSize)
	defaultTo(&o.drain, drainMost)
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Metrics == nil {
		o.Metrics = noMetrics{}
	}
	return o
}

func (o Options) validate() error {
	missing := map[string]bool{
		"ID": o.ID == "", "Addr": o.Addr == "", "Layer": o.Layer == nil, "Machine": o.Machine == nil,
		"Fatal": o.Fatal == nil, "Dir": o.Dir == "" && o.Memory == nil,
	}
	for _, name := range []string{"ID", "Addr", "Layer", "Machine", "Fatal", "Dir"} {
		if missing[name] {
			return fmt.Errorf("%w: %s is missing", errOptions, name)
		}
	}
	return nil
}

func defaultTo[T comparable](p *T, def T) {
	var zero T
	if *p == zero {
		*p = def
	}
}

type noMetrics struct{}

func (noMetrics) StoredLogs(int, int64, time.Duration) {}
func (noMetrics) Proposed(time.Duration, error)        {}
func (noMetrics) SnapshotTaken(time.Duration, error)   {}

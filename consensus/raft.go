package consensus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// Raft is one node of a Raft group. Its methods are safe for concurrent use.
type Raft struct {
	opts  Options
	log   *zap.Logger
	hlog  *hcLogger
	raft  *raft.Raft
	wire  *wire
	fsm   *machineFSM
	logs  raft.LogStore
	sizes *logSizes
	store *stores

	proposals *proposals
	lead      *leadership
	verify    *verifier
	elector   *elector
	snapshots *snapshotter
	// tenure is held while this node restores, and shared by what moves the leadership or changes the members.
	tenure sync.RWMutex

	// ctx ends when Close begins; wg counts this node's goroutines, rounds those that ask raft whether it leads. gate
	// guards shut, after which none is added from outside.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	rounds sync.WaitGroup
	gate   sync.Mutex
	shut   bool

	fatalOnce sync.Once
	closeOnce sync.Once
	closeErr  error
	// live is raft once it runs. The transport and the state machine are called while it is still being made.
	live atomic.Pointer[raft.Raft]
}

// Open opens the stores, restores the newest snapshot, and starts the node. A node with a configuration of several
// voters takes part from here on; one without any waits to be bootstrapped or added. It starts goroutines; Close stops
// them and waits.
func Open(o Options) (*Raft, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	r := &Raft{opts: o, log: o.Logger, hlog: newHCLogger(o.Logger)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	st, err := openStores(o, r.hlog)
	if err != nil {
		r.cancel()
		return nil, errors.Join(err, o.Layer.Close())
	}
	r.store = st
	if err := r.checkRestore(); err != nil {
		r.cancel()
		return nil, errors.Join(err, o.Layer.Close(), st.close())
	}
	r.lead = newLeadership(r)
	r.verify = newVerifier(r)
	r.elector = newElector(r)
	r.snapshots = newSnapshotter(r)
	if err := r.start(); err != nil {
		r.cancel()
		return nil, errors.Join(err, r.wire.Close(), st.close())
	}
	return r, nil
}

// start builds the chain raft -> cache -> sizes -> guard -> store, and starts raft.
func (r *Raft) start() error {
	g := newGuard(r.opts.StoreTimeout, r.fatal)
	inner := r.store.log
	if r.opts.wrapLog != nil {
		inner = r.opts.wrapLog(inner)
	}
	guarded := &guardedLog{guard: g, inner: inner, stored: r.opts.Metrics.StoredLogs}
	if files, ok := r.store.log.(*logFiles); ok {
		files.commit = r.liveCommit
	}
	r.sizes = newLogSizes(guarded, r.opts.SnapshotBytes, r.opts.takenBack(), r.snapshots.trigger)
	r.logs = newLogCache(r.sizes, r.opts.CacheBytes)
	r.fsm = &machineFSM{
		machine: r.opts.Machine, applied: new(watermark), newest: r.store.snaps.newest.Load,
		fatal: r.fatal, running: func() bool { return r.live.Load() != nil },
	}
	addrs := &addresses{self: r.opts.ID, addr: r.opts.Addr, resolve: r.opts.Resolve, servers: r.Servers}
	r.wire = newWire(r.opts, r.hlog, addrs, r.replicating, r.follows, r.liveCommit)
	r.fsm.committed = r.wire.push.poke
	rf, err := r.restored(&guardedStable{g, r.store.stable})
	if err != nil {
		return err
	}
	r.live.Store(rf)
	return r.run(rf)
}

// restored makes raft, which restores the newest snapshot that can be read and reads all entries above it. Those that only a
// newer, damaged snapshot covers were not looked at before (logFiles.verify), and raft panics on one that it can't read.
// None of its goroutines runs at that point.
func (r *Raft) restored(stable raft.StableStore) (_ *raft.Raft, err error) {
	defer func() {
		p := recover()
		switch cause, ok := p.(error); {
		case p == nil:
		case ok && errors.Is(cause, raft.ErrLogNotFound):
			err = damaged(PartLog, errors.Join(errBelowDamagedSnapshot, r.fsm.failed))
		default:
			panic(p)
		}
	}()
	rf, err := raft.NewRaft(r.config(), r.fsm, r.logs, stable, r.store.snaps, r.wire)
	switch {
	case err == nil:
		return rf, nil
	case strings.Contains(err.Error(), "failed to load any existing snapshots"):
		return nil, damaged(PartSnapshot, errors.Join(err, r.fsm.failed))
	}
	return nil, fmt.Errorf("start raft: %w", errors.Join(err, r.fsm.failed))
}

// run starts this package's goroutines beside raft's.
func (r *Raft) run(rf *raft.Raft) error {
	r.raft = rf
	r.fsm.applied.advance(rf.AppliedIndex())
	r.sizes.setLimit(r.snapshotAfter())
	var full []fullFile
	err := r.checkLog()
	if files, ok := r.store.log.(*logFiles); ok && err == nil {
		full, err = files.full()
	}
	r.sizes.opened(full)
	if err != nil {
		return errors.Join(err, r.fsm.failed, rf.Shutdown().Error())
	}
	r.proposals = newProposals(rf, r.opts)
	r.proposals.start()
	r.lead.start()
	r.elector.start()
	r.snapshots.start()
	if r.soleVoter() {
		r.electSelf()
	}
	return nil
}

func (r *Raft) config() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(r.opts.ID)
	c.HeartbeatTimeout = r.opts.Timeouts.Heartbeat
	c.ElectionTimeout = r.opts.Timeouts.Election
	c.LeaderLeaseTimeout = r.opts.Timeouts.Lease
	c.CommitTimeout = r.opts.Timeouts.Commit
	c.MaxAppendEntries = maxEntries
	// One goroutine feeds raft in order; without a buffer it would find one entry at a time and sync each alone.
	c.BatchApplyCh = true
	c.ShutdownOnRemove = false
	// Raft's own trigger counts entries and is never reached; the snapshotter counts bytes.
	c.SnapshotThreshold = math.MaxUint64
	c.SnapshotInterval = time.Hour
	c.TrailingLogs = keepAll
	c.NoLegacyTelemetry = true
	c.Logger = r.hlog
	return c
}

// checkLog refuses to run with a hole between the snapshot that was restored and the log: raft would panic at the first
// entry that it needs from the hole.
func (r *Raft) checkLog() error {
	first, err := r.logs.FirstIndex()
	if err != nil {
		return err
	}
	last, err := r.logs.LastIndex()
	if err != nil {
		return err
	}
	if at := r.raft.AppliedIndex(); first > at+1 && last > at {
		return damaged(PartSnapshot, fmt.Errorf("%w: snapshot at %d, log from %d", ErrLogGap, at, first))
	}
	if files, ok := r.store.log.(*logFiles); ok {
		return files.extent.check(last, r.raft.AppliedIndex())
	}
	return nil
}

// fatal reports what the process must not survive. It is called on raft's goroutines.
func (r *Raft) fatal(err error) {
	r.fatalOnce.Do(func() {
		r.log.Error("consensus cannot go on", zap.Error(err), zap.String("code", "consensus_fatal"))
		r.opts.Fatal(err)
	})
}

// drainTimeout is how long Close waits for proposals that are on their way; raft forgets those whose entries are queued
// for the state machine when it stops.
const drainTimeout = 250 * time.Millisecond

// closeTimeout is how long Close waits for raft's goroutines. They are stuck only if the disk or the machine is.
const closeTimeout = 5 * time.Second

// Close stops the node without handing leadership over: see TransferLeadership. It is idempotent. Proposals in flight
// get ErrUnknownOutcome.
func (r *Raft) Close() error {
	r.closeOnce.Do(func() { r.closeErr = r.close() })
	return r.closeErr
}

// close goes from the outside in: no more proposals, no more network, then raft, then the files. Raft waits for its
// requests in flight, so the network must go first; the files are used until raft is gone.
func (r *Raft) close() error {
	r.hlog.closing.Store(true)
	r.proposals.drain(drainTimeout)
	r.gate.Lock()
	r.shut = true
	r.gate.Unlock()
	r.cancel()
	r.rounds.Wait() // raft that stops may forget whom it owes an answer
	err := r.wire.Close()
	r.proposals.settle(func() bool { return r.fsm.applied.load() >= r.raft.CommitIndex() })
	stopped := make(chan error, 1)
	go func() { stopped <- r.raft.Shutdown().Error() }()
	select {
	case e := <-stopped:
		err = errors.Join(err, e)
	case <-time.After(closeTimeout):
		// The files stay open: a write may be in flight, and closing them would wait for it.
		r.proposals.abandon()
		return errors.Join(err, fmt.Errorf("raft did not stop within %v", closeTimeout))
	}
	r.proposals.abandon()
	r.wire.layer.wait()
	r.wg.Wait()
	return errors.Join(err, r.store.close())
}

// spawn runs f on a goroutine that Close waits for. It reports false if the node is closed.
func (r *Raft) spawn(f func()) bool { return r.spawnIn(&r.wg, f) }

// spawnIn is spawn with a group of its own.
func (r *Raft) spawnIn(wg *sync.WaitGroup, f func()) bool {
	r.gate.Lock()
	defer r.gate.Unlock()
	if r.shut {
		return false
	}
	wg.Go(f)
	return true
}

// HasState reports whether this node already belongs to a cluster.
func (r *Raft) HasState() (bool, error) {
	has, err := raft.HasExistingState(r.logs, r.store.stable, r.store.snaps)
	if err != nil {
		return false, fmt.Errorf("look for state: %w", err)
	}
	return has, nil
}

// Bootstrap makes a cluster of this node alone, which then leads at once. ErrHasState says that it already belongs to
// one.
func (r *Raft) Bootstrap() error {
	conf := raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: raft.ServerID(r.opts.ID), Address: raft.ServerAddress(r.opts.Addr),
	}}}
	if err := r.raft.BootstrapCluster(conf).Error(); err != nil {
		return fmt.Errorf("bootstrap: %w", classify(err))
	}
	r.electSelf()
	return nil
}

// soleVoter reports whether this node is the only voter, so that nobody else could lead.
func (r *Raft) soleVoter() bool {
	voters := 0
	self := false
	for _, s := range r.Servers() {
		if s.Voter {
			voters++
			self = self || s.ID == r.opts.ID
		}
	}
	return self && voters == 1
}

// electSelf stands for election now instead of after a timeout. If raft is busy, the timeout does it.
func (r *Raft) electSelf() {
	ctx, cancel := context.WithTimeout(r.ctx, r.opts.Timeouts.Heartbeat)
	defer cancel()
	if err := r.wire.timeoutNow(ctx); err != nil {
		r.log.Debug("immediate election not started", zap.Error(err))
	}
}

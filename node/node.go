package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/tries"
	"github.com/botnode/botnode/membership"
	"github.com/botnode/botnode/shard"
	"github.com/botnode/botnode/transport"
	"github.com/botnode/botnode/trust"
)

// Node is one process of a cluster.
type Node struct {
	o    Options
	log  *zap.Logger
	self fsm.NodeRef

	identity  *membership.Identity
	transport *transport.Transport
	keys      *trust.Keychain // nil without TLS between the nodes
	wrong     tries.Wrong     // join tokens
	// enrolGrace is enrolGrace, for tests to change.
	enrolGrace atomic.Int64
	sealed     uint64 // the epoch that the node's snapshot is of, or a later one; followTrust's
	machine    *fsm.Machine
	manager    *shard.Manager
	raft       atomic.Pointer[consensus.Raft]
	late       lateProposer
	proposer   *consensus.Proposer
	acceptor   *consensus.Acceptor
	members    *membership.Membership
	bots       map[string]*botRuntime

	started   time.Time
	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	cleanups  []cleanup
	joinMu    sync.Mutex // held while this node joins, or answers a join
	rulesMu   sync.Mutex // held while a joiner is judged by the rules and admitted, or they are raised; after joinMu
	restoreMu sync.Mutex // held while this node restores a backup
	stopOnce  sync.Once
	stopErr   error
	leaveMu   sync.Mutex   // held while leaving changes
	leaving   atomic.Int32 // how many leaves and stops hand this node's shards over
	caughtUp  atomic.Bool  // once, since the process began
	clusterID atomic.Pointer[string]
	left      chan struct{} // closed when the node has left its cluster
	leftOnce  sync.Once
	watched   sync.Map      // node id -> watched address
	linked    sync.Map      // node id -> incarnation of the process that a link reaches
	look      chan struct{} // capacity 1: the peers may have changed
	rates     rates
	proxy     atomic.Pointer[proxyInfo] // nil without a proxy
	backups   *autoBackup               // nil if it makes none
	recovered recoveryFile              // of its directory; zero if there was none
	differs   atomic.Pointer[uint64]    // the hash point at which no majority agrees; nil if there is none
}

// cleanup undoes one acquisition.
type cleanup struct {
	name string
	f    func() error
}

// New acquires what the node needs and starts nothing that acts.
func New(o Options) (_ *Node, err error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	n := &Node{
		o: o, log: o.Logger.With(zap.String("node", o.ID)), started: time.Now(),
		bots: make(map[string]*botRuntime), left: make(chan struct{}), look: make(chan struct{}, 1),
	}
	n.late.raft = n.raftOrNil
	n.enrolGrace.Store(int64(enrolGrace))
	if o.Backup.Dir != "" {
		if err := os.MkdirAll(o.Backup.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("--backup-dir: %w", err)
		}
		n.backups = &autoBackup{n: n, o: o.Backup}
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			n.cancel()
			err = errors.Join(err, n.unwind())
		}
	}()
	if err := n.identify(); err != nil {
		return nil, err
	}
	n.machine = fsm.NewMachine()
	n.machine.OnFatal = n.stateFatal
	if o.HashEvery > 0 {
		n.machine.HashEvery = o.HashEvery
	}
	if err := n.openTrust(); err != nil {
		return nil, err
	}
	if n.keys == nil && slices.ContainsFunc(o.Bots, func(b *Bot) bool { return b.Token == "" }) {
		return nil, ErrNoToken
	}
	if err := n.listen(); err != nil {
		return nil, err
	}
	n.makeManager()
	if err := n.openRaft(); err != nil {
		return nil, err
	}
	if err := n.checkMember(); err != nil {
		return nil, err
	}
	if n.keysMissing() {
		return nil, ErrKeysGone
	}
	return n, n.openMembership()
}

// acquired registers how to undo the acquisition on the line before.
func (n *Node) acquired(name string, undo func() error) {
	n.cleanups = append(n.cleanups, cleanup{name, undo})
}

// unwind undoes all acquisitions, the last one first.
func (n *Node) unwind() error {
	var errs []error
	for _, c := range slices.Backward(n.cleanups) {
		if err := c.f(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
		}
	}
	n.cleanups = nil
	return errors.Join(errs...)
}

// identify opens the data directory and draws this process's incarnation.
func (n *Node) identify() error {
	n.self = fsm.NodeRef{ID: n.o.ID}
	id, err := n.o.openIdentity()
	if err != nil {
		return err
	}
	n.identity = id
	n.acquired("data directory", id.Close)
	if n.recovered, err = recoveredOf(&n.o); err != nil {
		return err
	}
	if n.self.Inc, err = id.NextIncarnation(); err != nil {
		return err
	}
	n.setClusterID(id.ClusterID())
	return nil
}

func (n *Node) setClusterID(id string) { n.clusterID.Store(&id) }

// ClusterID returns the id of the cluster that the node belongs to, "" for none.
func (n *Node) ClusterID() string {
	if id := n.clusterID.Load(); id != nil {
		return *id
	}
	return ""
}

func (n *Node) listen() error {
	o := transport.Options{
		Bind: n.o.ClusterAddr, Advertise: n.o.AdvertiseAddr, ID: n.o.ID, Incarnation: n.self.Inc,
		ClusterID: n.ClusterID, Former: n.former, Network: n.o.Network, Insecure: n.o.Insecure,
		Credentials: n.credentials(), OnLink: n.onLink, Logger: n.log.Named("transport"),
	}
	if n.keys != nil {
		o.OnStranger = n.handleStranger
	}
	t, err := transport.Listen(o)
	if err != nil {
		return err
	}
	n.transport = t
	n.acquired("transport", t.Close)
	t.HandleOrdered(methodPropose, func(from transport.Peer, req []byte, reply func([]byte, error)) {
		if n.acceptor == nil || n.raftOrNil() == nil {
			reply(nil, errNotReady)
			return
		}
		n.acceptor.Handle(from.ID, req, reply)
	})
	t.Handle(methodElection, func(_ context.Context, from transport.Peer, req []byte) ([]byte, error) {
		r := n.raftOrNil()
		if r == nil {
			return nil, errNotReady
		}
		return r.HandleElection(from.ID, req)
	})
	t.Handle(methodShard, func(ctx context.Context, from transport.Peer, req []byte) ([]byte, error) {
		return n.manager.HandleMessage(ctx, from.ID, req)
	})
	t.Handle(methodCluster, n.handleCluster)
	t.HandleOrdered(methodREST, n.handleREST)
	return nil
}

func (n *Node) makeManager() {
	var bots []*shard.BotOptions
	for _, b := range n.o.Bots {
		rt := newBotRuntime(n, b)
		n.bots[b.Name] = rt
		bots = append(bots, rt.options())
	}
	n.manager = shard.NewManager(shard.Options{
		Self: n.self, Machine: n.machine, Proposer: &n.late, Cluster: clusterView{n}, Bots: bots,
		SyncNodes: n.o.SyncNodes, SyncTimeout: n.o.SyncTimeout,
		Workers: n.o.Workers, HandlerTimeout: n.o.HandlerTimeout, Metrics: n.o.Metrics, Logger: n.log,
	})
}

func (n *Node) raftOrNil() *consensus.Raft { return n.raft.Load() }

func (n *Node) openRaft() error {
	caller := func(m transport.Method) consensus.Caller {
		return consensus.CallerFunc(func(ctx context.Context, addr string, req []byte) ([]byte, error) {
			return n.transport.Call(ctx, addr, m, req)
		})
	}
	r, err := consensus.Open(consensus.Options{
		ID: n.o.ID, Addr: n.transport.Addr(), Dir: n.o.DataDir, Layer: n.transport.RaftLayer(), Peer: peerOf,
		Machine: machine{n.machine, n.keys}, Caller: caller(methodElection), Resolve: n.addrOf,
		MaxEntryBytes: transport.MaxMessage - consensus.ForwardOverhead, // what a follower can forward
		Timeouts:      n.o.Timeouts, Memory: n.o.Memory.log(), Metrics: n.o.Metrics, Logger: n.log.Named("raft"), Fatal: n.o.Fatal,
	})
	if err != nil {
		return err
	}
	n.acquired("raft", r.Close)
	n.acceptor = consensus.NewAcceptor(r, encodeResults)
	n.raft.Store(r)
	n.proposer = consensus.NewProposer(consensus.ProposerOptions{
		Raft: r, Caller: caller(methodPropose), Encode: fsm.EncodeBatch, MaxCommandBytes: fsm.MaxCommand,
		EncodeResult: encodeResults, SplitResults: fsm.SplitResults, Logger: n.log.Named("proposer"),
	})
	n.late.p.Store(n.proposer)
	n.acquired("proposer", n.proposer.Close)
	return nil
}

func (n *Node) openMembership() error {
	m, err := membership.New(membership.Options{
		Meta:    n.meta(),
		Packets: n.transport.PacketConn(), Streams: n.transport.GossipStreams(), Dial: n.transport.DialGossip,
		Probe: func(ctx context.Context, addr string) (string, uint64, error) {
			p, err := n.transport.Probe(ctx, addr)
			return p.ID, p.Incarnation, err
		},
		OnConflict: func(c membership.Conflict) {
			n.log.Error("two nodes use one id; stop one of them", zap.String("code", "id_conflict"),
				zap.String("id", c.ID), zap.String("older", c.Older.ClusterAddr), zap.String("newer", c.Newer.ClusterAddr))
		},
		Encrypt: n.keys != nil, Logger: n.log.Named("membership"),
	})
	if err != nil {
		return err
	}
	n.members = m
	n.acquired("membership", m.Close)
	return n.useKeys()
}

func (n *Node) meta() membership.Meta {
	m := membership.Meta{
		ID: n.o.ID, Incarnation: n.self.Inc, ClusterAddr: n.transport.Addr(), HTTPAddr: n.o.HTTPAddr,
		Version: n.o.Version, Rules: fsm.KnownRules,
	}
	if n.leaving.Load() > 0 {
		m.Flags |= membership.Draining
	}
	return m
}

// addrOf returns where a node is reached now: by gossip, else by Raft's
// configuration. Of a node that is down, gossip may have the address of the
// process before, while one that was removed is admitted at another.
func (n *Node) addrOf(id string) (string, bool) {
	if id == n.o.ID {
		return n.transport.Addr(), true
	}
	last := ""
	if n.members != nil {
		m, _ := n.members.Lookup(id)
		_, linked := n.linked.Load(id)
		if last = m.ClusterAddr; last != "" && (linked || m.Status == membership.Alive) {
			return last, true
		}
	}
	if r := n.raftOrNil(); r != nil {
		for _, s := range r.Servers() {
			if s.ID == id {
				return s.Addr, true
			}
		}
	}
	return last, last != ""
}

// Start starts serving: the port first, then what acts.
func (n *Node) Start() error {
	n.transport.Start()
	if err := n.members.Start(); err != nil {
		return err
	}
	n.proposer.Start()
	n.manager.Start()
	n.acquired("shards", func() error {
		n.manager.Stop()
		return nil
	})
	changes := n.raft.Load().Leadership()
	n.wg.Go(func() { n.followLeadership(changes) })
	n.wg.Go(n.followMembers)
	n.wg.Go(n.registerLoop)
	n.wg.Go(n.followConfigs)
	n.wg.Go(n.followViews)
	if n.o.Backup.Dir != "" {
		n.wg.Go(n.backups.run)
	}
	n.wg.Go(n.followTrust)
	n.wg.Go(n.followTokens)
	n.wg.Go(n.closeRemoved)
	if n.o.Insecure && n.keys == nil {
		n.log.Warn("--insecure: whoever reaches the cluster port reads and changes all that the cluster knows", zap.String("code", "insecure"))
	}
	return n.begin()
}

// Kill stops the node at once, as far as a process can do that to itself:
// nothing is handed over. For tests that run several nodes in one process.
func (n *Node) Kill() error {
	n.stopOnce.Do(func() { n.stopErr = n.end() })
	return n.stopErr
}

// Stop hands the node's shards and its leadership over, then ends it. It stays
// a member. Stop is idempotent; ctx bounds the hand-over.
func (n *Node) Stop(ctx context.Context) error {
	n.stopOnce.Do(func() {
		hand, cancel := context.WithTimeout(ctx, n.o.StopTimeout)
		defer cancel()
		n.awaitRestore(hand)
		if !n.alone() {
			n.addLeaving(1)
			n.handOver(hand)
		}
		n.stopErr = n.end()
	})
	return n.stopErr
}

// severTimeout bounds the wait for the end of what serves connections.
const severTimeout = 200 * time.Millisecond

// Sever has the node act no more, and cuts it off all others. It is for a process
// that must end and may not be able to: one with a thread in a write to a disk
// that hangs can't be killed, and until then the kernel keeps its connections
// open. The others would wait for it, where they can take its place at once.
func (n *Node) Sever() {
	n.manager.Quiet()
	closed := make(chan struct{})
	go func() { // it ends with the process if not before
		defer close(closed)
		_ = n.transport.Close()
	}()
	select {
	case <-closed:
	case <-time.After(severTimeout):
	}
}

func (n *Node) end() error {
	n.cancel()
	n.wg.Wait()
	return n.unwind()
}

// Self names this process of the node, as the cluster's state does.
func (n *Node) Self() fsm.NodeRef { return n.self }

// Addr returns the address under which other nodes reach this one.
func (n *Node) Addr() string { return n.transport.Addr() }

// Registered reports whether the cluster, as far as this node has applied its
// log, counts on this process.
func (n *Node) Registered() bool { return n.registered() }

// Committed returns the index up to which this node knows the log to be committed.
func (n *Node) Committed() uint64 { return n.raft.Load().CommitIndex() }

// State shows the state that this node has applied, for f to read.
func (n *Node) State(f func(*fsm.State)) {
	n.machine.View(func(_ uint64, s *fsm.State) { f(s) })
}

// Linked reports whether this node has a link to a peer's process, so that it
// would notice the end of it at once.
func (n *Node) Linked(peer fsm.NodeRef) bool {
	inc, ok := n.linked.Load(peer.ID)
	return ok && inc == peer.Inc
}

// Left is closed when the node has left its cluster and should end.
func (n *Node) Left() <-chan struct{} { return n.left }

// addLeaving notes that one more leave or stop hands this node's shards over, or that
// one has given up. While there is another the node gets none: a leave that was given
// up in its client goes on here beside the next.
func (n *Node) addLeaving(by int32) {
	n.leaveMu.Lock()
	defer n.leaveMu.Unlock()
	n.manager.SetLeaving(n.leaving.Add(by) > 0)
}

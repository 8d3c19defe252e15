// Package lab runs the nodes of a cluster inside one process, against a
// simulated Discord: on a network in memory, and on directories in memory unless
// it is told otherwise. What nodes do there is what they do as processes; only
// the sockets and the disks are others.
//
// Kill ends a node as kill -9 ends a process. Its sockets are closed before
// anything else of it knows, so that nothing it still does reaches anybody, and
// its peers find out in the way in which they find out about a dead process. What
// it had stored by then is what its next start finds.
//
// Package botnodetest is the lab with an author's unit test around it, and
// `botnode dev` is the lab with a prompt. The lab itself knows of neither.
package lab

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/memnet"
	"github.com/botnode/botnode/node"
)

// Options configure a Lab. Program and Fatal are required.
type Options struct {
	// Bot names the bot; "" for "default".
	Bot string
	// Discord is what the simulated Discord looks like.
	Discord sim.Options
	// Program makes a node's own instance of the bot. It is called at each start
	// of a node.
	Program func(id string) node.Program
	// Dir, if set, is a folder for the nodes' directories, in place of memory.
	Dir string
	// TLS has the nodes speak TLS to each other. Each joins with a join token.
	TLS bool
	// Tune, if set, may change a node's options before it is made.
	Tune func(id string, o *node.Options)
	// Logger, if set, makes a node's log.
	Logger func(id string) *zap.Logger
	// Fatal is told of a node, other than a killed one, that must not go on.
	Fatal   func(id string, err error)
	Version string
}

// Lab is a simulated Discord and the nodes that were started. All methods may be
// called from any goroutine, but one node is killed and started by one at a time.
type Lab struct {
	o       Options
	net     *memnet.Net
	discord *sim.Server
	label   string // of its goroutines

	mu    sync.Mutex // guards what follows
	order []string   // ids in the order in which they first started
	nodes map[string]*machine
}

// patient are raft's timers in a lab. Its nodes share one process, and often a
// busy machine, so that all of them are late at once and none for a reason. A
// death needs no timer: it is confirmed by the end of its sockets.
var patient = consensus.Timeouts{
	Heartbeat: 1500 * time.Millisecond, Election: 1500 * time.Millisecond, Lease: 1200 * time.Millisecond, Commit: 50 * time.Millisecond,
}

// machine is a node with what outlives its processes: a disk and an address.
type machine struct {
	addr   string
	memory *node.Memory // nil with Options.Dir
	proc   *process     // nil while the node is down
	killed []*process
}

// process is one start of a node.
type process struct {
	node *node.Node
	host *memnet.Host
	want []fsm.Interest // of its program
	over atomic.Bool    // it was killed or stopped
	gone chan struct{}  // closed when a killed process has been cleared away
	err  error          // of clearing it away; set before gone is closed
}

// New starts the simulated Discord, and no node.
func New(o Options) (*Lab, error) {
	if o.Bot == "" {
		o.Bot = "default"
	}
	if o.Logger == nil {
		o.Logger = func(string) *zap.Logger { return zap.NewNop() }
	}
	l := &Lab{o: o, net: memnet.New(), nodes: make(map[string]*machine), label: newLabel()}
	ln, err := l.net.Host().Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o.Discord.Listener = ln
	l.discord = sim.New(o.Discord)
	l.labelled(func() { err = l.discord.Start() })
	return l, err
}

// Discord returns the simulated Discord.
func (l *Lab) Discord() *sim.Server { return l.discord }

// Add starts a new node. The first one makes the cluster, each other joins it
// and is a voter when Add returns.
func (l *Lab) Add(ctx context.Context, id string) error {
	peer := l.peer()
	m := &machine{}
	if l.o.Dir == "" {
		m.memory = node.NewMemory()
	}
	l.mu.Lock()
	if l.nodes[id] != nil {
		l.mu.Unlock()
		return fmt.Errorf("there is a node %q already", id)
	}
	l.nodes[id] = m
	l.order = append(l.order, id)
	l.mu.Unlock()
	n, err := l.start(id, m, peer == "")
	if err != nil {
		return err
	}
	if peer == "" {
		return l.waitCounted(ctx, id, n)
	}
	token, err := l.joinToken(ctx)
	if err != nil {
		return err
	}
	if _, err = n.Join(ctx, peer, token, nil); err != nil {
		return err
	}
	return l.waitLinked(ctx)
}

// joinToken makes a join token, "" without TLS.
func (l *Lab) joinToken(ctx context.Context) (string, error) {
	n := l.machine(l.Living()[0]).proc.node
	if !n.TLS().Enabled {
		return "", nil
	}
	token, _, err := n.CreateJoinToken(ctx, time.Hour)
	return token, err
}

// TryJoin starts a process on a fresh disk under an id, which others may have,
// has it join with a join token, and kills it. The cluster is as before unless
// the join succeeds.
func (l *Lab) TryJoin(ctx context.Context, id, token string) error {
	n, end, err := l.Outside(id)
	if err != nil {
		return err
	}
	defer end()
	_, err = n.Join(ctx, l.peer(), token, nil)
	return err
}

// Outside starts a process on a fresh disk that belongs to no cluster, and isn't
// among the lab's nodes. It runs until end is called.
func (l *Lab) Outside(id string) (_ *node.Node, end func(), _ error) {
	m := &machine{memory: node.NewMemory()}
	n, err := l.start(id, m, false)
	if err != nil {
		return nil, nil, err
	}
	return n, func() {
		m.proc.over.Store(true)
		m.proc.host.Kill()
		_ = n.Kill() // its sockets are gone
	}, nil
}

// peer returns the address of a living node, "" if there is none.
func (l *Lab) peer() string {
	for _, id := range l.Living() {
		return l.machine(id).addr
	}
	return ""
}

// start starts a process of a node.
func (l *Lab) start(id string, m *machine, bootstrap bool) (*node.Node, error) {
	proc := &process{host: l.net.Host(), gone: make(chan struct{})}
	p := l.o.Program(id)
	proc.want = p.Interests
	seed := fsm.DefaultConfig()
	seed.API, seed.Intents = l.discord.APIURL(), uint64(p.Intents)
	o := node.Options{
		ID: id, ClusterAddr: m.addr, Bootstrap: bootstrap, Version: l.o.Version, Memory: m.memory, Network: proc.host, Timeouts: patient,
		ClusterTLS: l.o.TLS,
		Logger:     untilOver(l.o.Logger(id), &proc.over), Fatal: func(err error) {
			if !proc.over.Load() {
				l.o.Fatal(id, err)
			}
		},
		Bots: []*node.Bot{{
			Name: l.o.Bot, Token: l.discord.Token(), Seed: seed, Program: p,
		}},
	}
	if o.ClusterAddr == "" {
		o.ClusterAddr = "127.0.0.1:0"
	}
	if l.o.Dir != "" {
		o.DataDir = filepath.Join(l.o.Dir, id)
	}
	if l.o.Tune != nil {
		l.o.Tune(id, &o)
	}
	var err error
	l.labelled(func() { proc.node, err = node.New(o) })
	if err != nil {
		proc.host.Kill()
		return nil, err
	}
	if p.Attach != nil {
		p.Attach(proc.node)
	}
	l.mu.Lock()
	m.proc, m.addr = proc, proc.node.Addr()
	l.mu.Unlock()
	l.labelled(func() { err = proc.node.Start() })
	return proc.node, err
}

// Kill ends a node's process at once. It reports false if the node isn't up.
func (l *Lab) Kill(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.nodes[id]
	if m == nil || m.proc == nil {
		return false
	}
	p := m.proc
	p.over.Store(true)
	// First the network, then the disk: what the process had answered for is
	// on the disk.
	p.host.Kill()
	if m.memory != nil {
		m.memory = m.memory.Clone()
	}
	m.proc, m.killed = nil, append(m.killed, p)
	go func() {
		p.err = p.node.Kill()
		close(p.gone)
	}()
	return true
}

// Stop stops a node in order, as SIGTERM does: its shards and its leadership are
// handed over. It stays a member and can be started again.
func (l *Lab) Stop(ctx context.Context, id string) error {
	l.mu.Lock()
	m := l.nodes[id]
	if m == nil || m.proc == nil {
		l.mu.Unlock()
		return fmt.Errorf("node %q isn't up", id)
	}
	p := m.proc
	l.mu.Unlock()
	err := p.node.Stop(ctx)
	p.over.Store(true)
	p.host.Kill()
	l.mu.Lock()
	defer l.mu.Unlock()
	m.proc = nil
	return err
}

// Restart starts a node again that was killed or stopped. With a majority up it
// waits until the node has caught up and the cluster counts on it.
func (l *Lab) Restart(ctx context.Context, id string) error {
	m := l.machine(id)
	if m == nil || l.Node(id) != nil {
		return fmt.Errorf("node %q isn't down", id)
	}
	if m.memory == nil {
		for _, p := range m.killed {
			select {
			case <-p.gone: // the directory is locked until then
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	n, err := l.start(id, m, false)
	if err != nil {
		return err
	}
	if 2*len(l.Living()) <= len(l.Nodes()) {
		return nil
	}
	if err := l.waitCounted(ctx, id, n); err != nil {
		return err
	}
	return l.waitLinked(ctx)
}

func (l *Lab) machine(id string) *machine {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nodes[id]
}

// Node returns a node that is up, or nil.
func (l *Lab) Node(id string) *node.Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.nodes[id]; m != nil && m.proc != nil {
		return m.proc.node
	}
	return nil
}

// Nodes returns the ids of all nodes, in the order in which they were added.
func (l *Lab) Nodes() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.order)
}

// Living returns the ids of the nodes that are up, in the order in which they were added.
func (l *Lab) Living() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.order), func(id string) bool { return l.nodes[id].proc == nil })
}

// Close kills the nodes that are up, ends the simulated Discord, and waits for
// all that was started.
func (l *Lab) Close() error {
	for _, id := range l.Living() {
		l.Kill(id)
	}
	l.discord.Close()
	var errs []error
	for _, id := range l.Nodes() {
		for _, p := range l.machine(id).killed {
			<-p.gone
			errs = append(errs, p.err)
		}
	}
	l.waitGone()
	return errors.Join(errs...)
}

// PutKV writes a key of the bot's store, as an operator does.
func (l *Lab) PutKV(ctx context.Context, key string, value []byte) error {
	if _, err := l.WaitLeader(ctx); err != nil {
		return err
	}
	_, n, ok := l.Leader()
	if !ok {
		return errors.New("no node leads")
	}
	_, err := n.WriteKV(ctx, l.o.Bot, key, value, false, nil)
	return err
}

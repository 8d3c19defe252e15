package membership

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/zap"
)

// Options configure a Membership. Meta, Packets, Streams and Dial are required.
type Options struct {
	// Meta is this node. Its ID, Incarnation and ClusterAddr never change.
	Meta Meta
	// Packets, Streams and Dial are the gossip's share of the cluster port.
	// Streams is closed by Close, Packets isn't.
	Packets net.PacketConn
	Streams net.Listener
	Dial    func(addr string, timeout time.Duration) (net.Conn, error)
	// Probe asks who answers at addr. It tells a restart from two processes
	// with one id; without it conflicts aren't found.
	Probe func(ctx context.Context, addr string) (id string, incarnation uint64, err error)
	// OnConflict is called once for each pair of live processes with one id, on
	// a goroutine that Close waits for.
	OnConflict func(Conflict)
	// ProbeInterval scales all of gossip's timers; default 300 ms.
	ProbeInterval time.Duration
	// RejoinInterval is how often dead members are asked to gossip again, so
	// that a healed partition becomes one cluster again; default 5 s.
	RejoinInterval time.Duration
	// Encrypt has gossip encrypted and authenticated with the keys of SetKeys.
	// Until there are some, nothing is sent and nothing is heard.
	Encrypt bool
	Logger  *zap.Logger
}

var (
	// ErrNotStarted is returned before Start and after Close.
	ErrNotStarted = errors.New("membership is not running")
	// ErrFixedMeta is returned by Update for a change of who the node is.
	ErrFixedMeta = errors.New("id, incarnation and cluster address can't change while the node runs")
)

func (o *Options) validate() error {
	if o.Packets == nil || o.Streams == nil || o.Dial == nil {
		return errors.New("membership: Packets, Streams and Dial are required")
	}
	if o.Meta.ID == "" || len(o.Meta.name()) > maxName {
		return fmt.Errorf("membership: node id %q must have 1 to 100 bytes", o.Meta.ID)
	}
	if _, err := joinTarget(o.Meta.ClusterAddr); err != nil {
		return fmt.Errorf("membership: cluster address: %w", err)
	}
	if o.ProbeInterval <= 0 {
		o.ProbeInterval = 300 * time.Millisecond
	}
	if o.RejoinInterval <= 0 {
		o.RejoinInterval = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	_, err := o.Meta.encode()
	return err
}

// Membership is this node's view of the cluster.
type Membership struct {
	o       Options
	port    *port
	keys    *memberlist.Keyring // without keys unless Options.Encrypt
	changed chan struct{}       // capacity 1
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	op      sync.Mutex // serializes Start, Leave, Update and Close

	mu      sync.Mutex // guards the fields below; never held while calling memberlist
	ml      *memberlist.Memberlist
	self    Meta
	encoded []byte // of self
	table   *table
	checked map[pair]bool // being checked, or reported
	closed  bool
}

// pair identifies two incarnations of one id.
type pair struct {
	id           string
	older, newer uint64
}

// New checks the options. It starts nothing.
func New(o Options) (*Membership, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	m := &Membership{
		o: o, changed: make(chan struct{}, 1), self: o.Meta,
		table: newTable(), checked: make(map[pair]bool),
	}
	m.encoded, _ = o.Meta.encode() // validated above
	m.ctx, m.cancel = context.WithCancel(context.Background())
	var err error
	if m.keys, err = memberlist.NewKeyring(nil, nil); err != nil {
		return nil, err
	}
	m.port = newPort(&m.o, m.addrOf, func() bool { return !m.o.Encrypt || len(m.keys.GetKeys()) > 0 })
	return m, nil
}

// Start begins to gossip, alone until Join or until somebody joins this node.
func (m *Membership) Start() error {
	m.op.Lock()
	defer m.op.Unlock()
	if m.ctx.Err() != nil {
		return ErrNotStarted
	}
	if m.running() != nil {
		return nil
	}
	m.port.start()
	ml, err := memberlist.Create(m.config())
	if err != nil {
		return errors.Join(fmt.Errorf("gossip: %w", err), m.port.Shutdown())
	}
	m.mu.Lock()
	m.ml = ml
	m.mu.Unlock()
	m.wg.Go(m.rejoin)
	return nil
}

// config is memberlist's LAN configuration, tighter: a node is suspected after
// about a probe interval and called dead two to nine intervals later.
func (m *Membership) config() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	interval := m.o.ProbeInterval
	c.Name = m.self.name()
	c.Transport = m.port
	c.ProbeInterval = interval
	c.ProbeTimeout = interval / 2
	c.SuspicionMult = 3
	c.SuspicionMaxTimeoutMult = 3
	c.AwarenessMaxMultiplier = 4
	c.IndirectChecks = 2
	c.GossipInterval = interval / 3
	c.GossipToTheDeadTime = 30 * interval
	c.PushPullInterval = 30 * interval
	c.TCPTimeout = 3 * time.Second
	c.UDPBufferSize = 1390 // leaves room for the transport's prefix
	c.EnableCompression = false
	c.MsgpackUseNewTimeFormat = true
	if m.o.Encrypt {
		c.Keyring = m.keys
	}
	d := (*delegate)(m)
	c.Delegate, c.Events, c.Alive, c.Ping, c.Conflict = d, d, d, d, d
	w := &logWriter{log: m.o.Logger, suspect: d.suspected, mute: func() bool { return m.ctx.Err() != nil }}
	c.Logger = w.logger()
	return c
}

// running returns memberlist, or nil.
func (m *Membership) running() *memberlist.Memberlist {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	return m.ml
}

// Join exchanges views with the nodes at addrs. It returns how many answered,
// and an error only if none did.
func (m *Membership) Join(addrs []string) (int, error) {
	ml := m.running()
	if ml == nil {
		return 0, ErrNotStarted
	}
	targets := make([]string, 0, len(addrs))
	for _, a := range addrs {
		t, err := joinTarget(a)
		if err != nil {
			return 0, err
		}
		targets = append(targets, t)
	}
	return ml.Join(targets)
}

// Update changes what this node tells about itself and waits until it was sent
// to somebody, or for timeout. The new facts stand even after an error.
func (m *Membership) Update(meta Meta, timeout time.Duration) error {
	m.op.Lock()
	defer m.op.Unlock()
	return m.update(meta, timeout)
}

func (m *Membership) update(meta Meta, timeout time.Duration) error {
	encoded, err := meta.encode()
	if err != nil {
		return err
	}
	m.mu.Lock()
	if meta.name() != m.self.name() || meta.ClusterAddr != m.self.ClusterAddr {
		m.mu.Unlock()
		return ErrFixedMeta
	}
	m.self, m.encoded = meta, encoded
	m.mu.Unlock()
	ml := m.running()
	if ml == nil {
		return ErrNotStarted
	}
	return ml.UpdateNode(timeout)
}

// Leave tells the others that this node is gone for good. Close comes after it.
func (m *Membership) Leave(timeout time.Duration) error {
	m.op.Lock()
	defer m.op.Unlock()
	ml := m.running()
	if ml == nil {
		return ErrNotStarted
	}
	// memberlist knows leaving from dying but doesn't hand the difference on:
	// the flag does, and has to travel first.
	meta := m.Self()
	meta.Flags |= Leaving
	err := m.update(meta, timeout/2)
	return errors.Join(err, ml.Leave(timeout/2))
}

// Close stops gossiping, which others take for a death unless Leave came before.
func (m *Membership) Close() error {
	m.cancel()
	m.op.Lock()
	defer m.op.Unlock()
	ml := m.running()
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	var err error
	if ml != nil {
		err = ml.Shutdown()
	}
	m.wg.Wait()
	return err
}

// Self returns what this node tells about itself.
func (m *Membership) Self() Meta {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.self
}

// Members returns all nodes that were ever seen and not forgotten, by id, this
// one included.
func (m *Membership) Members() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.table.list()
}

// Lookup returns the node id.
func (m *Membership) Lookup(id string) (Member, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if x := m.table.members[id]; x != nil {
		return x.clone(), true
	}
	return Member{}, false
}

// Forget drops a dead or left node from the view, after it was removed from the
// cluster.
func (m *Membership) Forget(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	ok := m.table.forget(id)
	if ok {
		m.signal()
	}
	return ok
}

// Changed is ready after a change since the last receive. It is for a single
// receiver, which then reads Members.
func (m *Membership) Changed() <-chan struct{} { return m.changed }

func (m *Membership) signal() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// addrOf returns the advertised address of a member by memberlist name.
func (m *Membership) addrOf(name string) string {
	id, incarnation, ok := splitName(name)
	if !ok {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if x := m.table.members[id]; x != nil && x.Incarnation == incarnation {
		return x.ClusterAddr
	}
	return ""
}

// rejoin asks dead members to gossip again from time to time.
func (m *Membership) rejoin() {
	tick := time.NewTicker(m.o.RejoinInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-m.ctx.Done():
			return
		}
		for _, x := range m.Members() {
			if x.Status == Dead && m.ctx.Err() == nil {
				_, _ = m.Join([]string{x.ClusterAddr}) // memberlist logs why not
			}
		}
	}
}

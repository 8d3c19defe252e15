package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
)

// patience bounds every wait of a test. It is only used up by a failure.
const patience = 10 * time.Second

// tcpLayer is a loopback StreamLayer that obeys the network's partitions.
type tcpLayer struct {
	net.Listener
	id  string
	net *network
}

func (l *tcpLayer) Dial(addr string, timeout time.Duration) (net.Conn, error) {
	if !l.net.connected(l.id, l.net.owner(addr)) {
		return nil, errors.New("partitioned")
	}
	c, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(append([]byte{byte(len(l.id))}, l.id...)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	watched := l.net.watch(l.id, l.net.owner(addr), c)
	if !l.net.connected(l.id, l.net.owner(addr)) { // it was cut meanwhile
		return nil, errors.Join(errors.New("partitioned"), watched.Close())
	}
	return watched, nil
}

// network knows who may talk to whom.
type network struct {
	mu    sync.Mutex
	addrs map[string]string // address -> id
	cut   map[string]bool   // ids that are alone
	conns map[net.Conn][2]string
	nodes map[string]*testNode
	// held, if set, holds answers back until it is closed; holds counts them.
	held  chan struct{}
	holds int
}

func (n *network) owner(addr string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.addrs[addr]
}

func (n *network) connected(a, b string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.cut[a] && !n.cut[b]
}

type watchedConn struct {
	net.Conn
	net *network
}

// Read reads. While the network holds answers back, what was read waits.
func (c watchedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.net.mu.Lock()
	held := c.net.held
	if held != nil && n > 0 {
		c.net.holds++
	}
	c.net.mu.Unlock()
	if held != nil && n > 0 {
		<-held
	}
	return n, err
}

func (c watchedConn) Close() error {
	c.net.mu.Lock()
	delete(c.net.conns, c.Conn)
	c.net.mu.Unlock()
	return c.Conn.Close()
}

func (n *network) watch(a, b string, c net.Conn) net.Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c] = [2]string{a, b}
	return watchedConn{c, n}
}

// helloConn is an accepted connection whose other end has said who it is, as nodes do.
type helloConn struct {
	net.Conn
	dialer string
}

// Accept waits for the dialer's name, which is as long as its first byte says. Whoever ends the connection before
// that stays unnamed.
func (l *tcpLayer) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	var name [256]byte
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(c, name[:1]); err != nil {
		return helloConn{Conn: c}, nil
	}
	named := name[1 : 1+name[0]]
	if _, err := io.ReadFull(c, named); err != nil {
		return helloConn{Conn: c}, nil
	}
	return helloConn{c, string(named)}, c.SetReadDeadline(time.Time{})
}

func dialer(accepted net.Conn) string { return accepted.(helloConn).dialer }

// testNode is a node with its machine.
type testNode struct {
	*Raft
	id, addr string
	toy      *toyMachine
	accept   *Acceptor
	dead     bool
	opts     Options
}

// cluster is a group of nodes in one process, over loopback TCP.
type cluster struct {
	t    testing.TB
	net  *network
	tune func(*Options)
}

func quick() Timeouts {
	return Timeouts{
		Heartbeat: 300 * time.Millisecond, Election: 300 * time.Millisecond,
		Lease: 250 * time.Millisecond, Commit: 10 * time.Millisecond,
	}
}

// newCluster starts n voters. tune may be nil.
func newCluster(t testing.TB, n int, tune func(*Options)) *cluster {
	t.Helper()
	c := emptyCluster(t, tune)
	first := c.start("n1")
	if err := first.Bootstrap(); err != nil {
		t.Fatal(err)
	}
	c.Leader()
	for i := 2; i <= n; i++ {
		node := c.start(fmt.Sprintf("n%d", i))
		c.add(node)
	}
	return c
}

func emptyCluster(t testing.TB, tune func(*Options)) *cluster {
	t.Helper()
	return &cluster{t: t, tune: tune, net: &network{
		addrs: map[string]string{}, cut: map[string]bool{}, conns: map[net.Conn][2]string{}, nodes: map[string]*testNode{},
	}}
}

// start opens a node; a node of the same id that ran before keeps its directory and gets a new address.
func (c *cluster) start(id string) *testNode { return c.open(id, "127.0.0.1:0", NewMemory()) }

// restart opens a node that was killed again, at its address.
func (c *cluster) restart(n *testNode) *testNode {
	c.t.Helper()
	c.close(n)
	return c.open(n.id, n.addr, n.opts.Memory)
}

func (c *cluster) open(id, addr string, m *Memory) *testNode {
	c.t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		c.t.Fatal(err)
	}
	n := &testNode{id: id, addr: ln.Addr().String(), toy: newToy()}
	c.net.mu.Lock()
	c.net.addrs[n.addr] = id
	c.net.mu.Unlock()
	n.opts = Options{
		ID: id, Addr: n.addr, Layer: &tcpLayer{ln, id, c.net}, Machine: n.toy, Timeouts: quick(), Memory: m,
		Caller: CallerFunc(func(ctx context.Context, addr string, req []byte) ([]byte, error) {
			return c.net.call(id, addr, func(to *testNode) ([]byte, error) { return to.HandleElection(id, req) })
		}),
		Resolve: c.net.resolve, Peer: dialer,
		Logger: zaptest.NewLogger(c.t, zaptest.Level(zap.FatalLevel)),
		Fatal:  func(err error) { c.t.Errorf("%s: fatal: %v", id, err) },
	}
	if c.tune != nil {
		c.tune(&n.opts)
	}
	if n.opts.Memory == nil {
		n.opts.Dir = filepath.Join(n.opts.Dir, id)
	}
	if n.Raft, err = Open(n.opts); err != nil {
		c.t.Fatal(err)
	}
	n.accept = NewAcceptor(n.Raft, toyEncodeResult)
	c.net.mu.Lock()
	c.net.nodes[id] = n
	c.net.mu.Unlock()
	c.t.Cleanup(func() { c.close(n) })
	return n
}

func (c *cluster) close(n *testNode) {
	if err := n.Close(); err != nil {
		c.t.Errorf("close %s: %v", n.id, err)
	}
}

func (n *network) resolve(id string) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	node, ok := n.nodes[id]
	if !ok {
		return "", false
	}
	return node.addr, true
}

// call runs f on the node at addr, if it can be reached.
func (n *network) call(from, addr string, f func(*testNode) ([]byte, error)) ([]byte, error) {
	id := n.owner(addr)
	n.mu.Lock()
	to, ok := n.nodes[id]
	down := !ok || to.dead || n.cut[from] || n.cut[id]
	n.mu.Unlock()
	if down {
		return nil, errors.New("unreachable")
	}
	return f(to)
}

// add makes a node a non-voter, waits until it has caught up, and makes it a voter.
func (c *cluster) add(n *testNode) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	c.leaderDoes("add non-voter "+n.id, func(l *testNode) error { return l.AddNonvoter(ctx, n.id, n.addr) })
	if err := n.WaitApplied(ctx, c.Leader().CommitIndex()); err != nil {
		c.t.Fatal(err)
	}
	c.leaderDoes("add voter "+n.id, func(l *testNode) error { return l.AddVoter(ctx, n.id, n.addr) })
	// Every voter must know the new one before the leader may die: one that doesn't refuses to vote for it.
	c.WaitApplied(c.Leader().CommitIndex())
}

// leaderDoes has whoever leads do something that may be repeated, until one has done it. On a machine where goroutines
// wait for longer than raft's timeouts, leadership changes without any failure.
func (c *cluster) leaderDoes(what string, f func(l *testNode) error) {
	c.t.Helper()
	var last error
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if last = f(c.Leader()); last == nil {
			return
		}
		if !NotAppended(last) && !errors.Is(last, ErrUnknownOutcome) {
			break
		}
	}
	c.t.Fatalf("%s: %v", what, last)
}

// commit has whoever leads propose an entry, until it has an answer.
func (c *cluster) commit(entry string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	c.leaderDoes("propose "+entry, func(l *testNode) error {
		_, _, err := l.Propose([]byte(entry)).Wait(ctx)
		return err
	})
}

// live returns the nodes that run and aren't partitioned.
func (c *cluster) live() []*testNode {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	var out []*testNode
	for id, n := range c.net.nodes {
		if !n.dead && !c.net.cut[id] {
			out = append(out, n)
		}
	}
	return out
}

// Leader waits until a live node is an established leader.
func (c *cluster) Leader() *testNode {
	c.t.Helper()
	var leader *testNode
	c.eventually("an established leader", func() bool {
		for _, n := range c.live() {
			if _, ok := n.Established(); ok {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

// Kill closes a node without any farewell. Its peers learn of it if tell is true.
func (c *cluster) Kill(n *testNode, tell bool) {
	c.t.Helper()
	c.net.mu.Lock()
	n.dead = true
	c.net.mu.Unlock()
	_ = n.wire.Close() // the network goes first, as it does when a process dies
	if tell {
		for _, other := range c.live() {
			other.LeaderLinkDead(n.id)
		}
	}
	go func() { _ = n.Close() }()
	c.t.Cleanup(func() { c.close(n) })
}

// Partition cuts a node off, both ways.
func (c *cluster) Partition(n *testNode) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.net.cut[n.id] = true
	for conn, ends := range c.net.conns {
		if ends[0] == n.id || ends[1] == n.id {
			_ = conn.Close()
		}
	}
}

// Heal reconnects a node.
func (c *cluster) Heal(n *testNode) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	delete(c.net.cut, n.id)
}

// WaitApplied waits until all live nodes cover index.
func (c *cluster) WaitApplied(index uint64) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for _, n := range c.live() {
		if err := n.WaitApplied(ctx, index); err != nil {
			c.t.Fatalf("%s: %v", n.id, err)
		}
	}
}

// EnsureSame waits until all live nodes applied what the leader did, and compares their states.
func (c *cluster) EnsureSame() {
	c.t.Helper()
	l := c.Leader()
	c.WaitApplied(l.CommitIndex())
	want := fmt.Sprint(l.toy.read())
	for _, n := range c.live() {
		if got := fmt.Sprint(n.toy.read()); got != want {
			c.t.Errorf("%s differs from the leader %s:\n%.300s\n%.300s", n.id, l.id, got, want)
		}
	}
}

// propose appends an entry on the leader and waits.
func (c *cluster) propose(n *testNode, entry string) uint64 {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	index, res, err := n.Propose([]byte(entry)).Wait(ctx)
	if err != nil {
		c.t.Fatalf("propose %q: %v", entry, err)
	}
	var id string
	_, _ = fmt.Sscan(entry, &id)
	if string(res.([]byte)) != "ok "+id {
		c.t.Fatalf("propose %q: result %q", entry, res)
	}
	return index
}

func (c *cluster) eventually(what string, ok func() bool) {
	c.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			c.t.Fatalf("never saw %s", what)
		}
	}
}

//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/internal/disklab"
	"github.com/botnode/botnode/internal/netlab"
	"github.com/botnode/botnode/internal/testproc"
)

// names are the nodes'.
var names = []string{"joe", "mike", "robert", "virding", "williams"}

// cluster is a simulated Discord and nodes, which have TLS between them.
type cluster struct {
	r     *run
	sim   *sim.Server
	net   *netlab.Lab // nil on loopback
	dir   string
	nodes []*node
	wg    sync.WaitGroup // those who wait for processes
}

// node is a node: its place and directory outlive its processes.
type node struct {
	id        string
	i         int // its host
	dir, addr string
	logs      string        // the file of its processes' logs
	disk      *disklab.Disk // nil if it is the machine's
	http      string
	args      []string
	client    *admin.Client
	transport *http.Transport

	// hold is locked by the fault that has the node's process in its hands.
	hold sync.Mutex

	mu     sync.Mutex // guards what follows
	life   *life      // the last one
	closed bool       // none is started any more
	lives  int
}

// life is one process of a node.
type life struct {
	proc   *testproc.Proc
	ending bool // by what the run does; the node's lock guards it
}

// host is where the nodes and Discord are.
func (c *cluster) host(i int) *netlab.Host {
	if c.net == nil {
		return nil
	}
	return c.net.Host(i)
}

// simHost is Discord's host.
func (c *cluster) simHost() int { return len(c.nodes) }

// newCluster starts Discord and the nodes.
func newCluster(ctx context.Context, r *run, net *netlab.Lab, o sim.Options) (*cluster, error) {
	c := &cluster{r: r, net: net, dir: r.dir}
	var ports testproc.Ports
	for i := range r.o.nodes {
		n, err := c.newNode(i, &ports)
		if err != nil {
			return nil, err
		}
		c.nodes = append(c.nodes, n)
	}
	if h := c.host(c.simHost()); h != nil {
		l, err := h.Listen("tcp", h.Addr.String()+":8080")
		if err != nil {
			return nil, err
		}
		o.Listener = l
	}
	c.sim = sim.New(o)
	if err := c.sim.Start(); err != nil {
		return nil, err
	}
	if err := c.form(ctx); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *cluster) newNode(i int, ports *testproc.Ports) (n *node, err error) {
	n = &node{id: names[i], i: i, dir: filepath.Join(c.dir, names[i])}
	n.logs = n.dir + ".log"
	if c.r.o.disks {
		if n.disk, err = disklab.New(n.dir+".disk", diskSize); err != nil {
			return nil, err
		}
		n.dir = filepath.Join(n.disk.Dir, n.id)
	}
	n.transport = &http.Transport{MaxIdleConnsPerHost: 4, ResponseHeaderTimeout: 30 * time.Second}
	if h := c.host(i); h != nil {
		n.addr, n.http = net.JoinHostPort(h.Addr.String(), "7101"), "127.0.0.1:7201"
		n.transport.DialContext = h.DialContext
	} else {
		if n.addr, err = ports.Addr(); err == nil {
			n.http, err = ports.Addr()
		}
	}
	n.client = &admin.Client{BaseURL: "http://" + n.http, HTTP: &http.Client{Transport: n.transport}}
	return n, err
}

// form starts the nodes, and has them join the first.
func (c *cluster) form(ctx context.Context) error {
	tokenFile := filepath.Join(c.dir, "join-token")
	for i, n := range c.nodes {
		n.args = []string{
			"start", "--id", n.id, "--data-dir", n.dir, "--cluster-addr", n.addr, "--http-addr", n.http,
			"--cluster-tls", "--log-format", "json", "--discord-api", c.sim.APIURL(),
		}
		if i == 0 {
			n.args = append(n.args, "--bootstrap")
		} else {
			n.args = append(n.args, "--join", c.nodes[0].addr, "--join-token-file", tokenFile)
		}
		c.start(n)
		if err := until(ctx, 20*time.Second, func() error { return c.joined(ctx, n, i+1) }); err != nil {
			return fmt.Errorf("%s: %w; %s", n.id, err, n.log())
		}
		if i > 0 {
			continue
		}
		var t admin.JoinToken
		err := until(ctx, 10*time.Second, func() (err error) { // a founder isn't ready at once
			t, err = n.client.CreateJoinToken(ctx, 24*time.Hour)
			return err
		})
		if err != nil {
			return err
		}
		if err := os.WriteFile(tokenFile, []byte(t.Token), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// joined returns nil once a node is one of so many.
func (c *cluster) joined(ctx context.Context, n *node, nodes int) error {
	st, err := n.status(ctx)
	if err == nil && (len(st.Nodes) != nodes || st.Leader == nil || st.Stale) {
		return fmt.Errorf("%d nodes, leader %v, stale %v", len(st.Nodes), st.Leader, st.Stale)
	}
	return err
}

// close ends everything.
func (c *cluster) close() {
	for _, n := range c.nodes {
		n.mu.Lock()
		n.closed = true
		n.mu.Unlock()
		c.kill(n)
		n.transport.CloseIdleConnections()
	}
	c.wg.Wait()
	c.sim.Close()
	for _, n := range c.nodes {
		if n.disk != nil {
			c.unplug(n)
		}
	}
}

// unplug takes a node's disk away. What is on it is kept if it may tell something.
func (c *cluster) unplug(n *node) {
	if len(c.r.failures()) > 0 {
		if err := os.CopyFS(filepath.Join(c.dir, n.id), os.DirFS(n.dir)); err != nil {
			c.r.o.logf("%s: its directory can't be kept: %v", n.id, err)
		}
	}
	if err := n.disk.Close(); err != nil {
		c.r.violate("%s: %v", n.id, err)
	}
}

func (c *cluster) byID(id string) *node {
	for _, n := range c.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}

// start starts a node's process, and has it watched: one that ends on its own
// account is a violation, and is started again.
func (c *cluster) start(n *node) {
	o := testproc.Options{
		Path: c.r.o.bin, Args: n.args, Env: []string{"BOTNODE_TOKEN=" + c.sim.Token()}, Log: n.logs,
	}
	if h := c.host(n.i); h != nil {
		o.Enter = h.Enter
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	p, err := testproc.Start(o)
	if err != nil {
		c.r.violate("%s can't be started: %v", n.id, err)
		return
	}
	l := &life{proc: p}
	n.life = l
	n.lives++
	c.wg.Go(func() {
		<-p.Done()
		n.mu.Lock()
		alone := !l.ending
		n.mu.Unlock()
		if alone {
			code, _ := p.Wait(context.Background()) // it has ended
			c.r.violate("%s has ended by itself with exit code %d", n.id, code)
			wait(nil, 500*time.Millisecond)
			c.start(n)
		}
	})
}

// kill kills a node's process as kill -9 does.
func (c *cluster) kill(n *node) {
	if p := n.ending(); p != nil {
		p.Close()
	}
}

// ending marks the process as one that is to end, and returns it.
func (n *node) ending() *testproc.Proc {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life == nil {
		return nil
	}
	n.life.ending = true
	return n.life.proc
}

// spared takes ending back: the process lives, and is to go on.
func (n *node) spared() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.life.ending = false
}

// proc is the node's last process.
func (n *node) proc() *testproc.Proc {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life.proc
}

// termLimit is how long a node may take to end after SIGTERM, whatever the state
// of the cluster.
const termLimit = 60 * time.Second

// term ends a node with SIGTERM.
func (c *cluster) term(n *node) {
	p := n.ending()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		c.r.violate("SIGTERM to %s: %v", n.id, err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), termLimit)
	defer cancel()
	switch code, err := p.Wait(ctx); {
	case err != nil:
		c.r.violate("%s has not ended %v after SIGTERM", n.id, termLimit)
		p.Close()
	case code != 0:
		c.r.violate("%s ended with exit code %d after SIGTERM", n.id, code)
	}
}

func (c *cluster) signal(n *node, sig syscall.Signal) {
	if err := n.proc().Signal(sig); err != nil && !errors.Is(err, testproc.ErrEnded) {
		c.r.violate("%v to %s: %v", sig, n.id, err)
	}
}

// pid is the node's process, 0 if none lives.
func (n *node) pid() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life == nil || !n.life.proc.Alive() {
		return 0
	}
	return n.life.proc.PID()
}

// status asks a node for all that it knows.
func (n *node) status(ctx context.Context) (admin.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return n.client.Status(ctx, true)
}

// log is the end of the node's log.
func (n *node) log() string {
	b, err := os.ReadFile(n.logs)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// until tries a condition until it returns nil, or returns the last reason.
func until(ctx context.Context, limit time.Duration, cond func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := cond()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", limit, err)
		}
	}
}

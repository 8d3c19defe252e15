//go:build clients

package clients

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/internal/testproc"
)

// upstream is the number of the bot's shards at Discord: one for each node.
const upstream = 3

// cluster is a simulated Discord, three nodes in front of it, and a client key.
type cluster struct {
	t     *testing.T
	sim   *sim.Server
	bin   string
	dir   string
	nodes []*node
	// public is the one address of all nodes; nil where each has its own.
	public *balancer
	key    string
}

// node is one node: its addresses and directory outlive its processes.
type node struct {
	id, cluster, http, proxy string
	admin                    admin.Client
	proc                     *testproc.Proc
}

// trio starts three nodes, which know of a public address or not, joins them,
// and makes a client key as an operator does.
func trio(t *testing.T, public bool) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), bin: build(t, root, "./cmd/botnode")}
	c.sim = sim.New(sim.Options{
		Guilds: 12, Channels: 3, Shards: upstream, MaxConcurrency: upstream, ReplayBuffer: 5000,
		GlobalLimit: -1, NoRouteLimits: true, CommandLimit: -1,
	})
	if err := c.sim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	if public {
		c.public = newBalancer(t)
	}
	for _, id := range []string{"joe", "mike", "robert"} {
		n := &node{id: id}
		for _, addr := range []*string{&n.cluster, &n.http, &n.proxy} {
			var err error
			if *addr, err = programs.ports.Addr(); err != nil {
				t.Fatal(err)
			}
		}
		n.admin.BaseURL = "http://" + n.http
		c.nodes = append(c.nodes, n)
		if public {
			c.public.add(n.proxy)
		}
		c.start(n)
	}
	for _, n := range c.nodes[1:] {
		c.ok(n, "join", c.nodes[0].cluster)
	}
	c.settled()
	c.key = strings.TrimSpace(c.ok(c.nodes[0], "client-key", "create", "crew"))
	return c
}

// close ends every process, and shows the logs if the test has failed.
func (c *cluster) close() {
	for _, n := range c.nodes {
		if n.proc == nil {
			continue
		}
		n.proc.Close()
		if c.t.Failed() {
			lines := strings.Split(strings.TrimSpace(n.proc.Log()), "\n")
			c.t.Logf("the end of %s's log:\n%s", n.id, strings.Join(lines[max(0, len(lines)-25):], "\n"))
		}
	}
	c.sim.Close()
}

// start starts a node's process and waits until its API answers.
func (c *cluster) start(n *node) {
	c.t.Helper()
	args := []string{
		"start", "--id", n.id, "--data-dir", filepath.Join(c.dir, n.id), "--cluster-addr", n.cluster, "--http-addr", n.http,
		"--proxy-addr", n.proxy, "--discord-api", c.sim.APIURL(), "--intents", "default,message_content", "--log-format", "json",
	}
	if c.public != nil {
		args = append(args, "--proxy-public-url", "ws://"+c.public.addr())
	}
	var err error
	n.proc, err = testproc.Start(testproc.Options{
		Path: c.bin, Args: args, Env: []string{"BOTNODE_TOKEN=" + c.sim.Token()}, Log: filepath.Join(c.dir, n.id+".log"),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.poll(n.id+" serves", 20*time.Second, func() error {
		if !n.proc.Alive() {
			c.t.Fatalf("%s has ended: %s", n.id, n.proc.Log())
		}
		_, err := n.admin.Status(c.t.Context(), false)
		return err
	})
}

// ok runs a client command of botnode that must succeed, and returns what it wrote.
func (c *cluster) ok(n *node, args ...string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	res, err := testproc.Run(ctx, testproc.Options{Path: c.bin, Args: args, Env: []string{"BOTNODE_HTTP=" + n.admin.BaseURL}})
	if err != nil || res.Code != 0 {
		c.t.Fatalf("botnode %s at %s: exit code %d: %v\n%s%s", strings.Join(args, " "), n.id, res.Code, err, res.Stdout, res.Stderr)
	}
	return res.Stdout
}

// kill is kill -9; the node comes back a second later, as under a supervisor.
func (c *cluster) kill(n *node) {
	c.t.Helper()
	if err := n.proc.Kill(); err != nil {
		c.t.Fatal(err)
	}
	back := time.NewTimer(time.Second)
	defer back.Stop()
	<-back.C
	c.start(n)
}

// status is what the first node that answers says of the cluster.
func (c *cluster) status() admin.Status {
	c.t.Helper()
	var st admin.Status
	c.poll("a node tells the status", 10*time.Second, func() (err error) {
		for _, n := range c.nodes {
			if st, err = n.admin.Status(c.t.Context(), true); err == nil && st.Leader != nil {
				return nil
			}
		}
		return errors.Join(errNotYet, err)
	})
	return st
}

// settled waits until all nodes say that each of them has one shard, which is
// served, and that they follow one leader.
func (c *cluster) settled() {
	c.t.Helper()
	c.poll("each node has its shard", 40*time.Second, func() error {
		for _, n := range c.nodes {
			st, err := n.admin.Status(c.t.Context(), true)
			if err != nil {
				return err
			}
			owners := map[string]bool{}
			for _, s := range st.Shards {
				if s.State == "ready" {
					owners[s.Owner] = true
				}
			}
			if len(owners) != upstream || st.Leader == nil || st.Quorum.Have != len(c.nodes) {
				return fmt.Errorf("%s: owners %v, leader %v, quorum %+v, problems %v", n.id, owners, st.Leader, st.Quorum, st.Problems)
			}
		}
		return nil
	})
}

// node finds a node by what it is.
func (c *cluster) node(is func(*node) bool) *node {
	c.t.Helper()
	i := slices.IndexFunc(c.nodes, is)
	if i < 0 {
		c.t.Fatal("there is no such node")
	}
	return c.nodes[i]
}

// leader is the node that leads.
func (c *cluster) leader() *node {
	c.t.Helper()
	id := c.status().Leader.ID
	return c.node(func(n *node) bool { return n.id == id })
}

// front is the node that new connections of clients go to.
func (c *cluster) front() *node {
	c.t.Helper()
	addr := c.public.current()
	return c.node(func(n *node) bool { return n.proxy == addr })
}

// lead makes a node lead that isn't n.
func (c *cluster) leadNot(n *node) *node {
	c.t.Helper()
	if c.leader() == n {
		other := c.node(func(o *node) bool { return o != n })
		c.ok(other, "leader", "transfer", "--to", other.id)
		c.poll("another leads", 20*time.Second, func() error {
			if c.leader() == n {
				return errNotYet
			}
			return nil
		})
	}
	return c.leader()
}

// errNotYet is what conditions return without a better reason.
var errNotYet = errors.New("not yet")

// poll tries a condition until it returns nil or the time is up.
func (c *cluster) poll(what string, limit time.Duration, cond func() error) {
	c.t.Helper()
	testproc.Poll(c.t, what, limit, 100*time.Millisecond, cond)
}

// keep copies a log to where BOTNODE_LOGS says.
func keep(t *testing.T, path string) {
	dir := os.Getenv("BOTNODE_LOGS")
	b, err := os.ReadFile(path)
	if dir == "" || err != nil {
		return
	}
	_ = os.MkdirAll(dir, 0o755)
	_ = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "-")+"-"+filepath.Base(path)), b, 0o600)
}

package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/botnode/botnode/admin"
)

// node is one node of the demo and, while it runs, its process.
type node struct {
	id            string
	cluster, http string // addresses
	log           string
	proc          *process // nil while it doesn't run
}

// cluster is the three nodes, their folder and how to speak to them.
type cluster struct {
	program  string
	dir      string
	http     *http.Client
	env      []string
	args     []string // of every node
	spawner  *spawner
	nodes    []*node
	interval time.Duration // between two looks at the nodes
}

// newCluster makes the folder and finds addresses. It starts nothing; close
// undoes it.
func newCluster(program, discord, token string) (*cluster, error) {
	ids := []string{"joe", "mike", "robert"}
	ports, err := freePorts(2 * len(ids))
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "botnode-demo-")
	if err != nil {
		return nil, err
	}
	c := &cluster{
		program: program, dir: dir, env: childEnv(os.Environ(), token), spawner: newSpawner(),
		args:     []string{"start", "--builtin", "ping", "--discord-api", discord, "--log-format", "json"},
		interval: 10 * time.Millisecond,
		// A connection for each call: those to a killed node are of no use.
		http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
	for i, id := range ids {
		c.nodes = append(c.nodes, &node{
			id: id, cluster: ports[2*i], http: ports[2*i+1], log: filepath.Join(dir, id+".log"),
		})
	}
	go c.spawner.run()
	return c, nil
}

// start starts a node's process.
func (c *cluster) start(n *node) error {
	args := slices.Concat(c.args, []string{
		"--id", n.id, "--data-dir", c.data(n), "--cluster-addr", n.cluster, "--http-addr", n.http,
	})
	p, err := startProcess(c.spawner, c.program, args, c.env, c.dir, n.log)
	if err != nil {
		return fmt.Errorf("%s does not start: %w", n.id, err)
	}
	n.proc = p
	return nil
}

func (c *cluster) data(n *node) string { return filepath.Join(c.dir, n.id) }

// kill is kill -9.
func (c *cluster) kill(n *node) {
	n.proc.kill()
	n.proc = nil
}

// client speaks to a node as `botnode status`, `join` and `shard move` do.
func (c *cluster) client(n *node) *admin.Client {
	return &admin.Client{BaseURL: "http://" + n.http, HTTP: c.http}
}

// status asks a node for the state of the cluster.
func (c *cluster) status(ctx context.Context, n *node) (admin.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return c.client(n).Status(ctx, true)
}

// close kills what runs and removes the folder; with keep, the logs stay.
func (c *cluster) close(keep bool) error {
	for _, n := range c.nodes {
		if n.proc != nil {
			c.kill(n)
		}
	}
	c.spawner.close()
	if !keep {
		return os.RemoveAll(c.dir)
	}
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, os.RemoveAll(c.data(n)))
	}
	return errors.Join(errs...)
}

// alive returns an error if a node has ended by itself.
func (c *cluster) alive() error {
	for _, n := range c.nodes {
		if n.proc == nil {
			continue
		}
		if err := n.proc.ended(); err != nil {
			return fmt.Errorf("%s has ended by itself (%w); its last words:\n%s", n.id, err, lastLines(n.log, 5))
		}
	}
	return nil
}

// byID finds a node.
func (c *cluster) byID(id string) *node {
	for _, n := range c.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}

// running lists the nodes that have a process.
func (c *cluster) running() []*node {
	return slices.DeleteFunc(slices.Clone(c.nodes), func(n *node) bool { return n.proc == nil })
}

// waitStatus asks a node again and again until its status satisfies ok. It ends
// with an error when a node ends or the context does.
func (c *cluster) waitStatus(ctx context.Context, n *node, what string, ok func(*admin.Status) bool) (admin.Status, error) {
	for {
		st, err := c.status(ctx, n)
		if err == nil && ok(&st) {
			return st, nil
		}
		if dead := c.alive(); dead != nil {
			return st, dead
		}
		select {
		case <-time.After(c.interval):
		case <-ctx.Done():
			return st, fmt.Errorf("waited for %s in vain: %w (%s)", what, context.Cause(ctx), describe(&st, err))
		}
	}
}

// describe says in a few words what is wrong with a cluster.
func describe(st *admin.Status, err error) string {
	if err != nil {
		return err.Error()
	}
	parts := []string{fmt.Sprintf("node %s is %s, health %s", st.ID, st.State, st.Health)}
	for _, p := range st.Problems {
		parts = append(parts, p.Message)
	}
	for _, s := range st.Shards {
		if s.State != "ready" {
			parts = append(parts, fmt.Sprintf("shard %d is %s", s.ID, s.State))
		}
	}
	return strings.Join(parts, "; ")
}

// ready says whether all nodes vote and all shards are ready, and nothing is
// about to change.
func ready(st *admin.Status, nodes, shards int) bool {
	if st.Health != "ok" || st.Leader == nil || len(st.Nodes) != nodes || len(st.Shards) != shards {
		return false
	}
	for _, n := range st.Nodes {
		if !n.Voter || !n.Alive {
			return false
		}
	}
	for _, s := range st.Shards {
		if s.State != "ready" {
			return false
		}
	}
	return true
}

// owned lists the shards of a node.
func owned(st *admin.Status, id string) []int {
	var out []int
	for _, s := range st.Shards {
		if s.Owner == id {
			out = append(out, s.ID)
		}
	}
	return out
}

// even says whether every node has a shard.
func even(st *admin.Status) bool {
	return !slices.ContainsFunc(st.Nodes, func(n admin.Node) bool { return len(owned(st, n.ID)) == 0 })
}

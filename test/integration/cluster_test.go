//go:build unix

package integration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/internal/testproc"
)

// cluster is a simulated Discord and the nodes that were started against it.
// Its verbs fail the test at the first thing that can't be done.
type cluster struct {
	t     *testing.T
	sim   *sim.Server
	dir   string
	bin   string
	token string
	nodes map[string]*member
	http  http.Client
	// admin is the token that requests and commands show, "" for none.
	admin string
	// config is the nodes' configuration file, with all that is said of bots; ""
	// for flags.
	config string
}

// member is one node: its addresses and directory outlive its processes.
type member struct {
	id, cluster, http, dir, log string
	args                        []string
	proc                        *testproc.Proc
}

// simOptions are a Discord that limits nothing, with a guild or more a shard.
func simOptions(shards int) sim.Options {
	return sim.Options{
		Shards: shards, MaxConcurrency: shards, Guilds: 4 * shards, ReplayBuffer: 3000,
		GlobalLimit: -1, NoRouteLimits: true, CommandLimit: -1,
	}
}

// newCluster starts a simulated Discord and no node yet.
func newCluster(t *testing.T, o sim.Options) *cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("real processes take their time")
	}
	// The folder comes first: it is to outlive the processes.
	c := &cluster{t: t, dir: t.TempDir(), bin: program(t, "./cmd/botnode"), nodes: map[string]*member{}}
	c.http.Transport = &http.Transport{DisableKeepAlives: true}
	c.http.Timeout = 30 * time.Second
	c.sim = sim.New(o)
	if err := c.sim.Start(); err != nil {
		t.Fatal(err)
	}
	c.token = c.sim.Token()
	t.Cleanup(c.close)
	return c
}

// close ends every process of the cluster, whatever state it is in, and shows
// the logs if the test has failed.
func (c *cluster) close() {
	for _, n := range c.nodes {
		if n.proc != nil {
			n.proc.Close()
		}
	}
	c.sim.Close()
	if c.t.Failed() {
		c.dump()
	}
}

// dump shows the end of every log, and keeps the whole where BOTNODE_LOGS says.
func (c *cluster) dump() {
	c.t.Logf("ledger: %+v", c.brief())
	for _, id := range slices.Sorted(maps.Keys(c.nodes)) {
		b, _ := os.ReadFile(c.nodes[id].log)
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		c.t.Logf("the end of %s's log:\n%s", id, strings.Join(lines[max(0, len(lines)-40):], "\n"))
		if dir := os.Getenv("BOTNODE_LOGS"); dir != "" {
			dir = filepath.Join(dir, c.t.Name())
			_ = os.MkdirAll(dir, 0o755)
			_ = os.WriteFile(filepath.Join(dir, id+".log"), b, 0o600)
		}
	}
}

// New names a node without starting it. args are added to its `start`.
func (c *cluster) New(id string, args ...string) *member {
	c.t.Helper()
	n := &member{id: id, dir: filepath.Join(c.dir, id), args: args}
	n.log = n.dir + ".log"
	for _, addr := range []*string{&n.cluster, &n.http} {
		var err error
		if *addr, err = programs.ports.Addr(); err != nil {
			c.t.Fatal(err)
		}
	}
	c.nodes[id] = n
	return n
}

// Launch starts a node's process and returns at once.
func (c *cluster) Launch(n *member, bin string) {
	c.t.Helper()
	args := append([]string{
		"start", "--id", n.id, "--data-dir", n.dir, "--cluster-addr", n.cluster, "--http-addr", n.http,
		"--log-format", "json",
	}, n.args...)
	if c.config == "" {
		args = append(args, "--discord-api", c.sim.APIURL())
	} else {
		args = append(args, "--config", c.config)
	}
	p, err := testproc.Start(testproc.Options{
		Path: bin, Args: args, Env: []string{"BOTNODE_TOKEN=" + c.token}, Log: n.log,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	n.proc = p
}

// Start starts a new node with the built-in ping bot and waits until it serves.
func (c *cluster) Start(id string, args ...string) *member {
	c.t.Helper()
	n := c.New(id, append([]string{"--builtin", "ping"}, args...)...)
	c.Launch(n, c.bin)
	c.WaitServing(id)
	return n
}

// Three starts three nodes and joins two of them to the first, as the guide says.
func (c *cluster) Three(args ...string) {
	c.t.Helper()
	c.Trio(args...)
	c.WaitReady()
}

// Trio is Three without regard to who has how many shards.
func (c *cluster) Trio(args ...string) {
	c.t.Helper()
	for _, id := range []string{"joe", "mike", "robert"} {
		c.Start(id, args...)
	}
	c.Join("mike", "joe")
	c.Join("robert", "joe")
	c.WaitServed()
}

// Join runs `botnode join` on a node.
func (c *cluster) Join(id, peer string) {
	c.t.Helper()
	c.OK(id, "join", c.nodes[peer].cluster)
}

// Kill9 kills a node's process as kill -9 does.
func (c *cluster) Kill9(id string) {
	c.t.Helper()
	if err := c.nodes[id].proc.Kill(); err != nil {
		c.t.Fatal(err)
	}
}

// Stop freezes a node's process; Cont lets it go on.
func (c *cluster) Stop(id string) { c.signal(id, syscall.SIGSTOP) }

// Cont lets a stopped process go on.
func (c *cluster) Cont(id string) { c.signal(id, syscall.SIGCONT) }

func (c *cluster) signal(id string, sig syscall.Signal) {
	c.t.Helper()
	if err := c.nodes[id].proc.Signal(sig); err != nil {
		c.t.Fatalf("%v to %s: %v", sig, id, err)
	}
}

// Term ends a node with SIGTERM and returns its exit code.
func (c *cluster) Term(id string) int {
	c.t.Helper()
	c.signal(id, syscall.SIGTERM)
	return c.WaitExit(id, 30*time.Second)
}

// WaitExit waits until a node's process has ended and returns its exit code.
func (c *cluster) WaitExit(id string, limit time.Duration) int {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	code, err := c.nodes[id].proc.Wait(ctx)
	if err != nil {
		c.t.Fatalf("%s: %v", id, err)
	}
	return code
}

// Restart starts a node again with its directory and addresses.
func (c *cluster) Restart(id string) {
	c.t.Helper()
	c.Launch(c.nodes[id], c.nodes[id].proc.Path())
	c.WaitServing(id)
}

// alive returns the nodes whose processes run, sorted.
func (c *cluster) alive() []string {
	var ids []string
	for id, n := range c.nodes {
		if n.proc != nil && n.proc.Alive() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// CLI runs a client command of botnode against a node.
func (c *cluster) CLI(id string, args ...string) testproc.Result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	res, err := testproc.Run(ctx, testproc.Options{
		Path: c.bin, Args: args, Env: []string{"BOTNODE_HTTP=http://" + c.nodes[id].http, "BOTNODE_ADMIN_TOKEN=" + c.admin},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return res
}

// OK runs a client command that must succeed, and returns what it wrote.
func (c *cluster) OK(id string, args ...string) string {
	c.t.Helper()
	res := c.CLI(id, args...)
	if res.Code != 0 {
		c.t.Fatalf("botnode %s at %s: exit code %d\n%s%s", strings.Join(args, " "), id, res.Code, res.Stdout, res.Stderr)
	}
	return res.Stdout
}

// errNotYet is what poll's conditions return without a better reason.
var errNotYet = errors.New("not yet")

// poll tries a condition until it returns nil or the time is up.
func (c *cluster) poll(what string, limit time.Duration, cond func() error) {
	c.t.Helper()
	testproc.Poll(c.t, what, limit, 20*time.Millisecond, cond)
}

// yes makes a condition for poll out of a question.
func yes(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%w: %s", errNotYet, fmt.Sprintf(format, args...))
}

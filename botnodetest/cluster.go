package botnodetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/botnode/botnode"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/node/lab"
)

// Cluster is a bot on its nodes, and the Discord that they are connected to. Its
// methods are for the goroutine of the test.
type Cluster struct {
	t    testing.TB
	o    options
	lab  *lab.Lab
	logs *logbook

	mu       sync.Mutex // guards what follows
	taken    map[int]bool
	sent     []string // what was sent, for the report
	reported bool
	failed   []string // what nodes couldn't survive
	dead     int      // dead letters that the test knows of
}

// Start starts a cluster and waits until its bot is connected and has handled
// what Discord sends at first. bot makes a node's own instance of the bot; it is
// called for each node, and again for each Restart. The cluster ends with the
// test.
func Start(t testing.TB, bot func() *botnode.Bot, opts ...Option) *Cluster {
	t.Helper()
	c := &Cluster{t: t, o: collect(opts), logs: &logbook{}, taken: make(map[int]bool)}
	o := lab.Options{
		Discord: c.o.world(), Version: botnode.Version, Logger: c.logs.logger, Fatal: c.fatal,
		Program: func(string) node.Program {
			p := botnode.Program(bot())
			return p.Program
		},
	}
	if c.o.disk {
		o.Dir = t.TempDir()
	}
	var err error
	if c.lab, err = lab.New(o); err != nil {
		t.Fatalf("botnodetest: the simulated Discord doesn't start: %v", err)
	}
	t.Cleanup(c.end)
	ctx, cancel := c.deadline()
	defer cancel()
	for i := range c.o.nodes {
		id := fmt.Sprintf("node%d", i+1)
		if err := c.lab.Add(ctx, id); err != nil {
			c.fail("%s doesn't start: %v", id, err)
		}
	}
	c.Settle()
	return c
}

// end stops everything, and shows the state of a test that has failed.
func (c *Cluster) end() {
	c.t.Helper()
	c.mu.Lock()
	shown := c.reported
	c.mu.Unlock()
	if c.t.Failed() && !shown {
		c.t.Log(c.report())
	}
	if letters := c.deadLetters(); !c.t.Failed() && len(letters) > c.dead {
		c.t.Errorf("botnodetest: handlers gave up on events: %s", strings.Join(letters[c.dead:], "; "))
	}
	if err := c.lab.Close(); err != nil {
		c.t.Errorf("botnodetest: stopping: %v", err)
	}
	for _, why := range c.failed { // nobody else is left
		c.t.Error(why)
	}
}

// fatal notes what a node can't survive; it isn't on the test's goroutine.
func (c *Cluster) fatal(id string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = append(c.failed, fmt.Sprintf("botnodetest: %s can't go on: %v", id, err))
}

func (c *Cluster) deadline() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), c.o.timeout)
}

// fail ends the test with a description of the cluster.
func (c *Cluster) fail(format string, args ...any) {
	c.t.Helper()
	c.mu.Lock()
	c.reported = true
	c.mu.Unlock()
	c.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), c.report())
}

// Discord returns the simulated Discord: what it has seen is in its Ledger, and
// Inject makes things go wrong.
func (c *Cluster) Discord() *sim.Server { return c.lab.Discord() }

// Nodes returns the names of all nodes, dead or alive.
func (c *Cluster) Nodes() []string { return c.lab.Nodes() }

// Leader returns the name of the node that leads, once there is one.
func (c *Cluster) Leader() string {
	c.t.Helper()
	ctx, cancel := c.deadline()
	defer cancel()
	id, err := c.lab.WaitLeader(ctx)
	if err != nil {
		c.fail("waiting for a leader: %v", err)
	}
	return id
}

// Owner returns the name of the node that owns a shard, once every shard is
// connected.
func (c *Cluster) Owner(shard int) string {
	c.t.Helper()
	ctx, cancel := c.deadline()
	defer cancel()
	err := c.lab.WaitServing(ctx)
	id := ""
	if err == nil {
		id, err = c.lab.Owner(shard)
	}
	if err != nil || id == "" {
		c.fail("waiting for the owner of shard %d: %v", shard, err)
	}
	return id
}

// Kill ends a node at once, as kill -9 does: it hands nothing over, and nothing
// that it does from here on reaches anybody.
func (c *Cluster) Kill(id string) {
	c.t.Helper()
	if !c.lab.Kill(id) {
		c.fail("Kill: no node %q is up", id)
	}
}

// KillLeader kills the node that leads and returns its name.
func (c *Cluster) KillLeader() string {
	c.t.Helper()
	id := c.Leader()
	c.Kill(id)
	return id
}

// Stop stops a node in order, as SIGTERM does: its shards and its leadership are
// handed over first.
func (c *Cluster) Stop(id string) {
	c.t.Helper()
	ctx, cancel := c.deadline()
	defer cancel()
	if err := c.lab.Stop(ctx, id); err != nil {
		c.fail("stopping %s: %v", id, err)
	}
}

// Restart starts a node again that was killed or stopped, on what it had stored,
// and waits until it has caught up with the others. Without a majority of the
// nodes up it doesn't wait.
func (c *Cluster) Restart(id string) {
	c.t.Helper()
	ctx, cancel := c.deadline()
	defer cancel()
	if err := c.lab.Restart(ctx, id); err != nil {
		c.fail("starting %s again: %v", id, err)
	}
}

// MoveShard moves a shard to another node, as an operator or a drain does, and
// waits until it is connected there.
func (c *Cluster) MoveShard(shard int, to string) {
	c.t.Helper()
	ctx, cancel := c.deadline()
	defer cancel()
	c.Leader()
	if err := c.lab.Move(ctx, shard, to); err != nil {
		c.fail("moving shard %d to %s: %v", shard, to, err)
	}
}

// Settle waits until every shard is connected and every event that Discord has
// sent has been handled, with what the handlers wrote committed. It fails if a
// handler has given up on an event, after its last attempt, and the test has not
// asked DeadLetters.
func (c *Cluster) Settle() {
	c.t.Helper()
	c.settle()
	if letters := c.deadLetters(); len(letters) > c.dead {
		c.fail("handlers gave up on events: %s", strings.Join(letters[c.dead:], "; "))
	}
}

func (c *Cluster) settle() {
	c.t.Helper()
	ctx, cancel := c.deadline()
	defer cancel()
	if err := c.lab.WaitSettled(ctx); err != nil {
		c.fail("waiting for the bot to have handled everything: %v", err)
	}
}

// DeadLetters waits like Settle and returns the events that handlers have given
// up on, with their errors. It is for tests that want a handler to fail.
func (c *Cluster) DeadLetters() []string {
	c.t.Helper()
	c.settle()
	letters := c.deadLetters()
	c.dead = len(letters)
	return letters
}

func (c *Cluster) deadLetters() (letters []string) {
	_ = c.lab.View(func(b *fsm.Bot) { // without a node there is nothing to tell
		for _, d := range b.DeadLetters() {
			letters = append(letters, d.Entry.Type+": "+d.Err)
		}
	})
	return letters
}

// Wait waits until cond returns true. what says what is waited for.
func (c *Cluster) Wait(what string, cond func() bool) {
	c.t.Helper()
	for end := time.Now().Add(c.o.timeout); !cond(); {
		if time.Now().After(end) {
			c.fail("waiting until %s: not within %v", what, c.o.timeout)
		}
		<-time.After(time.Millisecond)
	}
}

// KV returns what the bot's replicated store has under a key, "" if there is
// nothing, once everything that was sent before has been handled.
func (c *Cluster) KV(key string) string {
	c.t.Helper()
	c.Settle()
	var item fsm.KVItem
	if err := c.lab.View(func(b *fsm.Bot) { item, _ = b.KVGet(key) }); err != nil {
		c.fail("reading key %q: %v", key, err)
	}
	return string(item.Value)
}

// PutKV writes a key of the bot's replicated store, as `botnode kv put` does.
func (c *Cluster) PutKV(key, value string) {
	c.t.Helper()
	ctx, cancel := c.deadline()
	defer cancel()
	if err := c.lab.PutKV(ctx, key, []byte(value)); err != nil {
		c.fail("writing key %q: %v", key, err)
	}
}

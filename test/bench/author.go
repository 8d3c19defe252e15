package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// benchBot is the program of test/bench/bot with a number of handlers.
func benchBot(handlers int, work string) program {
	return program{
		pkg: "./test/bench/bot", env: []string{"BENCH_HANDLERS=" + strconv.Itoa(handlers), "BENCH_WORK=" + work},
	}
}

// spent is what a number of events cost a cluster.
type spent struct {
	events int
	took   time.Duration
	cpu    time.Duration // of the nodes together
}

func (s spent) rate() float64 { return float64(s.events) / s.took.Seconds() }

// each is the CPU of an event in microseconds.
func (s spent) each() float64 { return float64(s.cpu.Microseconds()) / float64(s.events) }

// spend sends events of a number of guilds through a cluster that runs p, after
// half as many that warm it up.
func spend(ctx context.Context, p program, guilds, events int) (spent, error) {
	o := firehoseOptions()
	o.Guilds = guilds
	c, err := newCluster(ctx, p, o)
	if err != nil {
		return spent{}, err
	}
	defer c.close()
	if err := c.flood(ctx, events/2); err != nil {
		return spent{}, err
	}
	cpu, begun := c.cpu(), time.Now()
	err = c.flood(ctx, events)
	return spent{events: events, took: time.Since(begun), cpu: c.cpu() - cpu}, err
}

// handlers measures what it costs to run a program's handlers, which get events
// in disgo's types and do nothing.
func handlers(ctx context.Context, t *table, events int) error {
	const many = 10
	one, err := spend(ctx, benchBot(1, "none"), fewGuilds, events)
	if err != nil {
		return err
	}
	t.add("events/s, 1 handler of a disgo type", "", "%.0f", one.rate())
	t.add("CPU an event, three nodes together, 1 handler of a disgo type", "", "%.1f us", one.each())
	ten, err := spend(ctx, benchBot(many, "none"), fewGuilds, events/4)
	if err != nil {
		return err
	}
	t.add("events/s, 10 handlers of a disgo type", "", "%.0f (%.0f turns/s)", ten.rate(), many*ten.rate())
	t.add("CPU an event, three nodes together, 10 handlers of a disgo type", "", "%.1f us", ten.each())
	t.add("CPU a further handler of the event, three nodes together", "", "%.1f us", (ten.each()-one.each())/(many-1))
	return nil
}

// readsEach is how many keys a handler of the bench bot's work "read" reads.
const readsEach = 100

// Guilds of the runs. The events of a guild come in order, so that a write or a
// read of one is committed before the next is handled: what a store takes a
// second is a matter of how many guilds are busy.
const (
	fewGuilds  = 60
	manyGuilds = 1000
)

// kv measures the store as handlers use it: a write commits with the handler's
// acknowledgement, and a read is one that the commit depends on.
func kv(ctx context.Context, t *table, events int) error {
	for _, guilds := range []int{fewGuilds, manyGuilds} {
		write, err := spend(ctx, benchBot(1, "write"), guilds, events/4)
		if err != nil {
			return err
		}
		t.add(fmt.Sprintf("store writes/s from handlers of %d guilds, 100 bytes, one an event", guilds), "", "%.0f", write.rate())
		t.add("CPU an event with a write, three nodes together", "", "%.1f us", write.each())
	}
	read, err := spend(ctx, benchBot(1, "read"), manyGuilds, events/10)
	if err != nil {
		return err
	}
	t.add(fmt.Sprintf("store reads/s from handlers of %d guilds, 100 an event", manyGuilds), "", "%.0f", readsEach*read.rate())
	t.add("CPU a read with its check at the commit, three nodes together", "", "%.2f us", read.each()/readsEach)
	return nil
}

// smallGuild is the largest guild of which Discord sends all members by itself
// (events/gateway.mdx, large_threshold).
const smallGuild = 50

// memory measures a node without and with members in its cache. It is one node:
// each node of a cluster has the same.
func memory(ctx context.Context, t *table, bin string, members int) error {
	p := stock(bin, "none")
	p.nodes = 1
	idle, err := newCluster(ctx, p, sim.Options{})
	if err != nil {
		return err
	}
	t.add("resident memory of a node with two guilds", "<= 50 MB", "%.0f MB", float64(idle.nodes[0].rss())/1e6)
	idle.close()

	const shards = 8
	full, err := newCluster(ctx, p, sim.Options{
		Guilds: members / smallGuild, Members: smallGuild, Channels: 1, Presences: 1, Shards: shards, MaxConcurrency: shards,
		MaxGuildsPerShard: members, KeepSent: 1, GlobalLimit: -1,
	})
	if err != nil {
		return err
	}
	defer full.close()
	begun := time.Now()
	if err := full.until(ctx, 4*time.Minute, full.caughtUp); err != nil {
		return fmt.Errorf("members not cached in time: %w", err)
	}
	took := time.Since(begun)
	node := full.nodes[0]
	if got := node.cached("members"); got < members-members/100 {
		return fmt.Errorf("%d members are cached, want %d", got, members)
	}
	t.add(fmt.Sprintf("resident memory of a node with %d members in %d guilds", members, members/smallGuild), "",
		"%.0f MB, at most %.0f MB while they came in (%.0f s)", float64(node.settled(ctx))/1e6, float64(node.peak())/1e6, took.Seconds())
	return nil
}

// cached returns how many objects of a kind a node's metrics say it caches.
func (p *proc) cached(kind string) int {
	res, err := http.Get("http://" + p.http + "/metrics")
	if err != nil {
		return 0
	}
	defer func() { _ = res.Body.Close() }()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "} ")
		if strings.HasPrefix(name, "botnode_cache_objects{") && strings.Contains(name, `kind="`+kind+`"`) {
			n, _ := strconv.ParseFloat(value, 64)
			return int(n)
		}
	}
	return 0
}

// caughtUp reports whether every guild has come, and the first node has applied
// all that was sent.
func (c *cluster) caughtUp() bool {
	seq := make(map[int]int64)
	for _, sh := range c.status(c.nodes[0]).Shards {
		seq[sh.ID] = sh.Seq
	}
	live := c.sim.LiveSessions()
	for _, s := range live {
		if s.Pending > 0 || seq[int(s.Shard[0])] < s.Seq {
			return false
		}
	}
	return len(live) == len(seq) && len(live) > 0
}

// settled returns a node's resident memory once it no longer falls: the runtime
// gives memory back little by little.
func (p *proc) settled(ctx context.Context) int64 {
	for low, same := p.rss(), 0; ; {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return low
		}
		if now := p.rss(); now < low-low/100 {
			low, same = now, 0
		} else if same++; same == 5 {
			return low
		}
	}
}

// peak returns the most resident memory that a node has had (proc(5), VmHWM).
func (p *proc) peak() int64 {
	f, err := os.Open("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(v, "kB")), 10, 64)
			return kb * 1024
		}
	}
	return 0
}

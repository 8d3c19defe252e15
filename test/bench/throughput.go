package main

import (
	"context"
	"fmt"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// throughput sends events as fast as the sockets take them, without and with a
// handler that looks at each.
func throughput(ctx context.Context, t *table, bin, only string, events int) error {
	for _, mode := range []struct{ builtin, name string }{{"none", "no handler"}, {"ping", "one handler an event"}} {
		if only != "" && only != mode.builtin {
			continue
		}
		if err := firehose(ctx, t, bin, mode.builtin, mode.name, events); err != nil {
			return err
		}
	}
	return nil
}

// firehoseOptions are the simulated Discord of every throughput run.
func firehoseOptions() sim.Options {
	return sim.Options{
		Shards: 3, MaxConcurrency: 3, Guilds: 60, GlobalLimit: -1, NoRouteLimits: true,
		PadMessages: 1100, KeepSent: 1, ReplayBuffer: -1,
	}
}

func firehose(ctx context.Context, t *table, bin, builtin, name string, events int) error {
	c, err := newCluster(ctx, stock(bin, builtin), firehoseOptions())
	if err != nil {
		return err
	}
	defer c.close()
	// A first, shorter run fills caches and lets the heaps grow to their size:
	// pages that a process touches for the first time cost more than the events.
	if err := c.flood(ctx, events/2); err != nil {
		return err
	}
	cpu, disk, begun := c.cpu(), c.nodes[1].written(), time.Now()
	if err := c.flood(ctx, events); err != nil {
		return err
	}
	took, used := time.Since(begun), c.cpu()-cpu
	t.add("events/s through three nodes, "+name, ">= 25,000", "%.0f (%d events of 1.1 KB in %.1f s, simulator on the same cores)",
		float64(events)/took.Seconds(), events, took.Seconds())
	t.add("CPU an event, three nodes together, "+name, "<= 24 us", "%.1f us", float64(used.Microseconds())/float64(events))
	t.add("bytes to disk an event and node, "+name, "", "%.0f", float64(c.nodes[1].written()-disk)/float64(events))
	for _, p := range c.nodes[:1] {
		t.add("resident memory of a node after it, "+name, "", "%.0f MB", float64(p.rss())/1e6)
	}
	return nil
}

// flood sends n events and waits until all are applied on the first node and
// acknowledged.
func (c *cluster) flood(ctx context.Context, n int) error {
	if err := c.sim.RunLoad(ctx, sim.Load{Kind: "firehose", N: n}); err != nil {
		return err
	}
	live := c.sim.LiveSessions()
	err := c.until(ctx, 2*time.Minute, func() bool {
		st := c.status(c.nodes[0])
		if len(st.Bots) == 0 || st.Bots[0].Unacked > 0 {
			return false
		}
		seq := make(map[int]int64)
		for _, sh := range st.Shards {
			seq[sh.ID] = sh.Seq
		}
		for _, s := range live {
			if seq[int(s.Shard[0])] < s.Seq {
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("events not applied in time: %w", err)
	}
	return nil
}

// pings measures ping to answer with the shard on a follower, and on the leader.
func pings(ctx context.Context, t *table, bin string) error {
	for where, target := range map[string]string{"follower": "p50 <= 5 ms", "leader": ""} {
		if err := pingsFrom(ctx, t, bin, where, target); err != nil {
			return err
		}
	}
	return nil
}

func pingsFrom(ctx context.Context, t *table, bin, where, target string) error {
	c, err := newCluster(ctx, stock(bin, "ping"), sim.Options{
		Shards: 1, Guilds: 20, GlobalLimit: -1, NoRouteLimits: true,
		Switches: sim.Switches{NoEcho: true},
	})
	if err != nil {
		return err
	}
	defer c.close()
	to := c.status(c.nodes[0]).Leader.ID
	if where == "follower" {
		for _, p := range c.nodes {
			if p.id != to {
				to = p.id
				break
			}
		}
	}
	if err := c.post(c.nodes[0], "/v1/shards/0/move", `{"to":"`+to+`"}`); err != nil {
		return err
	}
	cpu := c.cpu()
	if err := c.sim.RunLoad(ctx, sim.Load{Kind: "ping", Rate: 200, Seconds: 10}); err != nil {
		return err
	}
	if err := c.sim.Ledger().WaitAnswered(ctx); err != nil {
		return err
	}
	cpu = c.cpu() - cpu
	s := c.sim.Ledger().Summary()
	t.add("ping to answer at 200/s, owner on the/a "+where, target, "p50 %.1f ms, p99 %.1f ms, max %.1f ms (%d pings)",
		s.P50MS, s.P99MS, s.MaxMS, s.AnsweredOnce)
	t.add("CPU a ping, three nodes together, owner on the/a "+where, "", "%.0f us", float64(cpu.Microseconds())/float64(s.AnsweredOnce))
	return nil
}

// idle measures the CPU of three nodes that have nothing to do.
func idle(ctx context.Context, t *table, bin string) error {
	c, err := newCluster(ctx, stock(bin, "ping"), sim.Options{Shards: 3, MaxConcurrency: 3})
	if err != nil {
		return err
	}
	defer c.close()
	before, begun := c.cpu(), time.Now()
	select {
	case <-time.After(10 * time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	t.add("idle CPU, three nodes together", "", "%.1f %% of a core", 100*(c.cpu()-before).Seconds()/time.Since(begun).Seconds())
	t.add("resident memory of an idle node", "<= 50 MB", "%.0f MB", float64(c.nodes[0].rss())/1e6)
	return nil
}

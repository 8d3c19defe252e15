package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// discordJS is the bot of the client tests, relative to the repository's root.
const discordJS = "test/clients/discordjs"

// foreign measures one unreplicated process of discord.js under the load of
// the cluster run: a shared machine's microseconds change from hour to hour,
// but not the ratio of two figures of the same minutes.
func foreign(ctx context.Context, t *table, events int) error {
	if _, err := exec.LookPath("npm"); err != nil {
		fmt.Fprintln(os.Stderr, "  no Node.js here, skipped")
		return nil
	}
	install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
	install.Dir = discordJS
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w: %s", err, out)
	}
	s := sim.New(firehoseOptions())
	if err := s.Start(); err != nil {
		return err
	}
	defer s.Close()
	cmd := exec.CommandContext(ctx, "node", "bot.js")
	cmd.Dir, cmd.Stderr = discordJS, os.Stderr
	cmd.Env = append(os.Environ(), "API="+strings.TrimSuffix(s.APIURL(), "/v10"), "TOKEN="+s.Token(), "SHARD_TOTAL=auto")
	if err := cmd.Start(); err != nil {
		return err
	}
	c := &cluster{sim: s, nodes: []*proc{{id: "discord.js", cmd: cmd}}}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if err := c.until(ctx, time.Minute, func() bool { return len(s.LiveSessions()) == 3 }); err != nil {
		return fmt.Errorf("no three sessions: %w", err)
	}
	// As for the cluster: the first, shorter run warms the process up.
	if err := c.floodClient(ctx, events/2); err != nil {
		return err
	}
	cpu, begun := c.cpu(), time.Now()
	if err := c.floodClient(ctx, events); err != nil {
		return err
	}
	took, used := time.Since(begun), c.cpu()-cpu
	t.add("events/s, one unreplicated process of discord.js", "", "%.0f", float64(events)/took.Seconds())
	t.add("CPU an event, one unreplicated process of discord.js", "", "%.1f us", float64(used.Microseconds())/float64(events))
	return nil
}

// floodClient sends n events, and waits until pings behind them are answered:
// a client takes the events of a session in order.
func (c *cluster) floodClient(ctx context.Context, n int) error {
	if err := c.sim.RunLoad(ctx, sim.Load{Kind: "firehose", N: n}); err != nil {
		return err
	}
	if err := c.sim.RunLoad(ctx, sim.Load{Kind: "ping", Rate: 1000, N: 60}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return c.sim.Ledger().WaitAnswered(ctx)
}

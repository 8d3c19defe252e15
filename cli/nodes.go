package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
)

func (a *app) nodeCommand() *cobra.Command {
	list := query(a, &cobra.Command{Use: "list", Short: "List the nodes", Args: exactly()},
		func(ctx context.Context, c *admin.Client, _ []string) ([]admin.Node, error) { return c.Nodes(ctx) },
		func(nodes []admin.Node) { a.printf("%s", a.nodeList(nodes)) })
	show := query(a, &cobra.Command{Use: "show ID", Short: "Show a node", Args: exactly("ID")},
		func(ctx context.Context, c *admin.Client, args []string) (admin.Node, error) {
			return c.Node(ctx, args[0])
		},
		a.showNode)
	remove := a.act(&cobra.Command{Use: "remove ID", Short: "Remove a node that is gone from the cluster", Args: exactly("ID")}, "%s is removed",
		func(ctx context.Context, c *admin.Client, args []string) error { return c.RemoveNode(ctx, args[0]) })
	promote := a.act(&cobra.Command{Use: "promote ID", Short: "Make a node a voter", Args: exactly("ID")}, "%s is a voter",
		func(ctx context.Context, c *admin.Client, args []string) error { return c.SetVoter(ctx, args[0], true) })
	demote := a.act(&cobra.Command{Use: "demote ID", Short: "Make a voter a non-voter", Args: exactly("ID")}, "%s is a non-voter",
		func(ctx context.Context, c *admin.Client, args []string) error {
			return c.SetVoter(ctx, args[0], false)
		})
	return a.group("node", "The cluster's nodes", []string{"nodes", "member", "members"},
		list, show, a.drainCommand("drain", true), a.drainCommand("undrain", false), remove, promote, demote)
}

func (a *app) drainCommand(verb string, on bool) *cobra.Command {
	short, done := "Let a node have shards again", "%s may have shards again"
	if on {
		short, done = "Move all shards off a node, and keep them off", "%s is draining: its shards move to the other nodes"
	}
	return a.act(&cobra.Command{Use: verb + " ID", Short: short, Args: exactly("ID")}, done,
		func(ctx context.Context, c *admin.Client, args []string) error { return c.Drain(ctx, args[0], on) })
}

func (a *app) nodeList(nodes []admin.Node) *table {
	t := newTable(a.style, "id", "state", "status", "voter", "cluster", "http", ">shards", "version")
	for _, n := range nodes {
		status := a.style.grade(n.Status)
		if n.Draining {
			status += a.style.yellow(" draining")
		}
		t.add(n.ID, a.style.grade(n.State), status, yesNo(n.Voter), orDash(n.ClusterAddr), orDash(n.HTTPAddr), fmt.Sprint(n.Shards), orDash(n.Version))
	}
	return t
}

func (a *app) showNode(n admin.Node) {
	a.facts([][2]string{
		{"id", n.ID}, {"state", a.style.grade(n.State)}, {"status", a.style.grade(n.Status)}, {"voter", yesNo(n.Voter)},
		{"fresh", yesNo(n.Fresh)}, {"draining", yesNo(n.Draining)}, {"cluster", orDash(n.ClusterAddr)}, {"http", orDash(n.HTTPAddr)},
		{"proxy", proxyText(n)},
		{"applied", fmt.Sprint(n.AppliedIndex)}, {"shards", fmt.Sprint(n.Shards)},
		{"weight", fmt.Sprint(n.Weight)}, {"max shards", limitText(n.MaxShards)}, {"events/s", fmt.Sprintf("%.1f", n.EventsPerS)},
		{"memory", bytesText(n.MemoryBytes)}, {"up", durationText(time.Duration(n.UptimeS) * time.Second)}, {"version", orDash(n.Version)},
	})
}

// proxyText shows where a node's proxy is, and how many clients it has.
func proxyText(n admin.Node) string {
	if n.ProxyAddr == "" {
		return "-"
	}
	return n.ProxyAddr + ", " + plural(n.Clients, "client")
}

// facts prints names and values in two columns.
func (a *app) facts(rows [][2]string) {
	wide := 0
	for _, r := range rows {
		wide = max(wide, len(r[0]))
	}
	for _, r := range rows {
		a.printf("%s  %s\n", a.style.dim(fmt.Sprintf("%-*s", wide, r[0])), r[1])
	}
}

// limitText shows a bound, of which 0 is none.
func limitText(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

package cli

import (
	"context"
	"errors"
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
	removal := &cobra.Command{Use: "remove ID", Short: "Remove a node that is gone from the cluster", Args: exactly("ID")}
	force := removal.Flags().Bool("force", false, "remove it even if it is up")
	remove := a.act(removal, "%s is removed",
		func(ctx context.Context, c *admin.Client, args []string) error {
			return c.RemoveNode(ctx, args[0], *force)
		})
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
	if !on {
		return a.act(&cobra.Command{Use: verb + " ID", Short: "Let a node have shards again", Args: exactly("ID")}, "%s may have shards again",
			func(ctx context.Context, c *admin.Client, args []string) error { return c.Drain(ctx, args[0], on) })
	}
	c := &cobra.Command{
		Use: verb + " ID", Short: "Move all shards off a node, and keep them off", Args: exactly("ID"),
		Long: "Move all shards off a node, and wait until it has none. It gets none until `botnode undrain ID`. It exits with 1 if shards are still there when the wait is over, since no other node may have them, say.",
	}
	wait := c.Flags().Duration("timeout", 30*time.Second, "how long to wait until the node has no shards; 0 not to wait")
	return a.remote(c, 0, func(ctx context.Context, client *admin.Client, args []string) error {
		begin, cancel := context.WithTimeout(ctx, commandTimeout)
		defer cancel()
		if err := client.Drain(begin, args[0], on); err != nil {
			return err
		}
		if *wait <= 0 {
			a.printf("%s is draining: its shards move to the other nodes\n", args[0])
			return nil
		}
		if err := a.emptied(ctx, client, args[0], *wait); err != nil {
			return err
		}
		a.printf("%s has no shards, and gets none\n", args[0])
		return nil
	})
}

// emptied waits until a node has no shards.
func (a *app) emptied(ctx context.Context, client *admin.Client, id string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := waitFor(ctx, client, func(st *admin.Status) string {
		for _, n := range st.Nodes {
			if n.ID == id && n.Shards > 0 {
				return fmt.Sprintf("%s is marked, but still has %s", id, plural(n.Shards, "shard"))
			}
		}
		return ""
	})
	if errors.Is(err, admin.ErrNotHealthy) {
		err = admin.WithHint(err, "no other node may have them: `botnode node list` shows which are up, and `botnode shard list` where shards are")
	}
	return err
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

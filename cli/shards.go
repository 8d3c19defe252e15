package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
)

func (a *app) shardCommand() *cobra.Command {
	list := query(a, &cobra.Command{Use: "list", Short: "List the shards", Args: exactly()},
		func(ctx context.Context, c *admin.Client, _ []string) ([]admin.Shard, error) { return c.Shards(ctx) },
		func(shards []admin.Shard) {
			bots := false
			for _, s := range shards {
				bots = bots || s.Bot != shards[0].Bot
			}
			a.printf("%s", shardTable(a.style, shards, bots))
		})
	show := query(a, &cobra.Command{Use: "show N", Short: "Show a shard", Args: exactly("N")},
		func(ctx context.Context, c *admin.Client, args []string) (admin.Shard, error) {
			return c.Shard(ctx, args[0])
		},
		a.showShard)
	return a.group("shard", "The bot's shards", []string{"shards"}, list, show, a.moveCommand(), a.connectCommand(), a.disconnectCommand())
}

// releaseText explains the flag of shard move and takeover.
const releaseText = "--release takes that back: the cluster places by itself again."

func (a *app) moveCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "move N --to ID", Short: "Move a shard to a node, where it stays", Args: exactly("N"),
		Long: "Move a shard to a node and keep it there (pin it), until that node's process ends, or it is drained or removed. " + releaseText,
	}
	to := c.Flags().String("to", "", "the `NODE` that gets the shard")
	release := c.Flags().Bool("release", false, "take the pin away: the cluster places the shard again")
	return a.remote(c, commandTimeout, func(ctx context.Context, client *admin.Client, args []string) error {
		if (*to == "") != *release {
			return usagef("shard move needs --to ID or --release")
		}
		begun := time.Now()
		if err := client.MoveShard(ctx, args[0], *to); err != nil {
			return err
		}
		if *release {
			a.printf("shard %s is not pinned any more\n", args[0])
			return nil
		}
		a.printf("%s has shard %s after %s\n", *to, args[0], durationText(time.Since(begun)))
		return nil
	})
}

func (a *app) showShard(s admin.Shard) {
	rows := [][2]string{
		{"bot", s.Bot}, {"shard", fmt.Sprintf("%d of %d", s.ID, s.Total)}, {"owner", orDash(s.Owner)}, {"pinned to", orDash(s.Pin)}, {"state", a.style.grade(s.State)},
		{"epoch", fmt.Sprint(s.Epoch)}, {"seq", fmt.Sprint(s.Seq)}, {"guilds", fmt.Sprint(s.Guilds)},
		{"latency", fmt.Sprintf("%.1f ms", s.LatencyMS)}, {"unacked", fmt.Sprint(s.Unacked)},
	}
	if t := s.LastTakeover; t != nil {
		rows = append(rows, [2]string{"takeover", takeoverText(t)}, [2]string{"replayed", fmt.Sprint(t.Replayed)},
			[2]string{"at", t.At.Local().Format(time.DateTime)})
	}
	a.facts(rows)
}

package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
)

// Waits for a node's answers.
const (
	readTimeout    = 20 * time.Second
	commandTimeout = 60 * time.Second
)

// client speaks to the node that --http names.
func (a *app) client() (*admin.Client, error) {
	fs := a.root.PersistentFlags()
	token, err := a.adminToken()
	if err != nil {
		return nil, err
	}
	c := &admin.Client{BaseURL: text(fs, "http"), Bot: text(fs, "bot"), Token: token}
	if ca := text(fs, "http-ca"); ca != "" {
		if c.HTTP, err = believing(ca); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// remote makes a command out of what it asks a node.
func (a *app) remote(c *cobra.Command, timeout time.Duration, run func(ctx context.Context, c *admin.Client, args []string) error) *cobra.Command {
	c.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		return run(ctx, client, args)
	}
	return c
}

// query is a command that reads and shows something, as JSON if asked.
func query[T any](a *app, c *cobra.Command, get func(context.Context, *admin.Client, []string) (T, error), show func(T)) *cobra.Command {
	asJSON := c.Flags().Bool("json", false, "print JSON")
	return a.remote(c, readTimeout, func(ctx context.Context, client *admin.Client, args []string) error {
		v, err := get(ctx, client, args)
		if err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(v)
		}
		show(v)
		return nil
	})
}

// act is a command that changes something and says that it did.
func (a *app) act(c *cobra.Command, done string, run func(context.Context, *admin.Client, []string) error) *cobra.Command {
	return a.remote(c, commandTimeout, func(ctx context.Context, client *admin.Client, args []string) error {
		if err := run(ctx, client, args); err != nil {
			return err
		}
		words := make([]any, 0, len(args))
		for _, w := range args {
			words = append(words, w)
		}
		a.printf(done+"\n", words...)
		return nil
	})
}

func (a *app) joinCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "join PEER", Short: "Make a node join the cluster of another", Args: exactly("PEER (the cluster address of the other node, HOST:PORT)"),
		Long:    "Make the node that --http names join the cluster of the node at PEER, its cluster address. It copies the state first and votes once it has caught up.",
		Example: "  botnode join 127.0.0.1:7101\n  botnode join --http http://127.0.0.1:7202 127.0.0.1:7101",
	}
	tokenFile := c.Flags().String("join-token-file", "", "`FILE` with a join token of that cluster, where its nodes have TLS between them")
	return a.remote(c, 0, func(ctx context.Context, client *admin.Client, args []string) error {
		token, err := readJoinToken(*tokenFile)
		if err != nil {
			return err
		}
		begun := time.Now()
		a.printf("joining %s\n", args[0])
		_, err = client.Join(ctx, args[0], token, func(stage string) {
			a.printf("  %-8s %s\n", durationText(time.Since(begun)), stageText(stage))
		})
		if err != nil {
			return err
		}
		a.printf("joined in %s\n", durationText(time.Since(begun)))
		return nil
	})
}

func stageText(stage string) string {
	switch stage {
	case "contacted":
		return "admitted by the leader"
	case "nonvoter":
		return "joined as non-voter"
	case "caught_up":
		return "caught up"
	case "voter":
		return "voter"
	}
	return stage
}

func (a *app) leaveCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "leave", Short: "Make a node hand everything over, leave its cluster and stop", Args: exactly(),
		Long: "Make the node that --http names hand its shards and its leadership over, leave its cluster, clear its data directory and stop.",
	}
	return a.act(c, "left the cluster", func(ctx context.Context, client *admin.Client, _ []string) error { return client.Leave(ctx) })
}

func (a *app) leaderCommand() *cobra.Command {
	transfer := &cobra.Command{Use: "transfer", Short: "Move leadership to another node", Args: exactly()}
	to := transfer.Flags().String("to", "", "the `NODE` to move it to (default: the best of the others)")
	a.act(transfer, "leadership moved", func(ctx context.Context, client *admin.Client, _ []string) error {
		return client.TransferLeadership(ctx, *to)
	})
	return a.group("leader", "Leadership", nil, transfer)
}

func (a *app) takeoverCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "takeover --to ID", Short: "Move all shards of the bot to one node, where they stay", Args: exactly(),
		Long: "Move all shards of the bot to one node and keep them there (pin them), until that node's process ends, or it is drained or removed. " + releaseText,
	}
	to := c.Flags().String("to", "", "the `NODE` that gets the bot")
	release := c.Flags().Bool("release", false, "take the pins away: the cluster places the shards again")
	return a.remote(c, commandTimeout, func(ctx context.Context, client *admin.Client, _ []string) error {
		if (*to == "") != *release {
			return usagef("takeover needs --to ID or --release")
		}
		if err := client.Takeover(ctx, *to); err != nil {
			return err
		}
		if *release {
			a.printf("the shards are not pinned any more\n")
			return nil
		}
		a.printf("%s has all shards\n", *to)
		return nil
	})
}

// interrupted tells the end of a command by a person from a failure.
func interrupted(ctx context.Context, err error) bool {
	return errors.Is(err, context.Canceled) && ctx.Err() != nil
}

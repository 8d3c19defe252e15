package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
)

// maxTokenFile bounds what is read as a token.
const maxTokenFile = 4096

func (a *app) botTokenCommand() *cobra.Command {
	set := &cobra.Command{
		Use: "set", Short: "Give the cluster the bot's Discord token, encrypted", Args: exactly(),
		Long: "Read the bot's Discord token from --file, else from standard input, and put it into the replicated state, encrypted with the cluster's secret. " +
			"Every node uses it from then on, in place of its own: nodes need no token of theirs any more, and a new one is in use everywhere at once, without a restart. " +
			"The cluster has to have TLS between its nodes.",
		Example: "  botnode bot-token set --file token\n  pass show discord/bot | botnode bot-token set",
	}
	path := set.Flags().String("file", "", "`FILE` with the token (default: standard input)")
	a.remote(set, commandTimeout, func(ctx context.Context, client *admin.Client, _ []string) error {
		token, err := a.readToken(*path)
		if err != nil {
			return err
		}
		if err := client.SetBotToken(ctx, token); err != nil {
			return err
		}
		a.printf("the cluster has the token\n")
		return nil
	})
	status := query(a, &cobra.Command{Use: "status", Short: "Show whether the cluster has the bot's token", Args: exactly()},
		func(ctx context.Context, c *admin.Client, _ []string) (admin.BotToken, error) { return c.BotToken(ctx) },
		func(t admin.BotToken) {
			facts := [][2]string{{"bot", t.Bot}, {"in the cluster", yesNo(t.Sealed)}}
			if t.Sealed {
				facts = append(facts, [2]string{"revision", fmt.Sprint(t.Revision)}, [2]string{"sealed under epoch", fmt.Sprint(t.Epoch)})
			}
			facts = append(facts, [2]string{"this node uses", t.Uses})
			if t.Differs {
				facts = append(facts, [2]string{"", a.style.yellow("this node's own token is another one: take it away")})
			}
			a.facts(facts)
		})
	drop := a.act(&cobra.Command{
		Use: "drop", Short: "Take the bot's token out of the cluster", Args: exactly(),
		Long: "Take the bot's token out of the replicated state. Nodes that have one of their own use that again; the others keep their connections to Discord while these last, and have no token for new ones.",
	}, "the cluster has no token of the bot any more", func(ctx context.Context, c *admin.Client, _ []string) error {
		return c.DropBotToken(ctx)
	})
	return a.group("bot-token", "The bot's Discord token, in the cluster", nil, set, status, drop)
}

// readToken reads a token from a file, "" for standard input. It is never in an error.
func (a *app) readToken(path string) (string, error) {
	in := a.o.Stdin
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			return "", usagef("--file: %w", err)
		}
		defer func() { _ = f.Close() }() // it was only read
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxTokenFile+1))
	if err != nil {
		return "", usagef("the token can't be read: %w", err)
	}
	if len(b) > maxTokenFile {
		return "", usagef("this is too long for a token")
	}
	token, err := cleanToken(string(b))
	if err != nil {
		return "", &usageError{err}
	}
	return token, nil
}

package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
)

func (a *app) clientKeyCommand() *cobra.Command {
	list := query(a, &cobra.Command{Use: "list", Short: "List the keys of the proxy's clients", Args: exactly()},
		func(ctx context.Context, c *admin.Client, _ []string) ([]admin.ClientKey, error) {
			return c.ClientKeys(ctx)
		},
		func(keys []admin.ClientKey) {
			t := newTable(a.style, "name", "rights", ">sessions", "created")
			for _, k := range keys {
				t.add(k.Name, strings.Join(k.Rights, ","), fmt.Sprint(k.Sessions), time.UnixMilli(k.CreatedMS).Local().Format(time.DateTime))
			}
			a.printf("%s", t)
		})
	revoke := a.act(&cobra.Command{
		Use: "revoke NAME", Short: "Make a client key worthless, and end its sessions", Args: exactly("NAME"),
	}, "%s is revoked", func(ctx context.Context, c *admin.Client, args []string) error {
		return c.RevokeClientKey(ctx, args[0])
	})
	return a.group("client-key", "Keys for the proxy's clients: bots in any language", []string{"client-keys"}, a.clientKeyCreate(), list, revoke)
}

// clientKeyCreate prints the key alone on standard output, so that a script can
// take it, and what a person should know on standard error.
func (a *app) clientKeyCreate() *cobra.Command {
	c := &cobra.Command{
		Use: "create NAME", Short: "Make a client key and print it, this once", Args: exactly("NAME"),
		Long: "Make a key that a client of the proxy shows in place of the bot's token, and print it: the cluster keeps its hash alone, so it can't be shown again. " +
			"Rights: events lets a client open gateway sessions, rest lets it send any request, read only GET and HEAD.",
		Example: "  KEY=$(botnode client-key create web)\n  botnode client-key create dashboard --rights read",
	}
	rights := c.Flags().String("rights", admin.DefaultClientRights.String(), "what the key allows: events, rest, read, with commas between")
	_ = c.RegisterFlagCompletionFunc("rights", cobra.FixedCompletions([]string{"events,rest", "events,read", "rest", "read", "events"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return a.remote(c, commandTimeout, func(ctx context.Context, client *admin.Client, args []string) error {
		words := strings.Split(*rights, ",")
		for i := range words {
			words[i] = strings.TrimSpace(words[i])
		}
		k, err := client.CreateClientKey(ctx, args[0], words...)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(a.errOut, "client key %s of bot %s (%s); it is not shown again:\n", k.Name, k.Bot, strings.Join(k.Rights, ","))
		a.printf("%s\n", k.Key)
		return nil
	})
}

package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/fsm"
)

func (a *app) adminTokenCommand() *cobra.Command {
	list := query(a, &cobra.Command{Use: "list", Short: "List the admin tokens", Args: exactly()},
		func(ctx context.Context, c *admin.Client, _ []string) ([]admin.Token, error) {
			return c.AdminTokens(ctx)
		},
		func(tokens []admin.Token) {
			t := newTable(a.style, "name", "right", "created", "expires")
			for _, k := range tokens {
				expires := "never"
				if k.ExpiresMS != 0 {
					expires = time.UnixMilli(k.ExpiresMS).Local().Format(time.DateTime)
					if time.Now().UnixMilli() >= k.ExpiresMS {
						expires += " (expired)"
					}
				}
				t.add(k.Name, k.Right, time.UnixMilli(k.CreatedMS).Local().Format(time.DateTime), expires)
			}
			a.printf("%s", t)
		})
	revoke := a.act(&cobra.Command{
		Use: "revoke NAME", Short: "Make an admin token worthless", Args: exactly("NAME"),
		Long: "Make an admin token worthless. While others stay, one that has the right admin and doesn't expire has to stay, too. " +
			"Once the last one is revoked, a node that listens on loopback needs no token any more.",
	}, "%s is revoked", func(ctx context.Context, c *admin.Client, args []string) error {
		return c.RevokeAdminToken(ctx, args[0])
	})
	return a.group("admin-token", "Tokens for the admin API: who may do what", []string{"admin-tokens"}, a.adminTokenCreate(), list, revoke)
}

// adminTokenCreate prints the token alone on standard output, so that a script can
// take it, and what a person should know on standard error.
func (a *app) adminTokenCreate() *cobra.Command {
	c := &cobra.Command{
		Use: "create NAME", Short: "Make an admin token and print it, this once", Args: exactly("NAME"),
		Long: "Make a token for the admin API of all nodes, and print it: the cluster keeps its hash alone, so it can't be shown again. " +
			"Clients show it as BOTNODE_ADMIN_TOKEN.\n\n" +
			"Rights: read looks at what is no secret; operator runs the cluster, too (move, drain, configure, keys and values); " +
			"admin does everything: it hands out keys and tokens, rotates secrets, and removes nodes.\n\n" +
			"From the first one on, every request to any node needs a token, on loopback, too. So the first one has the right admin and doesn't expire.",
		Example: "  botnode admin-token create ops --right admin > ops-token\n  BOTNODE_ADMIN_TOKEN_FILE=ops-token botnode admin-token create grafana --right read",
	}
	name := c.Flags().String("right", "", "the token's `RIGHT`: read, operator or admin")
	life := c.Flags().Duration("ttl", 0, "how long the token holds (default: until it is revoked)")
	_ = c.RegisterFlagCompletionFunc("right", cobra.FixedCompletions([]string{"read", "operator", "admin"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return a.remote(c, commandTimeout, func(ctx context.Context, client *admin.Client, args []string) error {
		right, ok := fsm.ParseAdminRight(*name)
		if !ok {
			return usagef("--right: read, operator or admin is wanted")
		}
		if *life != 0 && *life < time.Second {
			return usagef("--ttl: at least a second is wanted")
		}
		t, err := client.CreateAdminToken(ctx, args[0], right, *life)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(a.errOut, "admin token %s (%s); it is not shown again:\n", t.Name, t.Right)
		a.printf("%s\n", t.Token)
		return nil
	})
}

package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/trust"
)

// readJoinToken reads the file of --join-token-file, "" for none.
func readJoinToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", usagef("--join-token-file: %w", err)
	}
	text := strings.TrimSpace(string(b))
	if _, err := trust.ParseJoinToken(text); err != nil {
		return "", usagef("--join-token-file %s: %w", path, err)
	}
	return text, nil
}

func (a *app) joinTokenCommand() *cobra.Command {
	create := &cobra.Command{
		Use: "create", Short: "Make a join token and print it, this once", Args: exactly(),
		Long: "Make a token with which machines become nodes of this cluster, and print it: the cluster keeps its hash alone. " +
			"It names the cluster, so that it is shown to no other. Whoever has it can join, and so read all that the cluster knows: keep it in a file that nobody else reads.",
		Example: "  botnode join-token create > join-token\n  botnode start --join 10.0.0.1:7101 --join-token-file join-token --cluster-addr 10.0.0.2:7101",
	}
	life := create.Flags().Duration("ttl", admin.DefaultJoinTokenLife, "how long the token holds")
	a.remote(create, commandTimeout, func(ctx context.Context, client *admin.Client, _ []string) error {
		t, err := client.CreateJoinToken(ctx, *life)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(a.errOut, "join token %s, until %s; it is not shown again:\n", t.ID, time.UnixMilli(t.ExpiresMS).Local().Format(time.DateTime))
		a.printf("%s\n", t.Token)
		return nil
	})
	list := query(a, &cobra.Command{Use: "list", Short: "List the join tokens", Args: exactly()},
		func(ctx context.Context, c *admin.Client, _ []string) ([]admin.JoinToken, error) {
			return c.JoinTokens(ctx)
		},
		func(tokens []admin.JoinToken) {
			t := newTable(a.style, "id", "expires", ">nodes")
			for _, k := range tokens {
				expires := time.UnixMilli(k.ExpiresMS).Local().Format(time.DateTime)
				if time.Now().UnixMilli() >= k.ExpiresMS {
					expires += " (expired)"
				}
				if k.Outdated {
					expires += a.style.yellow(" (worthless since `botnode tls rotate`)")
				}
				t.add(k.ID, expires, fmt.Sprint(k.Used))
			}
			a.printf("%s", t)
		})
	revoke := a.act(&cobra.Command{Use: "revoke ID", Short: "Make a join token worthless", Args: exactly("ID")}, "%s is revoked",
		func(ctx context.Context, c *admin.Client, args []string) error {
			return c.RevokeJoinToken(ctx, args[0])
		})
	return a.group("join-token", "Tokens with which machines become nodes", []string{"join-tokens"}, create, list, revoke)
}

func (a *app) tlsCommand() *cobra.Command {
	status := query(a, &cobra.Command{Use: "status", Short: "Show the nodes' certificates, and how far a rotation is", Args: exactly()},
		func(ctx context.Context, c *admin.Client, _ []string) (admin.TLS, error) { return c.TLS(ctx) }, a.showTLS)
	rotate := a.act(&cobra.Command{
		Use: "rotate", Short: "Replace the cluster's authority, certificates and secret, while it runs", Args: exactly(),
		Long: "Replace the cluster's authority, the certificates of all nodes, the key of gossip, and the secret that snapshots and the bot's token are encrypted with. " +
			"Nothing stops meanwhile. The old keys are given up once every node has the new ones; `botnode tls status` shows whom it waits for.",
	}, "the rotation has begun; `botnode tls status` shows how far it is",
		func(ctx context.Context, c *admin.Client, _ []string) error { return c.RotateTLS(ctx) })
	key := a.remote(&cobra.Command{
		Use: "backup-key", Short: "Print the key that opens the cluster's backups", Args: exactly(),
		Long: "Print the key that opens the cluster's backups, and nothing else. Keep it in another place than the backups: " +
			"when all nodes are lost, a backup is worth nothing without it. After `botnode tls rotate` there is a new one; the old one still opens the backups from before.",
	}, readTimeout, func(ctx context.Context, client *admin.Client, _ []string) error {
		k, err := client.BackupKey(ctx)
		if err == nil {
			a.printf("%s\n", k)
		}
		return err
	})
	return a.group("tls", "Certificates and keys of the cluster", nil, status, rotate, key, a.tlsCA())
}

func (a *app) showTLS(t admin.TLS) {
	if !t.Enabled {
		a.printf("the nodes of this cluster have no TLS between them\n")
		return
	}
	facts := [][2]string{{"epoch", fmt.Sprint(t.Epoch)}}
	if t.Next != 0 {
		facts = append(facts, [2]string{"rotation", a.style.yellow(fmt.Sprintf("to epoch %d", t.Next))})
	}
	for _, x := range t.Authorities {
		facts = append(facts, [2]string{fmt.Sprintf("authority %d", x.Epoch), x.Fingerprint})
	}
	a.facts(facts)
	table := newTable(a.style, "node", ">keys", ">certificate", "until", "")
	for _, m := range t.Members {
		note := ""
		if m.Behind {
			note = a.style.yellow("the rotation waits for it")
		}
		if time.Until(m.NotAfter) < 14*24*time.Hour {
			note = a.style.red("its certificate ends soon")
		}
		table.add(m.ID, fmt.Sprint(m.Holds), fmt.Sprint(m.Certificate), m.NotAfter.Local().Format(time.DateTime), note)
	}
	a.printf("\n%s", table)
}

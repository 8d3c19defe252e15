package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
)

func (a *app) cacheCommand() *cobra.Command {
	guild := &cobra.Command{
		Use: "guild ID [LIST]", Short: "Print a cached guild, or one of its lists, as Discord's JSON",
		Long: "Print a cached guild as Discord's JSON, or one of its lists: channels, roles, members, emojis, voice_states, threads.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usagef("%s needs ID, and may have LIST", cmd.CommandPath())
			}
			return nil
		},
	}
	a.remote(guild, readTimeout, func(ctx context.Context, c *admin.Client, args []string) (err error) {
		var raw json.RawMessage
		if len(args) == 2 {
			raw, err = c.GuildList(ctx, args[0], args[1])
		} else {
			raw, err = c.Guild(ctx, args[0])
		}
		if err != nil {
			return err
		}
		return a.printJSON(raw)
	})
	user := &cobra.Command{Use: "user ID", Short: "Print a cached user as Discord's JSON", Args: exactly("ID")}
	a.remote(user, readTimeout, func(ctx context.Context, c *admin.Client, args []string) error {
		raw, err := c.User(ctx, args[0])
		if err != nil {
			return err
		}
		return a.printJSON(raw)
	})
	stats := query(a, &cobra.Command{Use: "stats", Short: "Show how much is cached", Args: exactly()},
		func(ctx context.Context, c *admin.Client, _ []string) ([]admin.CacheStats, error) {
			return c.CacheStats(ctx)
		},
		func(stats []admin.CacheStats) {
			t := newTable(a.style, "kind", "policy", ">count", ">size", ">evicted")
			for _, k := range stats {
				policy := k.Policy
				if k.Sweeping {
					policy += " (sweeping)"
				}
				t.add(k.Kind, policy, fmt.Sprint(k.Count), bytesText(uint64(k.Bytes)), fmt.Sprint(k.Evicted))
			}
			a.printf("%s", t)
		})
	return a.group("cache", "What the cluster has cached", nil, guild, user, stats)
}

func (a *app) kvCommand() *cobra.Command {
	prefix := ""
	list := &cobra.Command{Use: "list", Short: "List keys with their versions and values", Args: exactly()}
	list.Flags().StringVar(&prefix, "prefix", "", "only keys that start with it")
	query(a, list, func(ctx context.Context, c *admin.Client, _ []string) ([]admin.KVItem, error) {
		return c.KVList(ctx, prefix)
	},
		func(items []admin.KVItem) {
			t := newTable(a.style, "key", ">version", "value")
			for _, it := range items {
				t.add(it.Key, fmt.Sprint(it.Version), shorten(valueText(it), 60))
			}
			a.printf("%s", t)
		})
	return a.group("kv", "The bot's replicated key-value store", nil, a.kvGet(), a.kvPut(), a.kvDelete(), list, a.kvWatch())
}

func (a *app) kvGet() *cobra.Command {
	c := &cobra.Command{Use: "get KEY", Short: "Print a value", Args: exactly("KEY")}
	linearizable := c.Flags().Bool("linearizable", false, "see every write that was committed before")
	return query(a, c, func(ctx context.Context, c *admin.Client, args []string) (admin.KVItem, error) {
		if *linearizable {
			return c.KV(ctx, args[0], admin.Linearizable)
		}
		return c.KV(ctx, args[0], admin.Local)
	}, func(it admin.KVItem) { a.printf("%s\n", valueText(it)) })
}

// version adds --if-version to a command.
func version(c *cobra.Command) func() *uint64 {
	v := c.Flags().Uint64("if-version", 0, "only if the key has this version; 0: only if there is no such key")
	return func() *uint64 {
		if c.Flags().Changed("if-version") {
			return v
		}
		return nil
	}
}

func (a *app) kvPut() *cobra.Command {
	c := &cobra.Command{Use: "put KEY VALUE|-", Short: "Write a value; - reads it from standard input", Args: exactly("KEY", "VALUE")}
	condition := version(c)
	return a.remote(c, commandTimeout, func(ctx context.Context, client *admin.Client, args []string) error {
		value := []byte(args[1])
		if args[1] == "-" {
			var err error
			if value, err = io.ReadAll(a.o.Stdin); err != nil {
				return err
			}
		}
		v, err := client.PutKV(ctx, args[0], value, condition())
		if err != nil {
			return err
		}
		a.printf("%s has version %d\n", args[0], v)
		return nil
	})
}

func (a *app) kvDelete() *cobra.Command {
	c := &cobra.Command{Use: "delete KEY", Short: "Delete a key", Args: exactly("KEY")}
	condition := version(c)
	return a.act(c, "%s is deleted", func(ctx context.Context, client *admin.Client, args []string) error {
		return client.DeleteKV(ctx, args[0], condition())
	})
}

// kvWatch prints a key each time that its version changes.
func (a *app) kvWatch() *cobra.Command {
	c := &cobra.Command{Use: "watch KEY", Short: "Print a value each time that it changes, until interrupted", Args: exactly("KEY")}
	every := c.Flags().Duration("every", time.Second, "how often to look")
	return a.remote(c, 0, func(ctx context.Context, client *admin.Client, args []string) error {
		tick := time.NewTicker(max(*every, 10*time.Millisecond))
		defer tick.Stop()
		seen, first := uint64(0), true
		for {
			it, err := client.KV(ctx, args[0], admin.Local)
			switch {
			case errors.Is(err, admin.ErrNotFound):
				it = admin.KVItem{}
			case interrupted(ctx, err):
				return nil
			case err != nil:
				return err
			}
			if it.Version != seen || first {
				a.printf("%d\t%s\n", it.Version, valueText(it))
			}
			seen, first = it.Version, false
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
		}
	})
}

// valueText is a value as it is, or quoted where it isn't text.
func valueText(it admin.KVItem) string {
	b, err := it.Bytes()
	if err != nil || !utf8.Valid(b) {
		return strconv.Quote(string(b))
	}
	return string(b)
}

func shorten(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-3]) + "..."
}

func (a *app) deadLetterCommand() *cobra.Command {
	list := query(a, &cobra.Command{Use: "list", Short: "List the events that were given up", Args: exactly()},
		func(ctx context.Context, c *admin.Client, _ []string) ([]admin.DeadLetter, error) {
			return c.DeadLetters(ctx)
		},
		func(letters []admin.DeadLetter) {
			t := newTable(a.style, ">pos", "type", ">shard", ">attempts", "read at", "error")
			for _, d := range letters {
				t.add(fmt.Sprint(d.Pos), d.Type, fmt.Sprint(d.Shard), fmt.Sprint(d.Attempts),
					time.UnixMilli(d.AtMS).Local().Format(time.DateTime), shorten(d.Error, 50))
			}
			a.printf("%s", t)
		})
	act := func(verb, short, done string, retry bool) *cobra.Command {
		return a.act(&cobra.Command{Use: verb + " POS", Short: short, Args: exactly("POS")}, done,
			func(ctx context.Context, c *admin.Client, args []string) error {
				pos, err := strconv.ParseUint(args[0], 10, 64)
				if err != nil {
					return usagef("%q is not a position: `dead-letter list` shows them", args[0])
				}
				return c.DeadLetter(ctx, pos, retry)
			})
	}
	return a.group("dead-letter", "Events that were given up", []string{"dead-letters"}, list,
		act("retry", "Give an event to its handlers again", "%s is tried again", true),
		act("drop", "Forget an event", "%s is dropped", false))
}

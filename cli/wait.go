package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
)

// waitEvery is how often the status is read while waiting.
const waitEvery = 100 * time.Millisecond

func (a *app) waitCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "wait --for CONDITION", Short: "Wait until the cluster is ready, has a leader, or has so many nodes", Args: exactly(),
		Long: "Wait until a condition holds:\n  ready    every shard of every bot is ready, but for those that are disconnected by hand, and the cluster is not down\n  leader   a leader is known\n  nodes=N  at least N voters are alive\n" +
			"Exits with 1 if it doesn't hold in time, with 3 if the node can't be reached in time.",
	}
	condition := c.Flags().String("for", "", "ready, leader or nodes=N")
	timeout := c.Flags().Duration("timeout", time.Minute, "how long to wait")
	return a.remote(c, 0, func(ctx context.Context, client *admin.Client, _ []string) error {
		holds, err := parseCondition(*condition)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, *timeout)
		defer cancel()
		begun := time.Now()
		if err := waitFor(ctx, client, holds); err != nil {
			return fmt.Errorf("not %s after %s: %w", *condition, durationText(time.Since(begun)), err)
		}
		a.printf("%s after %s\n", *condition, durationText(time.Since(begun)))
		return nil
	})
}

// condition returns what is missing, "" for nothing.
type condition func(*admin.Status) string

func parseCondition(text string) (condition, error) {
	if n, ok := strings.CutPrefix(text, "nodes="); ok {
		want, err := strconv.Atoi(n)
		if err != nil || want < 1 {
			return nil, usagef("--for %s: a number of nodes is wanted", text)
		}
		return func(st *admin.Status) string { return fewer(st, want) }, nil
	}
	switch text {
	case "ready":
		return notReady, nil
	case "leader":
		return func(st *admin.Status) string {
			if st.Leader == nil {
				return "no leader is known"
			}
			return ""
		}, nil
	}
	return nil, usagef("--for %q is none of ready, leader and nodes=N", text)
}

func fewer(st *admin.Status, want int) string {
	have := 0
	for _, n := range st.Nodes {
		if n.Alive && n.Voter {
			have++
		}
	}
	if have < want {
		return fmt.Sprintf("%s alive", plural(have, "voter"))
	}
	return ""
}

func notReady(st *admin.Status) string {
	switch {
	case st.Health == "down":
		return "the cluster is down"
	case len(st.Bots) == 0:
		return "there is no bot yet"
	}
	for _, b := range st.Bots {
		if b.Fatal != "" {
			return "discord refuses bot " + b.Name + ": " + b.Fatal
		}
		if len(b.ShardsByState) == 0 && !b.Manual {
			return "bot " + b.Name + " has no shards yet"
		}
		for state, n := range b.ShardsByState {
			if state != "ready" && state != "manual" { // what is disconnected by hand isn't waited for
				return fmt.Sprintf("%s of bot %s: %s", plural(n, "shard"), b.Name, state)
			}
		}
	}
	return ""
}

// waitFor reads the status until the condition holds. What it fails with is the
// last thing that was missing.
func waitFor(ctx context.Context, client *admin.Client, holds condition) error {
	tick := time.NewTicker(waitEvery)
	defer tick.Stop()
	var last error
	for {
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		st, err := client.Status(once, true)
		cancel()
		missing := ""
		if err == nil {
			if missing = holds(&st); missing == "" {
				return nil
			}
			err = fmt.Errorf("%w: %s", admin.ErrNotHealthy, missing)
		}
		if final(err) {
			return err
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last
		}
	}
}

// final is true for errors that waiting won't cure.
func final(err error) bool {
	return errors.Is(err, admin.ErrUnauthorized) || errors.Is(err, admin.ErrBadRequest) || errors.Is(err, admin.ErrUnknownBot)
}

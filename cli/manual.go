package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
)

func (a *app) disconnectCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "disconnect N", Short: "Take a shard off Discord, keep its session, and print what resumes it", Args: exactly("N"),
		Long: "Take a shard off Discord without ending its session, wait for its events to be handled, and print as JSON what `shard connect --resume` needs to go on with the session, in this cluster or in another one.\n\n" +
			"The shard stays disconnected, whatever dies or restarts, until `shard connect`. A second disconnect prints the same again. Give the session to one cluster only: who has this output and the bot's token has the session.",
		Example: "  botnode shard disconnect 0 --with-state --out shard0.json\n  botnode shard disconnect 0 > shard0.json",
	}
	drain := c.Flags().Duration("drain", 20*time.Second, "how long to wait for events that are not handled yet, up to 40s; what is left stays with this cluster, which goes on with it")
	state := c.Flags().Bool("with-state", false, "print the shard's cached guilds, too: a resumed session gets no GUILD_CREATE, so another cluster would not know them")
	out := c.Flags().String("out", "", "write to a `FILE` that only you may read, in place of standard output")
	return a.remote(c, 0, func(ctx context.Context, client *admin.Client, args []string) error {
		shard, err := shardNumber(args[0])
		if err != nil {
			return err
		}
		if *drain < 0 || *drain > 40*time.Second {
			return usagef("--drain is 0s to 40s")
		}
		w, finish, err := a.output(*out)
		if err != nil {
			return err
		}
		info, err := a.disconnect(ctx, client, shard, *drain, *state, w)
		if err = errors.Join(err, finish(err == nil)); err != nil {
			return err
		}
		if *out != "" {
			a.printf("shard %s of %d is disconnected after event %d; what resumes it is in %s\n", shard, info.Total, info.Seq, *out)
		}
		if info.Undone > 0 {
			a.warnf("%s not handled yet: this cluster goes on with them; keep it running until `botnode shard show %s` shows none unacked\n", plural(info.Undone, "event"), shard)
		}
		if info.SessionID == "" {
			a.warnf("the shard had no session: there is nothing to resume\n")
		}
		return nil
	})
}

func (a *app) disconnect(ctx context.Context, client *admin.Client, shard string, drain time.Duration, state bool, w io.Writer) (admin.Resume, error) {
	bounded, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	info, err := client.DisconnectShard(bounded, shard, drain)
	if err != nil {
		return info, err
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(info); err != nil || !state {
		return info, err
	}
	return info, client.ExportShard(ctx, shard, w)
}

// output opens what a command prints to: standard output, or a file that others
// may not read and that is there only if finish is called with true.
func (a *app) output(path string) (w io.Writer, finish func(keep bool) error, err error) {
	if path == "" {
		return a.out, func(bool) error { return nil }, nil
	}
	f, err := os.OpenFile(path+".part", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, err
	}
	buffered := bufio.NewWriter(f)
	return buffered, func(keep bool) error {
		if err := errors.Join(buffered.Flush(), f.Close()); err != nil || !keep {
			return errors.Join(err, os.Remove(f.Name()))
		}
		return os.Rename(f.Name(), path)
	}, nil
}

func (a *app) warnf(format string, args ...any) {
	_, _ = fmt.Fprintf(a.errOut, "note: "+format, args...)
}

// shardNumber reads a shard's number as the API wants it.
func shardNumber(text string) (string, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", usagef("%q is not the number of a shard: `shard list` shows them", text)
	}
	return strconv.FormatUint(n, 10), nil
}

func (a *app) connectCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "connect N", Short: "Connect a shard that is disconnected, or one of a bot with --shards manual", Args: exactly("N"),
		Long: "Connect a shard that was disconnected, or, with --shards manual, one that the cluster has not had yet.\n\n" +
			"With --resume it goes on with the session that `shard disconnect` printed, on this or on another cluster: what Discord has sent since is replayed. Without it, it goes on with the session that this cluster has on record, else it begins one, which costs an IDENTIFY.",
		Example: "  botnode shard connect 0 --of 1\n  botnode shard connect 0 --resume shard0.json --to mike",
	}
	of := c.Flags().Int("of", 0, "how many shards the bot has in all; needed where the cluster doesn't know it yet")
	to := c.Flags().String("to", "", "the `NODE` that gets the shard, and keeps it as after shard move (default: the cluster chooses)")
	resume := c.Flags().String("resume", "", "`FILE` with what shard disconnect printed; - reads standard input")
	return a.remote(c, 0, func(ctx context.Context, client *admin.Client, args []string) error {
		shard, err := shardNumber(args[0])
		if err != nil {
			return err
		}
		if c.Flags().Changed("of") && *of < 1 {
			return usagef("--of is 1 or more")
		}
		req := admin.ConnectRequest{Of: *of, To: *to}
		if *resume != "" {
			if err := a.bring(ctx, client, shard, *resume, &req); err != nil {
				return err
			}
		}
		ctx, cancel := context.WithTimeout(ctx, commandTimeout)
		defer cancel()
		begun := time.Now()
		got, err := client.ConnectShard(ctx, shard, req)
		if err != nil {
			return err
		}
		a.printf("shard %d of %d is %s at %s after %s, seq %d, guilds %d\n",
			got.ID, got.Total, got.State, orDash(got.Owner), durationText(time.Since(begun)), got.Seq, got.Guilds)
		if got.State != "ready" {
			a.warnf("it is not ready yet: `botnode status` says why, `botnode wait --for ready` waits\n")
		}
		return nil
	})
}

// bring reads what `shard disconnect` printed into a request, and sends the
// guilds in it ahead: they have to be there when the first event comes.
func (a *app) bring(ctx context.Context, client *admin.Client, shard, path string, req *admin.ConnectRequest) error {
	in := a.o.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return usagef("--resume: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	values := json.NewDecoder(bufio.NewReader(in))
	var info admin.Resume
	if err := values.Decode(&info); err != nil {
		return usagef("--resume %s is not what `shard disconnect` printed: %w", path, err)
	}
	if info.Schema == 0 || info.Bot == "" {
		return usagef("--resume %s is not what `shard disconnect` printed", path)
	}
	req.Resume = &info
	if !values.More() {
		if info.Guilds > 0 {
			a.warnf("no guilds came with the session (`shard disconnect --with-state`): what this cluster has not cached itself, it learns as Discord mentions it\n")
		}
		return nil
	}
	// Before anything is brought: what would be refused leaves nothing behind.
	check := *req
	check.Check = true
	if _, err := client.ConnectShard(ctx, shard, check); err != nil {
		return err
	}
	n, err := client.ImportShard(ctx, shard, info.Total, func() (l admin.StateLine, err error) { return l, values.Decode(&l) })
	if err != nil {
		return err
	}
	a.printf("%s of the shard's guilds brought\n", plural(n, "event"))
	return nil
}

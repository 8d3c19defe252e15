package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
)

func (a *app) doctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "doctor", Short: "Check a node and its cluster, and say what to do", Args: exactly(),
		Long: "Check a node and its cluster: whether it is reached, ready, of this version; whether nodes at the same index have the same state; and on every node the clock, the disk and how fast it syncs, the connections to the others over TCP and UDP, the lag, and the certificate. Exits with 1 if something is wrong.",
	}
	return a.remote(c, readTimeout, func(ctx context.Context, client *admin.Client, _ []string) error {
		d := &doctor{a: a}
		if err := d.examine(ctx, client); err != nil {
			return err
		}
		if d.bad > 0 {
			return fmt.Errorf("%w: %s", admin.ErrNotHealthy, plural(d.bad, "finding"))
		}
		return nil
	})
}

// doctor counts what is wrong.
type doctor struct {
	a   *app
	bad int
}

func (d *doctor) ok(format string, args ...any) {
	d.a.printf("%s %s\n", d.a.style.green("ok  "), fmt.Sprintf(format, args...))
}

func (d *doctor) fail(hint, format string, args ...any) {
	d.bad++
	d.a.printf("%s %s\n", d.a.style.red("FAIL"), fmt.Sprintf(format, args...))
	if hint != "" {
		d.a.printf("     %s\n", d.a.style.dim(hint))
	}
}

func (d *doctor) examine(ctx context.Context, client *admin.Client) error {
	st, err := client.Status(ctx, true)
	if err != nil {
		return err
	}
	d.ok("node %s answers at %s", st.ID, client.BaseURL)
	if st.Version == d.a.o.Version {
		d.ok("it is of this program's version, %s", orDash(st.Version))
	} else {
		d.fail("use the same binary, unless you are in the middle of an upgrade", "it is of version %s, this program of %s", orDash(st.Version), orDash(d.a.o.Version))
	}
	missing, err := client.Ready(ctx)
	switch {
	case err != nil:
		return err
	case len(missing) == 0:
		d.ok("it is ready")
	default:
		d.fail("`botnode status` shows more", "it is not ready: %s", strings.Join(missing, ", "))
	}
	for _, p := range st.Problems {
		d.fail(p.Hint, "%s", p.Message)
	}
	d.versions(&st)
	d.digests(ctx, client, &st)
	if st.StateHash.AppliedIndex > 0 {
		d.ok("a majority agreed on the state at index %d", st.StateHash.AppliedIndex)
	}
	nodes, err := client.Examine(ctx)
	if err != nil {
		return err
	}
	for _, f := range judge(nodes, time.Now()) {
		if f.bad {
			d.fail(f.hint, "%s", f.text)
		} else {
			d.ok("%s", f.text)
		}
	}
	return nil
}

func (d *doctor) versions(st *admin.Status) {
	seen := make(map[string][]string)
	for _, n := range st.Nodes {
		if n.Version != "" {
			seen[n.Version] = append(seen[n.Version], n.ID)
		}
	}
	if len(seen) > 1 {
		d.fail("finish the upgrade", "nodes are of %d versions", len(seen))
	}
}

// likeOwn returns the URL of another node's API: with TLS where the node that is
// asked has it. A token isn't tried without TLS because it failed with it.
func likeOwn(own, addr string) string {
	if strings.HasPrefix(own, "https://") {
		return "https://" + addr
	}
	return addr
}

// digests asks every node for its digest. Only those at the same index can be
// compared, so a busy cluster may give nothing to compare.
func (d *doctor) digests(ctx context.Context, client *admin.Client, st *admin.Status) {
	byIndex := make(map[uint64]map[string]string)
	for _, n := range st.Nodes {
		if !n.Alive || n.HTTPAddr == "" {
			continue
		}
		other := *client
		if n.ID != st.ID {
			other.BaseURL = likeOwn(client.BaseURL, n.HTTPAddr)
		}
		got, err := other.Digest(ctx)
		if err != nil {
			d.fail("is its --http-addr reachable from here?", "node %s does not answer at %s: %s", n.ID, n.HTTPAddr, err)
			continue
		}
		if byIndex[got.AppliedIndex] == nil {
			byIndex[got.AppliedIndex] = make(map[string]string)
		}
		byIndex[got.AppliedIndex][n.ID] = got.Digest
	}
	for index, nodes := range byIndex {
		digests := make(map[string]bool)
		for _, digest := range nodes {
			digests[digest] = true
		}
		switch {
		case len(digests) > 1:
			d.fail("stop the node that differs from the others, and start it with an empty --data-dir", "nodes differ at index %d: %v", index, nodes)
		case len(nodes) > 1:
			d.ok("%s have the same state at index %d", plural(len(nodes), "node"), index)
		}
	}
}

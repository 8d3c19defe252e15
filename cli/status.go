package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
)

// watchEvery is how often a watched status is read.
const watchEvery = time.Second

func (a *app) statusCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "status", Short: "Show the cluster's health, nodes, bots, shards and problems", Args: exactly(),
		Long: "Show the cluster as the node that --http names sees it. With --check the exit code tells the health: 0 ok, 1 degraded, 3 down or unreachable.",
	}
	watch := c.Flags().BoolP("watch", "w", false, "show it again every second")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	check := c.Flags().Bool("check", false, "exit with 1 if the cluster is degraded, with 3 if it is down")
	all := c.Flags().Bool("all", false, "all shards, however many there are")
	return a.remote(c, 0, func(ctx context.Context, client *admin.Client, _ []string) error {
		if *watch && (*asJSON || *check) {
			return usagef("status --watch shows it again and again, for people: --json and --check want one answer")
		}
		if *watch {
			return a.watch(ctx, client, *all)
		}
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		st, err := client.Status(ctx, *all)
		if err != nil {
			return err
		}
		if *asJSON {
			err = a.printJSON(st)
		} else {
			a.printf("%s", a.statusText(&st))
		}
		if err == nil && *check {
			return checked(&st)
		}
		return err
	})
}

// checked turns a health into an exit code.
func checked(st *admin.Status) error {
	switch st.Health {
	case "ok":
		return nil
	case "down":
		return exitError{admin.ExitUnknown}
	}
	return exitError{admin.ExitFailed}
}

func (a *app) watch(ctx context.Context, client *admin.Client, all bool) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, readTimeout)
		st, err := client.Status(once, all)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		text := ""
		if err != nil {
			text = a.style.red(err.Error()) + "\n"
		} else {
			text = a.statusText(&st)
		}
		if a.style.on {
			text = "\x1b[H\x1b[2J" + text
		}
		a.printf("%s%s\n", text, a.style.dim(time.Now().Format(time.TimeOnly)))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// statusText lays the status out: health, nodes, bots, shards, problems.
func (a *app) statusText(st *admin.Status) string {
	var b strings.Builder
	s := a.style
	leader := "none"
	if st.Leader != nil {
		leader = st.Leader.ID
	}
	fmt.Fprintf(&b, "%s %s", s.bold("cluster"), s.grade(st.Health))
	if st.ClusterID != "" {
		fmt.Fprintf(&b, "  %s", s.dim(st.ClusterID))
	}
	fmt.Fprintf(&b, "\n  leader %s, term %d, %d of %s alive (%d needed), applied %d of %d\n",
		leader, st.Term, st.Quorum.Have, plural(voters(st), "voter"), st.Quorum.Need, st.AppliedIndex, st.CommitIndex)
	fmt.Fprintf(&b, "  seen by %s (%s), version %s%s\n", st.ID, s.grade(st.State), orDash(st.Version), staleText(s, st))
	if st.StateHash.AppliedIndex > 0 {
		fmt.Fprintf(&b, "  state agreed on by a majority at index %d\n", st.StateHash.AppliedIndex)
	}
	if len(st.Nodes) > 0 {
		fmt.Fprintf(&b, "\n%s\n%s", s.bold("nodes"), nodeTable(s, st).indent("  "))
	}
	if len(st.Bots) > 0 {
		fmt.Fprintf(&b, "\n%s\n%s", s.bold("bots"), botTable(s, st).indent("  "))
	}
	for _, bot := range st.Bots {
		if bot.Fatal != "" {
			fmt.Fprintf(&b, "  %s\n", s.red(bot.Name+": "+bot.Fatal))
		}
	}
	if len(st.Shards) > 0 {
		fmt.Fprintf(&b, "\n%s%s\n%s", s.bold("shards"), hidden(s, st), shardTable(s, st.Shards, len(st.Bots) > 1).indent("  "))
	}
	if len(st.Problems) > 0 {
		fmt.Fprintf(&b, "\n%s\n", s.bold("problems"))
		for _, p := range st.Problems {
			fmt.Fprintf(&b, "  %s %s\n      %s\n", s.yellow("!"), p.Message, s.dim(p.Hint))
		}
	}
	return b.String()
}

func voters(st *admin.Status) (n int) {
	for _, node := range st.Nodes {
		if node.Voter {
			n++
		}
	}
	return n
}

func staleText(s style, st *admin.Status) string {
	if st.Stale {
		return ", " + s.yellow("stale: no leader answers it")
	}
	return ""
}

// hidden says that not all shards are listed.
func hidden(s style, st *admin.Status) string {
	total := 0
	for _, b := range st.Bots {
		for _, n := range b.ShardsByState {
			total += n
		}
	}
	if total <= len(st.Shards) {
		return ""
	}
	return s.dim(fmt.Sprintf("  the worst %d of %d; --all shows every one", len(st.Shards), total))
}

func nodeTable(s style, st *admin.Status) *table {
	headings := []string{"id", "state", "status", "cluster", ">applied", ">lag", ">contact", ">shards", ">ev/s", ">memory", ">up"}
	proxies := slices.ContainsFunc(st.Nodes, func(n admin.Node) bool { return n.ProxyAddr != "" })
	if proxies {
		headings = append(headings, "proxy", ">clients")
	}
	t := newTable(s, headings...)
	for _, n := range st.Nodes {
		state := s.grade(n.State)
		if !n.Voter && n.State != "nonvoter" {
			state += s.dim(" (nonvoter)")
		}
		status := s.grade(n.Status)
		if n.Draining {
			status += s.yellow(" draining")
		}
		id := n.ID
		if id == st.ID {
			id = s.bold(id)
		}
		row := []string{id, state, status, orDash(n.ClusterAddr)}
		if n.LastContactMS < 0 {
			row = append(row, "-", "-", "-", fmt.Sprint(n.Shards), "-", "-", "-")
			if proxies {
				row = append(row, "-", "-")
			}
			t.add(row...)
			continue
		}
		lag := uint64(0)
		if st.CommitIndex > n.AppliedIndex {
			lag = st.CommitIndex - n.AppliedIndex
		}
		row = append(row, fmt.Sprint(n.AppliedIndex), fmt.Sprint(lag), fmt.Sprintf("%d ms", n.LastContactMS), fmt.Sprint(n.Shards),
			fmt.Sprintf("%.0f", n.EventsPerS), bytesText(n.MemoryBytes), durationText(time.Duration(n.UptimeS)*time.Second))
		if proxies {
			row = append(row, orDash(n.ProxyAddr), fmt.Sprint(n.Clients))
		}
		t.add(row...)
	}
	return t
}

func botTable(s style, st *admin.Status) *table {
	t := newTable(s, "name", "shards", ">guilds", ">unacked", ">oldest", ">REST/s", ">identifies", "last takeover")
	for _, b := range st.Bots {
		oldest := "-"
		if b.Unacked > 0 {
			oldest = durationText(time.Duration(b.OldestMS) * time.Millisecond)
		}
		budget := "-"
		if b.Identify.Limit > 0 {
			budget = fmt.Sprintf("%d of %d", b.Identify.Remaining, b.Identify.Limit)
		}
		t.add(b.Name, shardsByState(s, b), fmt.Sprint(b.Guilds), fmt.Sprint(b.Unacked), oldest,
			fmt.Sprintf("%.0f", b.RESTPerS), budget, lastTakeover(st.Shards, b.Name))
	}
	return t
}

func shardsByState(s style, b admin.Bot) string {
	if len(b.ShardsByState) == 0 {
		return s.yellow("none yet")
	}
	var parts []string
	for _, state := range []string{"ready", "moving", "resuming", "connecting", "unassigned", "manual"} {
		if n := b.ShardsByState[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s.grade(state)))
		}
	}
	return strings.Join(parts, ", ")
}

func lastTakeover(shards []admin.Shard, bot string) string {
	var last *admin.Takeover
	for _, sh := range shards {
		if t := sh.LastTakeover; sh.Bot == bot && t != nil && t.Kind != "normal" && (last == nil || t.At.After(last.At)) {
			last = t
		}
	}
	if last == nil {
		return "-"
	}
	return fmt.Sprintf("%s %s, %.0f ms", last.At.Local().Format(time.TimeOnly), last.Kind, last.GapMS)
}

func takeoverText(t *admin.Takeover) string {
	if t == nil {
		return "-"
	}
	text := t.Kind
	if t.From != "" {
		text += " from " + t.From
	}
	return fmt.Sprintf("%s, %.0f ms", text, t.GapMS)
}

// ownerText shows a shard's owner, and whether an operator has pinned it.
func ownerText(sh admin.Shard) string {
	switch sh.Pin {
	case "":
		return orDash(sh.Owner)
	case sh.Owner:
		return sh.Owner + " (pinned)"
	}
	return orDash(sh.Owner) + " (pinned to " + sh.Pin + ")"
}

func shardTable(s style, shards []admin.Shard, bots bool) *table {
	headings := []string{">id", "owner", "state", ">epoch", ">seq", ">guilds", ">latency", ">unacked", "last takeover"}
	if bots {
		headings = slices.Insert(headings, 0, "bot")
	}
	t := newTable(s, headings...)
	for _, sh := range shards {
		latency := "-"
		if sh.LatencyMS > 0 {
			latency = fmt.Sprintf("%.0f ms", sh.LatencyMS)
		}
		row := []string{
			fmt.Sprintf("%d/%d", sh.ID, sh.Total), ownerText(sh), s.grade(sh.State), fmt.Sprint(sh.Epoch), fmt.Sprint(sh.Seq),
			fmt.Sprint(sh.Guilds), latency, fmt.Sprint(sh.Unacked), takeoverText(sh.LastTakeover),
		}
		if bots {
			row = slices.Insert(row, 0, sh.Bot)
		}
		t.add(row...)
	}
	return t
}

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord"
)

// reconnectAfter is how long a followed stream waits after it broke.
const reconnectAfter = time.Second

func (a *app) eventsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "events", Short: "Print the bot's events that are retained, or follow them", Args: exactly(),
		Long: "Print the events that the journal retains, or with -f those that come, until interrupted. What is missing is said, never skipped in silence.",
	}
	var q admin.EventsQuery
	fs := c.Flags()
	fs.BoolVarP(&q.Follow, "follow", "f", false, "follow new events")
	fs.Uint64Var(&q.From, "from", 0, "begin with this position")
	fs.StringVar(&q.Type, "type", "", "only events of this type, MESSAGE_CREATE say")
	fs.StringVar(&q.Guild, "guild", "", "only events of this guild")
	asJSON := fs.Bool("json", false, "print a JSON object a line")
	return a.remote(c, 0, func(ctx context.Context, client *admin.Client, _ []string) error {
		if q.Type != "" && !slices.Contains(discord.AllEvents(), q.Type) {
			a.warnType(q.Type)
		}
		event := func(e admin.Event) error { return a.printEvent(e, *asJSON) }
		gap := func(g admin.Gap) error { return a.printGap(g, *asJSON) }
		for {
			next, err := client.StreamEvents(ctx, q, event, gap)
			if ctx.Err() != nil || (!q.Follow && err == nil) {
				return nil
			}
			if next == q.From && err != nil {
				return err // nothing came at all: it won't get better by itself
			}
			q.From = next
			select {
			case <-time.After(reconnectAfter):
			case <-ctx.Done():
				return nil
			}
		}
	})
}

// warnType says that a type of events isn't documented: it may be new, or mistyped.
func (a *app) warnType(name string) {
	hint := ""
	if near := nearest(strings.ToUpper(name), discord.AllEvents()); near != "" {
		hint = fmt.Sprintf("; did you mean %s?", near)
	}
	_, _ = fmt.Fprintf(a.errOut, "%s: Discord documents no event of type %s%s\n", a.o.Name, name, hint)
}

func (a *app) printEvent(e admin.Event, asJSON bool) error {
	if asJSON {
		return a.jsonLine(e)
	}
	guild := ""
	if e.Guild != "" {
		guild = " guild " + e.Guild
	}
	_, err := fmt.Fprintf(a.out, "%s %s %s%s %s\n", a.style.dim(fmt.Sprintf("%d %s shard %d", e.Pos, time.UnixMilli(e.AtMS).Local().Format("15:04:05.000"), e.Shard)),
		a.style.bold(e.Type), a.style.dim(fmt.Sprintf("seq %d", e.Seq)), guild, shorten(string(e.Data), 120))
	return err
}

func (a *app) printGap(g admin.Gap, asJSON bool) error {
	if asJSON {
		return a.jsonLine(map[string]admin.Gap{"gap": g})
	}
	_, err := fmt.Fprintf(a.out, "%s\n", a.style.yellow(fmt.Sprintf("gap: %d to %d are missing (%s)", g.From, g.To, g.Reason)))
	return err
}

func (a *app) jsonLine(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

package botnodetest

import (
	"fmt"
	"strings"

	"github.com/botnode/botnode/fsm"
)

// How much of what happened a report shows.
const (
	lastSent    = 20
	lastPosted  = 30
	lastRefused = 10
)

// report describes the cluster and what has crossed the simulated Discord.
func (c *Cluster) report() string {
	var b strings.Builder
	c.reportNodes(&b)
	c.reportState(&b)
	c.reportLedger(&b)
	c.logs.report(&b)
	return b.String()
}

func (c *Cluster) reportNodes(b *strings.Builder) {
	leader, _, _ := c.lab.Leader()
	b.WriteString("nodes:")
	for _, id := range c.lab.Nodes() {
		n := c.lab.Node(id)
		switch {
		case n == nil:
			fmt.Fprintf(b, "  %s is down", id)
		case id == leader:
			fmt.Fprintf(b, "  %s leads (log up to %d)", id, n.Committed())
		default:
			fmt.Fprintf(b, "  %s is up (log up to %d)", id, n.Committed())
		}
	}
	b.WriteString("\n")
}

func (c *Cluster) reportState(b *strings.Builder) {
	if err := c.lab.Settled(); err != nil {
		fmt.Fprintf(b, "the bot: %v\n", err)
	}
	err := c.lab.View(func(bot *fsm.Bot) {
		for _, sh := range bot.Shards() {
			fmt.Fprintf(b, "shard %d: of %s, events up to %d committed, %d not handled\n",
				sh.Key.Index, sh.Owner.ID, sh.C, sh.PendingCount())
		}
	})
	for _, letter := range c.deadLetters() {
		fmt.Fprintf(b, "dead letter: %s\n", letter)
	}
	c.mu.Lock()
	for _, why := range c.failed {
		fmt.Fprintln(b, why)
	}
	c.mu.Unlock()
	if err != nil {
		fmt.Fprintf(b, "no state: %v\n", err)
	}
}

func (c *Cluster) reportLedger(b *strings.Builder) {
	l := c.Discord().Ledger()
	sum := l.Summary()
	fmt.Fprintf(b, "discord: %d IDENTIFYs, %d RESUMEs (%d done), %d messages of the bot, REST answers %v\n",
		sum.Identifies, sum.Resumes, sum.ResumesOK, sum.Posted, sum.Statuses)
	c.mu.Lock()
	sent := tail(c.sent, lastSent)
	c.mu.Unlock()
	for _, what := range sent {
		fmt.Fprintf(b, "  sent: %s\n", what)
	}
	for _, p := range tail(l.Posted(), lastPosted) {
		fmt.Fprintf(b, "  answered: %q%s\n", p.Content, map[bool]string{true: " (a repeat, not shown)"}[p.Deduped])
	}
	var refused []string
	for _, r := range l.Requests() {
		if r.Status/100 != 2 {
			refused = append(refused, fmt.Sprintf("  refused: %s %s: %d\n", r.Method, r.Path, r.Status))
		}
	}
	for _, line := range tail(refused, lastRefused) {
		b.WriteString(line)
	}
}

// tail returns the last n elements.
func tail[T any](list []T, n int) []T { return list[max(0, len(list)-n):] }

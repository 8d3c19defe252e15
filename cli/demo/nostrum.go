package demo

import (
	"fmt"
	"strings"
)

// quoted is a measurement of another library that was made before, elsewhere.
type quoted struct{ what, outage, lost string }

// nostrumKill is what kill -9 of the active node costs a bot that follows
// nostrum's guide "Multi-node" (guides/advanced/multi_node.md), by the guide's
// own configuration and by the one that is best for it.
var nostrumKill = [...]quoted{
	{"nostrum, the guide's 5,000 ms", "5.43 s", "about 1,080"},
	{"nostrum, timeout 0: the fair bar", "0.36-0.39 s", "69-74"},
}

// nostrumLines sets this run beside them. It says plainly which figures are
// from now and which aren't.
func nostrumLines(p palette, r *result) []string {
	row := func(what, outage, lost, session string) string {
		return "  " + pad(what, 36) + padLeft(outage, 13) + padLeft(lost, 15) + "   " + session
	}
	out := []string{
		"  " + p.bold("the same kill with nostrum's multi-node guide") + "  " + p.yellow("measured elsewhere, not now"),
		p.dim(row("", "outage", "events lost", "session")),
	}
	for _, q := range nostrumKill {
		out = append(out, row(q.what, q.outage, q.lost, "new (IDENTIFY), no state"))
	}
	lost := len(r.sum.Unanswered) + r.sum.Undeliverable
	session := "kept (RESUME), with its state"
	if r.sum.Identifies > shards {
		session = "new (IDENTIFY)"
	}
	out = append(out, p.bold(row("botnode, this run", short(r.kill.own), thousands(lost), session)))
	for _, l := range conditions(r.cpus) {
		out = append(out, "  "+p.dim(l))
	}
	return out
}

// conditions are those of both measurements, so that nobody takes them for one.
func conditions(cpus int) []string {
	return strings.Split(fmt.Sprintf(`nostrum: commit e63a62f, OTP 25, three BEAM nodes on one 2-core machine, a fake gateway on
loopback with TLS, 1 shard, 200 events/s; time from kill -9 of the active node to the first event
after it (5.43 s: median of 5). The timeout is how long the others wait before they start the bot.
botnode: this machine (%s for nodes and simulator), loopback without TLS, %d shards,
%d events/s; longest silence of a shard of the killed leader, from answer to answer.`, count(cpus, "core"), shards, rate), "\n")
}

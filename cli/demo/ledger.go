package demo

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// incident is something that was done to the cluster under load.
type incident struct {
	node   string // the node that was killed, or that a shard moved to
	from   string // the node that a shard moved from
	shards []int  // the shards that it was about
	window span   // when its effect shows

	silence time.Duration // longest time without any answer
	own     time.Duration // longest silence of a single shard of these
	resumes int
	replays int // events that Discord sent again on RESUME
}

// measure reads the incident's effect from the ledger.
func (x *incident) measure(list []answer, load span, resumes []sim.Resume) {
	x.silence = silence(list, load, x.window, nil)
	x.own = worstSilence(list, load, x.window, x.shards)
	in := resumes[:0:0]
	for _, r := range resumes {
		if r.At.Before(x.window.to) {
			in = append(in, r)
		}
	}
	x.resumes, x.replays = replayed(in, x.window.from, x.shards)
}

// result is what the demo found out.
type result struct {
	load       span
	kill, move incident
	sum        sim.Summary
	took       time.Duration
	cpus       int
}

// verdict reads the ledger, prints it, and judges.
func (s *show) verdict() error {
	led := s.srv.Ledger()
	list, resumes := s.answers(), led.Resumes()
	s.res.sum = led.Summary()
	s.res.kill.measure(list, s.res.load, resumes)
	s.res.move.measure(list, s.res.load, resumes)
	s.res.took, s.res.cpus = time.Since(s.screen.began), runtime.NumCPU()
	p := s.screen.p
	s.screen.print("")
	s.screen.print(s.sparkline()...)
	s.screen.print("")
	s.screen.print(s.closeUp()...)
	s.screen.print(busyNote(p, &s.res)...)
	s.screen.print("")
	s.screen.print(ledgerLines(p, &s.res)...)
	s.screen.print("")
	s.screen.print(nostrumLines(p, &s.res)...)
	s.screen.print("")
	s.screen.print(judgement(p, &s.res)...)
	if bad := s.res.problems(); len(bad) > 0 {
		return fmt.Errorf("%w: %s", ErrLedger, strings.Join(bad, "; "))
	}
	return nil
}

// problems lists what must not be in the ledger.
func (r *result) problems() []string {
	var out []string
	add := func(bad bool, format string, args ...any) {
		if bad {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	sum := &r.sum
	add(sum.Sent == 0, "no ping was sent")
	add(len(sum.Unanswered) > 0, "%s lost (%s)", count(len(sum.Unanswered), "ping"), some(sum.Unanswered))
	add(len(sum.Duplicated) > 0, "%s answered more than once (%s)", count(len(sum.Duplicated), "ping"), some(sum.Duplicated))
	add(sum.Undeliverable > 0, "%s while Discord had no session to send to", count(sum.Undeliverable, "ping"))
	add(sum.Strays > 0, "%s to pings that nobody wrote", count(sum.Strays, "answer"))
	add(sum.Identifies > shards, "%d IDENTIFYs for %d shards: a session was lost", sum.Identifies, shards)
	return out
}

// some shows the first of a list.
func some(list []int) string {
	const most = 8
	text := make([]string, 0, most)
	for _, n := range list[:min(most, len(list))] {
		text = append(text, fmt.Sprint(n))
	}
	if len(list) > most {
		text = append(text, "...")
	}
	return strings.Join(text, ", ")
}

// intro says what is about to be seen.
func intro(p palette) []string {
	return []string{
		p.bold("botnode demo") + ": one bot on three nodes, and the leader is killed under load.",
		p.dim("The nodes are real processes, Discord is simulated; no internet, no token, about 12 seconds."),
		"",
	}
}

// busy is a typical answer's time above which the machine, or its disk, has
// other things to do: three commits and a few messages on loopback take less.
const busy = 15.0 // ms

// busyNote explains uneven bars.
func busyNote(p palette, r *result) []string {
	if r.sum.P50MS < busy {
		return nil
	}
	return []string{"  " + p.yellow(fmt.Sprintf(
		"This machine or its disk is busy: a typical answer took %s. Bars are even on one that isn't.", millis(r.sum.P50MS)))}
}

// ledgerLines is the ledger.
func ledgerLines(p palette, r *result) []string {
	sum := &r.sum
	row := func(name, value, note string, bad bool) string {
		v := padLeft(value, 9)
		if bad {
			v = p.red(v)
		} else {
			v = p.bold(v)
		}
		if note == "" {
			return "  " + pad(name, 19) + v
		}
		return "  " + pad(name, 19) + v + "   " + p.dim(note)
	}
	lost, twice := len(sum.Unanswered)+sum.Undeliverable, len(sum.Duplicated)
	return []string{
		"  " + p.bold("ledger") + p.dim("  (kept by the simulated Discord, not by the nodes)"),
		row("pings sent", thousands(sum.Sent+sum.Undeliverable), fmt.Sprintf("%d a second, %s", rate, short(r.load.to.Sub(r.load.from))), false),
		row("answered once", thousands(sum.AnsweredOnce), fmt.Sprintf("p50 %s, p99 %s, slowest %s", millis(sum.P50MS), millis(sum.P99MS), millis(sum.MaxMS)), sum.AnsweredOnce != sum.Sent),
		row("lost", thousands(lost), "", lost > 0),
		row("duplicated", thousands(twice), surplus(sum.Deduped), twice > 0),
		row("IDENTIFYs", thousands(sum.Identifies), identifyNote(sum), sum.Identifies > shards),
		row("longest silence", millis(sum.LongestSilenceMS), "of the whole bot; a ping comes every 5 ms", false),
		row("  after the kill", short(r.kill.silence), fmt.Sprintf("%s of %s: %s, %s replayed", shardList(r.kill.shards), r.kill.node, short(r.kill.own), count(r.kill.replays, "event")), false),
		row("  at the move", short(r.move.silence), fmt.Sprintf("%s, %s to %s: %s", shardList(r.move.shards), r.move.from, r.move.node, short(r.move.own)), false),
	}
}

func surplus(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s sent twice and shown once: the nonce", count(n, "answer"))
}

func identifyNote(sum *sim.Summary) string {
	if sum.Identifies > shards {
		return fmt.Sprintf("one a shard are %d: sessions were lost", shards)
	}
	return fmt.Sprintf("one a shard, at the start; then %s, no new session", count(sum.ResumesOK, "RESUME"))
}

// judgement is the verdict in words.
func judgement(p palette, r *result) []string {
	bad := r.problems()
	if len(bad) == 0 {
		return []string{
			p.green("Nothing lost, nothing doubled, no session begun anew.") + p.dim(fmt.Sprintf("  (%.1f s)", r.took.Seconds())),
		}
	}
	out := []string{p.red("The ledger is not clean:")}
	for _, b := range bad {
		out = append(out, "  "+b)
	}
	return out
}

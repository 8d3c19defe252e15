//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/test/tally"
)

const (
	// healLimit is how long a cluster may take to be well once all faults are over.
	healLimit = 60 * time.Second
	// drainLimit is how long it may then take to handle what is left.
	drainLimit = 90 * time.Second
)

// result is what a run came to.
type result struct {
	seed       uint64
	length     time.Duration
	faults     map[string]int // by the group of the kind: kill, stop, ...
	skipped    int
	messages   int
	withheld   int // that Discord kept for itself
	hidden     int // answers that only the nonce kept from being seen twice
	blamed     int // entries whose third runner was killed, retried as an operator does
	identifies int
	resumes    int
	digests    int // told by all nodes
	compared   int // indexes at which several told one
	epochs     int // pairs of shard and epoch with an owner
	ops        int // of the clients' history
	unknown    int // of those, without a known outcome
	packets    int // that the network lost
	heal       time.Duration
	stall      time.Duration
	silences   map[string][]time.Duration // by kind
	violations []string
}

// judge waits until the cluster is well again, and compares all that there is.
func (r *run) judge(ctx context.Context) {
	over := time.Now()
	err := until(ctx, healLimit, func() error {
		err := r.healthy(ctx)
		if err != nil { // dead letters alone make a cluster unwell
			err = errors.Join(err, r.revive(ctx))
		}
		return err
	})
	res := &r.result
	res.heal = time.Since(over)
	if err != nil {
		r.violate("the cluster has not healed: %v", err)
	}
	if err := until(ctx, drainLimit, func() error { return r.drained(ctx) }); err != nil {
		r.violate("not everything is handled: %v", err)
	}
	r.rotated(ctx)
	r.sameEverywhere(ctx)
	want, excused := r.books.split()
	res.messages, res.withheld = tally.Sum(want.Guilds)+excused, excused
	if r.flood != nil {
		want.Chatter = r.flood.want()
		r.o.logf("LOAD %s", r.flood.figures())
	}
	res.hidden, err = want.Ledger(r.cluster.sim.Ledger().Posted())
	if err != nil {
		r.violate("answers: %v", err)
	}
	for _, n := range r.cluster.nodes {
		r.store(ctx, n, want)
	}
	r.sessions()
	r.gaps(ctx)
	r.logs()
	res.ops, res.unknown = r.history.judge()
	if r.soak != nil {
		r.soak.judge()
	}
	r.count()
}

// drained returns nil if all messages have their answers and no node knows of an
// entry without its Done.
func (r *run) drained(ctx context.Context) error {
	if err := r.books.allAnswered(); err != nil {
		return err
	}
	for _, n := range r.cluster.nodes {
		st, err := n.status(ctx)
		if err != nil {
			return err
		}
		for _, b := range st.Bots {
			if b.DeadLetters > 0 {
				if err := r.revive(ctx); err != nil {
					return err
				}
			}
			if b.Unacked+b.DeadLetters > 0 {
				return fmt.Errorf("%s: %d entries are left, %d given up", n.id, b.Unacked, b.DeadLetters)
			}
		}
	}
	return nil
}

// revive has dead letters tried again, as an operator does. Only an entry whose
// third runner in a row was killed may be one.
func (r *run) revive(ctx context.Context) error {
	for _, n := range r.cluster.nodes {
		dead, err := n.client.DeadLetters(ctx)
		if err != nil {
			return err
		}
		for _, d := range dead {
			if err := n.client.DeadLetter(ctx, d.Pos, true); errors.Is(err, admin.ErrNotFound) {
				continue // this node is behind
			} else if err != nil {
				return err
			}
			r.result.blamed++
			if !strings.Contains(d.Error, "while it ran alone") {
				r.violate("given up: %+v", d)
			}
		}
	}
	return nil
}

// sameEverywhere waits until all nodes have applied the same entry: their digests
// are compared as always.
func (r *run) sameEverywhere(ctx context.Context) {
	err := until(ctx, 20*time.Second, func() error {
		var first admin.Digest
		for i, n := range r.cluster.nodes {
			d, err := n.client.Digest(ctx)
			if err != nil {
				return err
			}
			if err := r.seen.digest(n.id, d); err != nil {
				r.violate("%v", err)
			}
			if i > 0 && d.AppliedIndex != first.AppliedIndex {
				return fmt.Errorf("%s is at index %d, another at %d", n.id, d.AppliedIndex, first.AppliedIndex)
			}
			first = d
		}
		return nil
	})
	if err != nil {
		r.violate("the nodes don't come to the same index: %v", err)
	}
}

// store compares a node's keys with what was said.
func (r *run) store(ctx context.Context, n *node, want *tally.Want) {
	items, err := n.client.KVList(ctx, "")
	if err != nil {
		r.violate("%s: %v", n.id, err)
		return
	}
	items = slices.DeleteFunc(items, func(it admin.KVItem) bool { return strings.HasPrefix(it.Key, historyPrefix) })
	if err := want.Store(items); err != nil {
		r.violate("%s: %v", n.id, err)
	}
}

// sessions judges what was begun and resumed: no session begins in place of one
// that Discord has not ended, and no gap is recorded without a reason.
func (r *run) sessions() {
	l, renewed := r.cluster.sim.Ledger(), r.renewals()
	ids, refused := l.Identifies(), 0
	for _, x := range l.Resumes() {
		if x.Result == "ok" {
			continue
		}
		if refused++; renewed == 0 {
			r.violate("a RESUME was refused: %+v", x)
		}
	}
	r.result.identifies, r.result.resumes = len(ids), len(l.Resumes())
	// A node may die between a new session's first event and its entry in the log:
	// the next one begins yet another.
	over := refused + len(r.books.endings())
	if most := r.o.shards + over; renewed == 0 && len(ids) != r.o.shards || renewed > 0 && len(ids) > most+len(r.records) {
		r.violate("%d IDENTIFYs for %d shards and %d sessions that Discord ended: %+v", len(ids), r.o.shards, over, ids)
	}
	lost := map[string]bool{}
	for _, o := range r.books.orphans(l) {
		if lost[o.sid] = true; !r.troubled(o.begun) {
			r.violate("a session of shard %d was begun at %.1fs and forgotten, with no trouble there: %+v", o.shard, r.since(o.begun), o)
		}
	}
	live := r.cluster.sim.LiveSessions()
	for _, s := range live {
		if !s.Connected && !lost[s.ID] {
			r.violate("the session of shard %d has no connection", s.Shard[0])
		}
	}
	if renewed == 0 && len(live) != r.o.shards {
		r.violate("%d live sessions for %d shards", len(live), r.o.shards)
	}
}

// gaps: what Discord has taken away is recorded, and nothing else is, unless its
// numbers skip.
func (r *run) gaps(ctx context.Context) {
	w := r.o.discordOptions().Switches
	renewed, skips := r.renewals() > 0, w.SeqHoles > 0 || w.ResumedNotBuffered
	for _, n := range r.cluster.nodes {
		st, err := n.status(ctx)
		if err != nil || len(st.Bots) != 1 {
			r.violate("%s: %d bots, %v", n.id, len(st.Bots), err)
			continue
		}
		if g := st.Bots[0].Gaps; g > 0 && !renewed && !skips || g == 0 && r.result.withheld > 0 {
			r.violate("%s has recorded %d gaps: %d messages were withheld, sessions refused: %v, numbers skip: %v", n.id, g, r.result.withheld, renewed, skips)
		}
	}
}

// troubled reports whether a fault of nodes or of the network between them lasted
// at a time, or began soon after.
func (r *run) troubled(at time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.records, func(x record) bool {
		group, _, _ := strings.Cut(x.kind.name, "-")
		return slices.Contains(silent, group) && x.begun.Before(at.Add(2*time.Second)) && x.end.After(at)
	})
}

// renewals counts the faults that ended a session.
func (r *run) renewals() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.records {
		if x.kind.renews {
			n++
		}
	}
	return n
}

// longSilence is worth a line: a take-over is over sooner.
const longSilence = 5 * time.Second

// silent are the groups after whose faults another node takes shards over.
var silent = []string{"kill", "stop", "term", "disk", "net"}

// count writes down the rest of the figures.
func (r *run) count() {
	res := &r.result
	res.seed, res.length = r.o.seed, r.o.length
	res.faults, res.silences = map[string]int{}, map[string][]time.Duration{}
	posted := r.cluster.sim.Ledger().Posted()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.records {
		group, _, _ := strings.Cut(x.kind.name, "-")
		res.faults[group]++
		if slices.Contains(silent, group) && !x.kind.renews && r.alone(x) {
			d := r.books.silence(posted, x.begun, x.end)
			res.silences[x.kind.name] = append(res.silences[x.kind.name], d)
			if d > longSilence {
				r.o.logf("LONG SILENCE of %v around %s: %s", d.Round(time.Millisecond), x.fault, x.what)
			}
		}
	}
	res.skipped = r.skipped
	r.seen.mu.Lock()
	defer r.seen.mu.Unlock()
	res.digests, res.compared, res.epochs = r.seen.answers, r.seen.compared, len(r.seen.owners)
	if r.cluster.net != nil {
		res.packets = r.cluster.net.Lost()
	}
	res.stall = r.stalls()
}

// alone reports whether no other fault lasted while one did, nor ended shortly
// before: a silence is then of its making.
func (r *run) alone(x record) bool {
	return !slices.ContainsFunc(r.records, func(o record) bool {
		return o.n != x.n && o.begun.Before(x.end) && x.begun.Before(o.end.Add(time.Second))
	})
}

// String is the line of figures.
func (res *result) String() string {
	var groups strings.Builder
	for _, g := range []string{"kill", "stop", "term", "op", "disk", "dc", "rest", "net"} {
		fmt.Fprintf(&groups, " %s %d,", g, res.faults[g])
	}
	return fmt.Sprintf("seed %d, %v:%s %d left out; %d messages, %d withheld by Discord, answers hidden by their nonce %d, retried dead letters %d; "+
		"IDENTIFYs %d, RESUMEs %d; digests %d, compared at %d indexes; owners of %d epochs; %d requests to the store, %d of unknown outcome; "+
		"%d packets lost; healed in %v; the machine stalled for %v; %d violations",
		res.seed, res.length, groups.String(), res.skipped, res.messages, res.withheld, res.hidden, res.blamed, res.identifies, res.resumes,
		res.digests, res.compared, res.epochs, res.ops, res.unknown, res.packets, res.heal.Round(time.Millisecond), res.stall.Round(time.Millisecond),
		len(res.violations))
}

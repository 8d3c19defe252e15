//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/test/tally"
)

// said is a message that was said.
type said struct {
	n         int
	guild     string
	shard     int
	at        time.Time
	delivered bool
}

// books are what was said, and what may be missing of it.
type books struct {
	r      *run
	guilds [][]sim.ID // by shard
	of     map[sim.ID]int

	mu   sync.Mutex // guards what follows
	said []said
	ends []ended // when Discord ended a session with a close code
}

func newBooks(r *run) *books {
	b := &books{r: r, guilds: make([][]sim.ID, r.o.shards), of: map[sim.ID]int{}}
	for _, g := range r.cluster.sim.GuildIDs() {
		shard := int(uint64(g) >> 22 % uint64(r.o.shards))
		b.guilds[shard] = append(b.guilds[shard], g)
		for _, ch := range r.cluster.sim.TextChannels(g) {
			b.of[ch] = shard
		}
	}
	return b
}

// write has users write at an even rate, to one shard after the other, until the
// faults are over.
func (b *books) write(ctx context.Context) {
	rng := rand.New(rand.NewPCG(b.r.o.seed, 3))
	tick := time.NewTicker(time.Second / time.Duration(b.r.o.rate))
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-b.r.done:
			return
		case <-ctx.Done():
			return
		}
		m := said{n: n, shard: n % len(b.guilds), at: time.Now()}
		g := b.guilds[m.shard][rng.IntN(len(b.guilds[m.shard]))]
		channels := b.r.cluster.sim.TextChannels(g)
		m.guild = g.String()
		s, err := b.r.cluster.sim.Say(sim.Say{
			Guild: g, Channel: channels[rng.IntN(len(channels))], Content: tally.New().Add(n, m.guild, false),
		})
		if err != nil {
			b.r.violate("the simulator: %v", err)
			return
		}
		m.delivered = s.Delivered > 0
		b.mu.Lock()
		b.said = append(b.said, m)
		b.mu.Unlock()
	}
}

// end notes that Discord is about to end the session of a shard, with a close
// code that leaves no RESUME to try. What is not committed is gone.
func (b *books) end(shard int) {
	at := ended{shard: shard, at: time.Now()}
	for _, s := range b.r.cluster.sim.LiveSessions() {
		if int(s.Shard[0]) == shard {
			at.session = s.ID
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ends = append(b.ends, at)
}

// ended is the end of a session by a close code.
type ended struct {
	shard   int
	session string // "" if there was none
	at      time.Time
}

// counted is the number of the message that a post answers by "count".
func counted(p sim.Posted) (int, bool) {
	text, ok := strings.CutPrefix(p.Content, "count ")
	n, err := strconv.Atoi(text)
	return n, ok && err == nil && !p.Deduped
}

// withheld is a time in which Discord took away what a session had not delivered.
type withheld struct {
	shard    int
	from, to time.Time
}

// withheldBy finds when sessions were refused: what came after the committed
// sequence that a RESUME carried is gone, until the next session begins.
func (b *books) withheldBy(l *sim.Ledger) (out []withheld) {
	sessions := map[string]sim.SessionRecord{}
	for _, s := range l.Sessions() {
		sessions[s.ID] = s
	}
	ids := l.Identifies()
	for _, r := range l.Resumes() {
		if r.Result == "ok" {
			continue
		}
		of := sessions[r.Session] // the RESUME of one that has expired names no shard
		shard := int(of.Shard[0])
		out = append(out, withheld{shard, follows(of, r.Seq, r.At), nextSession(ids, shard, r.At)})
	}
	for _, e := range b.endings() {
		from := follows(sessions[e.session], b.r.seen.committed(e.session), e.at)
		out = append(out, withheld{e.shard, from, nextSession(ids, e.shard, e.at)})
	}
	for _, o := range b.orphans(l) {
		out = append(out, withheld{shard: o.shard, from: o.begun, to: o.replaced})
	}
	return out
}

// saying is how long a message may take from its writer into the stream.
const saying = 50 * time.Millisecond

// follows is when what follows a sequence in a session was said first, no later
// than end.
func follows(s sim.SessionRecord, seq int64, end time.Time) time.Time {
	if i := slices.IndexFunc(s.Made, func(e sim.Made) bool { return e.S > seq }); i >= 0 && s.Made[i].At.Before(end) {
		end = s.Made[i].At
	}
	return end.Add(-saying)
}

// nextSession is when the next session of a shard began; now if none did.
func nextSession(ids []sim.Identify, shard int, after time.Time) time.Time {
	for _, id := range ids {
		if id.Result == "ok" && int(id.Shard[0]) == shard && id.At.After(after) {
			return id.At
		}
	}
	return time.Now()
}

func (b *books) endings() []ended {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.ends)
}

// orphan is a session that nobody has resumed in vain, and in whose place another
// one began: whoever began it ended, or lost the shard, before its READY was
// committed. What came in it is lost, and is a gap.
type orphan struct {
	sid             string
	shard           int
	begun, replaced time.Time
}

func (b *books) orphans(l *sim.Ledger) (out []orphan) {
	ends := b.endings()
	refused := map[string]bool{}
	for _, r := range l.Resumes() {
		if r.Result != "ok" {
			refused[r.Session] = true
		}
	}
	newest := map[int]sim.Identify{}
	for _, id := range l.Identifies() {
		if id.Result != "ok" {
			continue
		}
		shard := int(id.Shard[0])
		before, ok := newest[shard]
		over := slices.ContainsFunc(ends, func(e ended) bool {
			return e.shard == shard && e.at.After(before.At) && e.at.Before(id.At)
		})
		if ok && !over && !refused[before.Session] {
			out = append(out, orphan{before.Session, shard, before.At, id.At})
		}
		newest[shard] = id
	}
	return out
}

// split divides the messages into those that must have come to what they come to,
// and those that Discord may have kept for itself: no session was there, or it
// ended before it delivered them. Of the latter those that were answered count.
func (b *books) split() (want *tally.Want, excused int) {
	answered := map[int]bool{}
	for _, p := range b.r.cluster.sim.Ledger().Posted() {
		if n, ok := counted(p); ok {
			answered[n] = true
		}
	}
	gone := b.withheldBy(b.r.cluster.sim.Ledger())
	want = tally.New()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.said {
		lost := !m.delivered || slices.ContainsFunc(gone, func(w withheld) bool {
			return w.shard == m.shard && !m.at.Before(w.from) && !m.at.After(w.to)
		})
		if lost && !answered[m.n] {
			excused++
			continue
		}
		want.Add(m.n, m.guild, false)
	}
	return want, excused
}

var errMissing = errors.New("answers are missing")

// allAnswered returns nil if nothing that must be answered is left.
func (b *books) allAnswered() error {
	want, _ := b.split()
	for _, p := range b.r.cluster.sim.Ledger().Posted() {
		delete(want.Answers, p.Content)
	}
	if n := len(want.Answers); n > 0 {
		return fmt.Errorf("%w: %d", errMissing, n)
	}
	return nil
}

// silence is the longest time, of any shard, between two answers that lay in a
// span of time at least in part. One that had lasted for a second when the span
// began is of another making.
func (b *books) silence(posted []sim.Posted, from, to time.Time) (worst time.Duration) {
	last := map[int]time.Time{}
	for _, p := range posted {
		if _, ok := counted(p); !ok {
			continue
		}
		shard := b.of[p.Channel]
		before, ok := last[shard]
		if ok && p.At.After(from) && before.Before(to) && before.After(from.Add(-time.Second)) {
			worst = max(worst, p.At.Sub(before))
		}
		last[shard] = p.At
	}
	return worst
}

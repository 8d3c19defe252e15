package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/mutant"
	"github.com/botnode/botnode/shard"
)

// judgeDone: an acknowledgement counts once, is the runner's, and its writes
// follow from what was read (I3).
func (o *oracle) judgeDone(d *fsm.Done, pre sight) {
	if pre.entry == nil || pre.entry.Runner != d.Runner || !slices.Contains(pre.entry.Handlers, d.Handler) {
		o.s.fail("I3", "a Done of %s for %s took effect on entry %d, which is another's", d.Runner, d.Handler, d.Pos)
		return
	}
	e, began := pre.entry, false
	for attempts := range e.Attempts + 1 {
		began = began || o.starts[startKey{pre.gen, d.Pos, attempts, d.Runner}] > 0
	}
	if !began {
		o.s.fail("I3", "%s acknowledged entry %d, which it never began", d.Runner, d.Pos)
	}
	key := doneKey{d.Pos, d.Handler}
	if o.done[key] {
		o.s.fail("I3", "handler %s of entry %d was acknowledged twice", d.Handler, d.Pos)
	}
	o.done[key] = true
	for _, w := range d.Writes {
		o.counter[w.Key]++
		if got, _ := strconv.Atoi(string(w.Value)); got != o.counter[w.Key] {
			o.s.fail("I3", "%s is %d after %d acknowledged increments", w.Key, got, o.counter[w.Key])
		}
	}
}

// shadow checks what no single command accounts for.
func (o *oracle) shadow(c fsm.Command, gen uint64) {
	o.m.View(func(_ uint64, s *fsm.State) {
		b := s.Bot(botName)
		if b == nil {
			return
		}
		if b.LastPos < o.frontier {
			o.s.fail("I4", "the last position fell from %d to %d in generation %d", o.frontier, b.LastPos, gen)
		}
		o.frontier = b.LastPos
	})
	if _, grant := c.(*fsm.Grant); grant {
		return // judged there
	}
	for _, e := range o.changes.Altered {
		o.moved[e.Pos] = o.s.now
	}
}

// judgeAttempts: an entry begins again only for a reason (I5). A planned move
// or an operator's command is none, and neither is the death or silence of another node than its runner.
func (o *oracle) judgeAttempts(c fsm.Command, owner fsm.NodeRef, before map[uint64]*fsm.Entry) {
	g, grant := c.(*fsm.Grant)
	if before == nil {
		return
	}
	for _, e := range o.changes.Altered {
		was := before[e.Pos]
		if was == nil || was.Runner.None() || grant && g.Adopt && (was.Runner == owner || was.Runner == g.From) {
			continue
		}
		o.s.fail("I5", "%T takes entry %d from %s, which may be running it", c, e.Pos, was.Runner)
	}
}

// decided judges an owner's decision at the moment at which it is made.
func (o *oracle) decided(n *node, b *ownerBox, a shard.Action) {
	switch a := a.(type) {
	case shard.Resume, shard.Identify:
		if o.s.now >= n.lease {
			o.s.fail("I7", "%s decides on %T, but has not been fresh for %v", n.ref, a, o.s.now-n.lease)
		}
		if v, ok := n.shardView(b.k); !ok || v.Owner != n.ref {
			o.s.fail("I7", "%s decides on %T without owning the shard", n.ref, a)
		}
	case shard.Propose:
		if o.s.tracing {
			o.s.tracef("%s proposes %s", n.ref, describe(a.Cmd))
		}
		return
	}
	o.s.tracef("%s shard %d: %s%+v", n.ref, b.k, short(a), a)
}

// wroteResume: RESUME carries a sequence that is committed (I2).
func (o *oracle) wroteResume(n *node, _ *ownerBox, a shard.Resume) {
	if a.Seq > o.peak[a.SID] {
		o.s.fail("I2", "%s resumes %s from %d, committed is %d", n.ref, a.SID, a.Seq, o.peak[a.SID])
	}
}

// heartbeat: so do heartbeats (I2).
func (o *oracle) heartbeat(c *dconn, seq int64) {
	if c.sess != nil && seq > o.peak[c.sess.id] {
		o.s.fail("I2", "%s acknowledges %d of %s, committed is %d", c.n.ref, seq, c.sess.id, o.peak[c.sess.id])
	}
}

// wroteIdentify: every op 2 has its permit, and those of one key keep their
// distance (I6). A process that was frozen for long between the decision and
// the write, or in it across a restore, escapes the second. So does one that was
// frozen in it at all and hasn't heard of a restore: all keys wait then for as long
// as an owner may use what it was given before, and no longer.
func (o *oracle) wroteIdentify(n *node, b *ownerBox, decided Time) {
	o.identifies++
	if o.identifies > o.permits {
		o.s.fail("I6", "%d IDENTIFY written, %d permits given", o.identifies, o.permits)
	}
	key := uint32(discord.IdentifyKey(b.k, o.s.knobs.Concurrency))
	last, used := o.wrote[key]
	unaware := n.generation() != o.m.generation() && o.s.now > decided
	late := o.s.now-decided >= o.s.timing.Identify || decided < o.renewed || unaware
	if used && !late && !o.late[key] && o.s.now-last < o.s.timing.Identify {
		o.s.fail("I6", "%s writes IDENTIFY %v after the last one of key %d", n.ref, o.s.now-last, key)
	}
	o.wrote[key], o.late[key] = o.s.now, late
}

// started judges the start of a handler (I5, I7).
func (o *oracle) started(n *node, e *fsm.Entry) {
	o.s.stats.Starts++
	o.s.tracef("%s starts entry %d attempt %d", n.ref, e.Pos, e.Attempts)
	if o.s.now >= n.lease {
		o.s.fail("I7", "%s starts entry %d, but has not been fresh for %v", n.ref, e.Pos, o.s.now-n.lease)
	}
	key := startKey{n.generation(), e.Pos, e.Attempts, n.ref}
	if o.starts[key]++; o.starts[key] > 1 && !o.excused[key] {
		o.s.fail("I5", "%s starts entry %d twice in attempt %d", n.ref, e.Pos, e.Attempts)
	}
	if at, ok := o.moved[e.Pos]; ok && at < n.knows && key.generation == o.m.generation() {
		o.m.View(func(_ uint64, s *fsm.State) {
			if now, ok := s.Bot(botName).Entry(e.Shard, e.Pos); ok && now.Runner != n.ref && !o.s.mutant.Has(mutant.Freshness) {
				o.s.fail("I7", "%s was told that it is fresh after entry %d went to %s, and starts it", n.ref, e.Pos, now.Runner)
			}
		})
	}
}

func (o *oracle) ackOf(n *node, x *run, handler string) ackKey {
	// Each attempt is another runner's, or follows from a failure.
	moves := int(x.entry.Attempts)
	for _, attempt := range o.failed[tryKey{x.gen, x.entry.Pos, x.entry.Retries}] {
		if attempt <= x.entry.Attempts {
			moves--
		}
	}
	return ackKey{x.gen, x.entry.Pos, handler, moves, n.ref}
}

// plain notes an acknowledgement that can't be refused for what was read.
func (o *oracle) plain(n *node, x *run, handler string) { o.acked[o.ackOf(n, x, handler)] = true }

// turn: a handler that is done isn't run again by the process that did it (I5).
func (o *oracle) turn(n *node, x *run, handler string) {
	if o.acked[o.ackOf(n, x, handler)] {
		o.s.fail("I5", "%s runs handler %s of entry %d again, which it has acknowledged", n.ref, handler, x.entry.Pos)
	}
}

// excuse allows an attempt to begin again: it failed, or met a conflict.
func (o *oracle) excuse(n *node, x *run) {
	o.excused[startKey{x.gen, x.entry.Pos, x.entry.Attempts, n.ref}] = true
}

// converged reports whether nothing is left to do (I9).
func (s *Sim) converged() bool {
	for _, n := range s.nodes {
		if n.applied != len(s.raft.log) {
			return false
		}
	}
	for k := range s.knobs.Shards {
		if why := s.unsettled(k); why != "" {
			return false
		}
	}
	for _, c := range s.clients {
		if c.unserved() != "" {
			return false
		}
	}
	return true
}

// unsettled says what a shard still waits for.
func (s *Sim) unsettled(k int) (why string) {
	s.oracle.m.View(func(_ uint64, st *fsm.State) {
		b := st.Bot(botName)
		sh, _ := b.Shard(s.key(k))
		x := s.discord.sessions[sh.SID]
		count, _ := b.Pending()
		n := s.node(sh.Owner.ID)
		switch {
		case n == nil || n.ref != sh.Owner:
			why = "it has no owner that lives"
		case s.misplaced(st, b, &sh) != "":
			why = s.misplaced(st, b, &sh)
		case x == nil:
			why = "it has no session"
		case x.conn == nil || x.conn.n != n || x.conn.gone:
			why = "its session has no connection; the owner is " + n.owners[k].o.Phase().String()
		case sh.Intents != b.Config.Intents:
			why = fmt.Sprintf("its session has intents %d, and %d are configured", sh.Intents, b.Config.Intents)
		case sh.C != x.last():
			why = fmt.Sprintf("c is %d, Discord's last event is %d", sh.C, x.last())
		case count > 0:
			why = fmt.Sprintf("%d entries are left", count)
			if e := sh.Oldest(); e != nil {
				why += fmt.Sprintf(", here the oldest is %d with %s in attempt %d", e.Pos, e.Runner, e.Attempts)
			}
		}
	})
	return why
}

func (s *Sim) stuck() string {
	var out strings.Builder
	fmt.Fprintf(&out, "nothing has come to rest %v after the last fault:", s.knobs.Quiet)
	for _, n := range s.nodes {
		if n.applied != len(s.raft.log) {
			fmt.Fprintf(&out, " %s has applied %d of %d;", n.ref, n.applied, len(s.raft.log))
		}
	}
	for k := range s.knobs.Shards {
		if why := s.unsettled(k); why != "" {
			fmt.Fprintf(&out, " shard %d: %s;", k, why)
		}
	}
	for _, c := range s.clients {
		if why := c.unserved(); why != "" {
			fmt.Fprintf(&out, " %s;", why)
		}
	}
	return out.String()
}

// misplaced says why a shard is not where an operator or the placement wants it,
// "" if it is.
func (s *Sim) misplaced(st *fsm.State, b *fsm.Bot, sh *fsm.Shard) string {
	if sh.Pin != "" {
		if sh.Pin != sh.Owner.ID && sh.Pin != s.knobs.Unplugged {
			return "it is pinned to " + sh.Pin
		}
		return ""
	}
	where, err := fsm.ParsePlacement(b.Config.Placement)
	if err != nil {
		return err.Error()
	}
	owner, _ := st.Node(sh.Owner.ID)
	for _, id := range st.Nodes() {
		n, _ := st.Node(id)
		switch {
		case !n.Up || n.Draining || n.Weight == 0 || id == s.knobs.Unplugged:
		case owner.Weight == 0:
			return "it is with a node of weight 0"
		case b.Config.Failback && where.Group(id) < where.Group(sh.Owner.ID):
			return "it has not gone back to " + id
		}
	}
	return ""
}

// finale judges the end of a history.
func (s *Sim) finale() {
	s.run(s.now + 500*time.Millisecond)
	o := s.oracle
	if s.failure != nil {
		return
	}
	for _, n := range s.nodes {
		n.applyTo(len(s.raft.log))
	}
	o.digests[len(s.raft.log)] = fsm.Digest{}
	o.m.View(func(_ uint64, st *fsm.State) { o.digests[len(s.raft.log)] = st.Digest() })
	for _, n := range s.nodes {
		o.checkDigest(n)
	}
	o.m.View(func(_ uint64, st *fsm.State) {
		b := st.Bot(botName)
		s.stats.Dead = b.DeadCount()
		for key, want := range o.counter {
			item, _ := b.KVGet(key)
			if got, _ := strconv.Atoi(string(item.Value)); got != want {
				s.fail("I3", "%s is %d after %d acknowledged increments", key, got, want)
			}
		}
	})
}

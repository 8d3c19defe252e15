package model

import (
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// judgeReidentify: a session ends on purpose only for other intents, and one
// shard at a time.
func (o *oracle) judgeReidentify(c *fsm.Reidentify, pre sight) {
	o.s.stats.Renewed++
	o.m.View(func(_ uint64, st *fsm.State) {
		b, planned := st.Bot(botName), 0
		for _, sh := range b.Shards() {
			if sh.Planned {
				planned++
			}
		}
		if planned != 1 || pre.sh.Intents == b.Config.Intents || pre.sh.SID != c.SID {
			o.s.fail("I7", "session %s of %v was ended on purpose: %d are, intents %d of %d", c.SID, c.Shard, planned, pre.sh.Intents, b.Config.Intents)
		}
	})
}

// judgeReady: I7 and the beginning of I1.
func (o *oracle) judgeReady(r *fsm.Ready, pre, post sight) {
	if pre.sh.Sessions > 0 && post.gaps != pre.gaps+1 {
		o.s.fail("I7", "%s replaced a session of %v without a gap record", r.SID, r.Shard)
	}
	o.m.View(func(_ uint64, st *fsm.State) {
		b := st.Bot(botName)
		if g := b.Gaps; pre.sh.Planned && g[len(g)-1].Kind != "planned" {
			o.s.fail("I7", "%s follows a session that was ended on purpose, and its gap record says %s", r.SID, g[len(g)-1].Kind)
		}
	})
	if pre.sh.Sessions > 0 {
		o.commit(commit{gap: true, k: r.Shard})
	}
	if o.progress[r.SID] > 0 {
		o.s.fail("I1", "the READY of %s was applied twice", r.SID)
	}
	o.progress[r.SID] = 1
	o.peak[r.SID] = max(o.peak[r.SID], post.sh.C)
	if post.sh.C != r.S || post.sh.SID != r.SID {
		o.s.fail("I1", "after READY of %s: session %s, c %d", r.SID, post.sh.SID, post.sh.C)
	}
}

// judgeEvents: the applied events are the session's stream, without a hole or
// a repeat; what Discord withheld has a gap record (I1).
func (o *oracle) judgeEvents(ev *fsm.Events, pre, post sight) {
	x := o.s.discord.sessions[ev.SID]
	if x == nil || x.k != int(ev.Shard.Index) {
		o.s.fail("I1", "events of session %s", ev.SID)
		return
	}
	excuse := post.gaps > pre.gaps
	for _, number := range o.batch(ev, pre.sh.C, post.sh.C) {
		o.s.stats.Events++
		at := o.progress[ev.SID]
		switch {
		case number <= x.stream[at-1].S:
			o.s.fail("I1", "event %d of %s was applied again after %d", number, ev.SID, x.stream[at-1].S)
		case at < len(x.stream) && number == x.stream[at].S:
		case excuse:
			for at < len(x.stream) && x.stream[at].S < number {
				at++
			}
		default:
			o.s.fail("I1", "event %d of %s was applied after %d: a hole without a gap record", number, ev.SID, x.stream[at-1].S)
		}
		excuse = false
		if o.s.failure != nil || at >= len(x.stream) {
			return
		}
		o.progress[ev.SID] = at + 1
		if w := x.stream[at].world; w > 0 {
			if other, again := o.world[w]; again {
				o.s.fail("I1", "happening %d was applied twice: by %s and by %s", w, other, ev.SID)
			}
			o.world[w] = ev.SID
		}
	}
	o.peak[ev.SID] = max(o.peak[ev.SID], post.sh.C)
	if at := o.progress[ev.SID]; x.stream[at-1].S != post.sh.C {
		o.s.fail("I1", "c of %s is %d, the last event applied is %d", ev.SID, post.sh.C, x.stream[at-1].S)
	}
}

// unhandled reports whether no handler wants a type of event.
func unhandled(event string) bool {
	return event == discord.EventTypingStart || event == discord.EventInteractionCreate
}

// batch returns the numbers of a batch's events that were applied: those that
// handlers want are in the journal, of the others c tells. It notes what clients
// are to be sent.
func (o *oracle) batch(ev *fsm.Events, from, to int64) (applied []int64) {
	added := o.changes.Added
	for _, e := range ev.Evs {
		if e.S > from && e.S <= to {
			o.commit(commit{k: ev.Shard, sid: ev.SID, s: e.S, event: e.Type, guild: e.Guild})
		}
		switch {
		case unhandled(e.Type):
			if e.S > from && e.S <= to {
				applied = append(applied, e.S)
			}
		case len(added) > 0 && added[0].S == e.S:
			applied = append(applied, e.S)
			added = added[1:]
		}
	}
	return applied
}

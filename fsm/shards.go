package fsm

import (
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/mutant"
)

// Grant makes a node the owner of a shard.
//
// Guard: the shard's epoch is Epoch, and To is up. Effect: the epoch rises by
// one and To owns the shard. Entries of the shard that nobody runs go to To.
// With Adopt so do those that the owner before or From runs, since that one is
// dead, silent, or out of time to drain. What a third node still runs after an
// earlier move stays with it: it may be alive, and in the middle of a handler.
//
// A parked shard gets no owner: To gets its entries alone, since those of a
// runner that is gone must not wait until somebody connects the shard.
//
// A shard that goes elsewhere than where it is pinned is pinned no longer: its
// node can't have it, and must not call it back later.
type Grant struct {
	Bot   string
	Shard ShardKey
	Epoch uint64
	To    NodeRef
	Adopt bool
	Why   Why
	// From is the owner before, as the leader saw it, or the runner that is out
	// of time to drain.
	From NodeRef
}

// Kind implements Command.
func (*Grant) Kind() Kind { return KindGrant }

func (c *Grant) encode(w *writer) {
	w.string(c.Bot)
	w.shard(c.Shard)
	w.uint(c.Epoch)
	w.ref(c.To)
	w.bool(c.Adopt)
	w.byte(byte(c.Why))
	w.ref(c.From)
}

func (c *Grant) decode(r *reader) {
	c.Bot, c.Shard, c.Epoch, c.To = r.string(), r.shard(), r.uint(), r.ref()
	c.Adopt, c.Why, c.From = r.bool(), Why(r.byte()), r.ref()
}

func (c *Grant) apply(s *State) Result {
	b, sh, res := s.shard(c.Bot, c.Shard)
	if sh == nil {
		return res
	}
	if sh.Epoch == c.Epoch+1 && sh.Owner == c.To {
		return sh.ok() // a repeat
	}
	if sh.Parked && sh.Epoch == c.Epoch+1 {
		return Result{Code: Old, C: sh.C, Epoch: sh.Epoch} // a repeat, or too late
	}
	if sh.Epoch != c.Epoch {
		return sh.fenced()
	}
	if s.node(c.To) == nil {
		return noNode
	}
	adopt, before := c.Adopt || s.Mutant.Has(mutant.MoveRunner), sh.Owner
	sh.Epoch++
	sh.Why, sh.From = c.Why, c.From
	if !sh.Parked || s.Mutant.Has(mutant.Parked) {
		sh.Owner = c.To
		if sh.Pin != c.To.ID && before.ID != c.To.ID {
			sh.Pin, sh.PinWhy = "", WhyNormal
		}
	}
	b.adopt(s, sh, c.To, func(runner NodeRef) bool {
		return runner.None() || adopt && (runner == before || runner == c.From)
	})
	return sh.ok()
}

// Ready records a new session.
//
// Guard: the epoch is in force, and the shard has had no other session since
// the IDENTIFY. Without the second, a READY that comes late would bring back a
// session whose connection broke at once, and with it events that another one
// has reported since. Effect: the
// committed sequence is that of the READY. A shard that had a session before
// gets a gap record; guilds that the cache holds and READY doesn't name are
// deleted, by entries in the journal like any GUILD_DELETE.
type Ready struct {
	Bot   string
	Shard ShardKey
	Epoch uint64
	SID   string
	URL   string
	S     int64
	At    int64 // Unix milliseconds
	Raw   []byte
	// After is the number of sessions that the shard had had when IDENTIFY was
	// written.
	After uint64
	// Intents are those that IDENTIFY carried.
	Intents uint64
}

// Kind implements Command.
func (*Ready) Kind() Kind { return KindReady }

func (c *Ready) encode(w *writer) {
	w.string(c.Bot)
	w.shard(c.Shard)
	w.uint(c.Epoch)
	w.string(c.SID)
	w.string(c.URL)
	w.int(c.S)
	w.int(c.At)
	w.bytes(c.Raw)
	w.uint(c.After)
	w.uint(c.Intents)
}

func (c *Ready) decode(r *reader) {
	c.Bot, c.Shard, c.Epoch = r.string(), r.shard(), r.uint()
	c.SID, c.URL, c.S, c.At, c.Raw, c.After = r.string(), r.string(), r.int(), r.int(), r.bytes(), r.uint()
	c.Intents = r.uint()
}

func (c *Ready) apply(s *State) Result {
	b, sh, res := s.shard(c.Bot, c.Shard)
	if sh == nil {
		return res
	}
	if !sh.inForce(c.Epoch) && !s.Mutant.Has(mutant.ReadyEpoch) {
		return sh.fenced()
	}
	if c.SID == "" {
		return refused("a session needs an id")
	}
	if sh.SID == c.SID {
		return Result{Code: Old, C: sh.C, Epoch: sh.Epoch}
	}
	if sh.Sessions != c.After && !s.Mutant.Has(mutant.ReadyEpoch) {
		return refused("the shard has had another session since that IDENTIFY")
	}
	if sh.Sessions > 0 {
		kind := "session"
		if sh.Planned {
			kind = "planned"
		}
		b.gap(GapRecord{Shard: sh.Key, Kind: kind, From: sh.C, At: c.At})
		b.endSharing(s, sh.Key)
	}
	sh.SID, sh.URL, sh.C = c.SID, c.URL, c.S
	sh.Intents, sh.Planned = c.Intents, false
	sh.Sessions++
	b.noteApplication(c.Raw)
	missing := b.cache.MissingGuilds(int(sh.Key.Index), int(sh.Key.Layout), c.Raw)
	evs := make([]Event, 0, 1+len(missing))
	evs = append(evs, Event{S: c.S, Type: discord.EventReady, Raw: c.Raw})
	for _, g := range missing {
		raw := []byte(`{"id":"` + g.String() + `"}`)
		evs = append(evs, Event{S: c.S, Type: discord.EventGuildDelete, Guild: g, Lane: g, Raw: raw})
	}
	in := b.intake(s.handlersOf(sh.Owner, b), c.At, evs)
	for i := range evs {
		b.dispatch(s, sh, &in, &evs[i])
	}
	return sh.ok()
}

func (b *Bot) gap(g GapRecord) {
	b.GapCount++
	if len(b.Gaps) >= maxGaps {
		b.Gaps = append(b.Gaps[:0:0], b.Gaps[1:]...)
	}
	b.Gaps = append(b.Gaps, g)
}

// Lost records that a session is over.
//
// Guard: the epoch is in force and the session is the shard's.
type Lost struct {
	Bot   string
	Shard ShardKey
	Epoch uint64
	SID   string
}

// Kind implements Command.
func (*Lost) Kind() Kind { return KindLost }

func (c *Lost) encode(w *writer) {
	w.string(c.Bot)
	w.shard(c.Shard)
	w.uint(c.Epoch)
	w.string(c.SID)
}

func (c *Lost) decode(r *reader) {
	c.Bot, c.Shard, c.Epoch, c.SID = r.string(), r.shard(), r.uint(), r.string()
}

func (c *Lost) apply(s *State) Result {
	_, sh, res := s.shard(c.Bot, c.Shard)
	if sh == nil {
		return res
	}
	if !sh.inForce(c.Epoch) {
		return sh.fenced()
	}
	if sh.SID != c.SID || c.SID == "" {
		return Result{Code: Old, Epoch: sh.Epoch}
	}
	sh.SID, sh.URL = "", ""
	return sh.ok()
}

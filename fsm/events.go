package fsm

import (
	"bytes"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/mutant"
)

// Event is one dispatch event as its owner read it.
type Event struct {
	S     int64
	Type  string
	Guild discord.Snowflake // 0 where the event has none
	// Lane orders the event: events of one lane are handled one after the
	// other. It is the guild, else the channel, else 0.
	Lane discord.Snowflake
	Deep bool   // nested too deep to be looked at: journaled, no effect on caches
	Raw  []byte // the d of the frame
	// Slices is where in Raw the members are that the caches look at, as
	// cache.Slice found them; empty if nobody looked.
	Slices []byte
}

// Events carries consecutive events of a session.
//
// Guard: the epoch is in force, the session is the shard's, and
// Prev <= C < the last event's S. Effect: each event above C changes the
// caches, enters the journal if the bot is interested, and then C is the last S.
//
// The owner looks through the payload once, so that no node has to do it again:
// Guild, Lane and Slices travel with the event.
type Events struct {
	Bot   string
	Shard ShardKey
	Epoch uint64
	SID   string
	Prev  int64 // the sequence read before the first event, or the one sent in RESUME
	At    int64 // when the first was read, Unix milliseconds
	// Jump marks the first event after a RESUME whose number is not the next
	// one: Discord may have withheld something. It is recorded as a gap, unless
	// the number turns out to be the one after C.
	Jump bool
	Evs  []Event
}

// Kind implements Command.
func (*Events) Kind() Kind { return KindEvents }

func (c *Events) encode(w *writer) {
	w.string(c.Bot)
	w.shard(c.Shard)
	w.uint(c.Epoch)
	w.string(c.SID)
	w.int(c.Prev)
	w.int(c.At)
	w.bool(c.Jump)
	types, index := eventTypes(c.Evs)
	w.strings(types)
	w.uint(uint64(len(c.Evs)))
	prev := c.Prev
	for i := range c.Evs {
		e := &c.Evs[i]
		w.uint(uint64(index[e.Type]))
		w.int(e.S - prev)
		prev = e.S
		w.uint(uint64(e.Guild))
		w.uint(uint64(e.Lane))
		w.bool(e.Deep)
		w.bytes(e.Slices)
		w.bytes(e.Raw)
	}
}

// eventTypes lists the types of a batch once each, in order of appearance.
func eventTypes(evs []Event) ([]string, map[string]int) {
	var types []string
	index := make(map[string]int, 4)
	for i := range evs {
		if _, ok := index[evs[i].Type]; !ok {
			index[evs[i].Type] = len(types)
			types = append(types, evs[i].Type)
		}
	}
	return types, index
}

func (c *Events) decode(r *reader) {
	c.Bot, c.Shard, c.Epoch, c.SID = r.string(), r.shard(), r.uint(), r.string()
	c.Prev, c.At, c.Jump = r.int(), r.int(), r.bool()
	types := r.strings()
	n := r.count(7)
	c.Evs = make([]Event, n)
	prev := c.Prev
	for i := range c.Evs {
		e := &c.Evs[i]
		t := r.uint()
		if t >= uint64(len(types)) {
			r.fail("an event of no type")
			return
		}
		e.Type = types[t]
		prev += r.int()
		e.S = prev
		e.Guild, e.Lane = discord.Snowflake(r.uint()), discord.Snowflake(r.uint())
		if e.Deep, e.Slices = r.bool(), r.bytes(); len(e.Slices) == 0 {
			e.Slices = nil
		}
		e.Raw = r.bytes()
	}
}

func (c *Events) apply(s *State) Result {
	b, sh, res := s.shard(c.Bot, c.Shard)
	if sh == nil {
		return res
	}
	if !sh.inForce(c.Epoch) || sh.SID != c.SID || c.SID == "" {
		return sh.fenced()
	}
	if len(c.Evs) == 0 {
		return refused("a batch without events")
	}
	last := c.Evs[len(c.Evs)-1].S
	if last <= sh.C && !s.Mutant.Has(mutant.Dedupe) {
		return Result{Code: Old, C: sh.C, Epoch: sh.Epoch}
	}
	if c.Prev > sh.C && !s.Mutant.Has(mutant.PrevChain) {
		return Result{Code: Gap, C: sh.C, Epoch: sh.Epoch}
	}
	if c.Jump && sh.C+1 < c.Evs[0].S {
		// C may have passed Prev since: by a batch of the same owner that was
		// read before its RESUME and committed after it.
		b.gap(GapRecord{Shard: sh.Key, Kind: "jump", From: sh.C, To: c.Evs[0].S, At: c.At})
	}
	in := b.intake(s.handlersOf(sh.Owner, b), c.At, c.Evs)
	s.kept = s.kept || cap(in.slab) > 0 && !in.copy
	for i := range c.Evs {
		e := &c.Evs[i]
		if e.S <= sh.C && !s.Mutant.Has(mutant.Dedupe) {
			continue
		}
		b.dispatch(s, sh, &in, e)
		sh.C = max(sh.C, e.S) // as they go: numbers that don't rise have no effect
	}
	return sh.ok()
}

// intake is what the events of one command share on their way to the journal.
type intake struct {
	at       int64
	handlers handlerTable // of the owner's program
	copy     bool         // payloads are copied
	slab     []Entry      // room for the entries, allocated at once
}

// intake makes room for the events that the journal takes. Entries refer to the
// batch that brought them and keep all of it in memory, so payloads are copied
// when that would be mostly for what nobody wants.
func (b *Bot) intake(handlers handlerTable, at int64, evs []Event) intake {
	count, wanted, total := 0, 0, 0
	for i := range evs {
		total += len(evs[i].Raw)
		if b.wants(handlers, evs[i].Type) {
			count++
			wanted += len(evs[i].Raw)
		}
	}
	return intake{at: at, handlers: handlers, copy: wanted < total/2, slab: make([]Entry, 0, count)}
}

// wants reports whether the journal takes events of a type.
func (b *Bot) wants(handlers handlerTable, event string) bool {
	if len(handlers[event]) > 0 {
		return true
	}
	if _, ok := b.interests[event]; ok {
		return true
	}
	return b.clients.wants(event)
}

// dispatch gives one event its effect: first on the caches, then on the
// journal.
func (b *Bot) dispatch(s *State, sh *Shard, in *intake, e *Event) {
	handlers := in.handlers[e.Type]
	var before []byte
	if len(handlers) > 0 && !e.Deep {
		before = b.cache.Before(e.Type, e.Raw)
	}
	if e.Type == discord.EventInteractionCreate && !e.Deep && s.since(rulesInteractions) {
		b.noteInteraction(e.Raw, in.at)
	}
	if !e.Deep {
		b.cache.ApplySliced(int(sh.Key.Index), int(sh.Key.Layout), e.Type, e.Raw, e.Slices)
	}
	if !b.wants(in.handlers, e.Type) || len(handlers) == 0 && b.unasked(e) {
		return
	}
	b.LastPos++
	raw := e.Raw
	if in.copy {
		raw = bytes.Clone(raw)
	}
	in.slab = append(in.slab, Entry{
		Bot: b.Name, Pos: b.LastPos, Shard: sh.Key, SID: sh.SID, S: e.S, Type: e.Type,
		Guild: e.Guild, Lane: e.Lane, At: in.at, Raw: raw, Before: before,
		Handlers: handlers, Runner: sh.Owner, Why: sh.Why,
	})
	b.journal.add(s, sh, &in.slab[len(in.slab)-1], b.Config.RetainBytes)
}

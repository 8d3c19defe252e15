package fsm

import (
	"bytes"
	"math"
)

// AllShards stands for every shard of a bot in a Presence.
const AllShards = math.MaxUint32

// MaxPresence bounds a presence: a gateway payload may have 4,096 bytes.
const MaxPresence = 3500

// presence is a bot's presence on a shard.
type presence struct {
	raw []byte
	rev uint64
}

// Presence sets the presence of one shard, or of all.
//
// Guard: Rev is the number of changes before it, or a late repeat would bring
// an old presence back. Raw is the d of an op 3 (events/gateway-events.mdx,
// "Update Presence"); empty takes a presence back.
type Presence struct {
	Bot   string
	Rev   uint64
	Shard uint32 // index, or AllShards
	Raw   []byte
}

// Kind implements Command.
func (*Presence) Kind() Kind { return KindPresence }

func (c *Presence) encode(w *writer) {
	w.string(c.Bot)
	w.uint(c.Rev)
	w.uint(uint64(c.Shard))
	w.bytes(c.Raw)
}

func (c *Presence) decode(r *reader) {
	c.Bot, c.Rev, c.Shard, c.Raw = r.string(), r.uint(), r.uint32(), r.bytes()
}

func (c *Presence) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	if len(c.Raw) > MaxPresence {
		return refused("a presence has at most 3500 bytes")
	}
	if c.Shard != AllShards && c.Shard >= max(1, b.Layout) {
		return noShard
	}
	if p, ok := b.presences[c.Shard]; ok && p.rev == c.Rev+1 && p.rev == b.presenceRev && bytes.Equal(p.raw, c.Raw) {
		return Result{Version: b.presenceRev} // a repeat
	}
	if c.Rev != b.presenceRev {
		return Result{Code: Conflict, Version: b.presenceRev, Msg: "the presence has another revision"}
	}
	b.presenceRev++
	if c.Shard == AllShards {
		clear(b.presences)
	}
	b.presences[c.Shard] = presence{raw: bytes.Clone(c.Raw), rev: b.presenceRev}
	return Result{Version: b.presenceRev}
}

// PresenceOf returns the presence that a shard is to show, the d of an op 3, and
// the number of the change that set it; nil and 0 for the configuration's.
func (b *Bot) PresenceOf(shard uint32) (raw []byte, rev uint64) {
	p, ok := b.presences[shard]
	if !ok {
		p = b.presences[AllShards]
	}
	if len(p.raw) == 0 {
		return b.Config.Presence, p.rev
	}
	return p.raw, p.rev
}

// PresenceRev returns the number of changes of presences.
func (b *Bot) PresenceRev() uint64 { return b.presenceRev }

package fsm

import "github.com/botnode/botnode/discord"

// Disconnect takes a shard from its owner and parks it: nobody is made its owner
// again before a Connect.
//
// Guard: the epoch is in force. Effect: the epoch rises by one, so whatever its
// owner proposes from then on is fenced and C is final. The session stays on
// record, to go on here or elsewhere. Entries stay with those who run them: they
// may be in the middle of a handler.
type Disconnect struct {
	Bot   string
	Shard ShardKey
	Epoch uint64
}

// Kind implements Command.
func (*Disconnect) Kind() Kind { return KindDisconnect }

func (c *Disconnect) encode(w *writer) {
	w.string(c.Bot)
	w.shard(c.Shard)
	w.uint(c.Epoch)
}

func (c *Disconnect) decode(r *reader) {
	c.Bot, c.Shard, c.Epoch = r.string(), r.shard(), r.uint()
}

func (c *Disconnect) apply(s *State) Result {
	_, sh, res := s.shard(c.Bot, c.Shard)
	switch {
	case sh == nil:
		return res
	case sh.Parked && (sh.Epoch == c.Epoch || sh.Epoch == c.Epoch+1):
		return Result{Code: Old, C: sh.C, Epoch: sh.Epoch}
	case sh.Epoch != c.Epoch:
		return sh.fenced()
	}
	sh.Epoch++
	sh.Owner, sh.From, sh.Parked, sh.Planned = NodeRef{}, sh.Owner, true, false
	return sh.ok()
}

// Connect ends what Disconnect began. It may bring the session of another
// cluster, and makes a shard known that this one has not had before: a bot whose
// shards are connected by hand has none at first.
//
// Guard: the shard is parked and the epoch is in force, or it is not known and
// the epoch is 0; the shard count is the one in force; the session, if it is the
// one on record, is not behind it. Effect: the epoch rises by one; To owns the
// shard and has it pinned, unless it drains; if To is nobody, the leader finds
// somebody.
//
// What this cluster has not seen is on record as a gap: "elsewhere" for events
// between the session that it had and the one that comes, "state" for guilds that
// are not cached, since a resumed session gets no GUILD_CREATE.
type Connect struct {
	Bot   string
	Shard ShardKey
	Epoch uint64
	To    NodeRef
	// SID, URL and C are the session that goes on; without a SID it is the one on
	// record, if there is one.
	SID, URL string
	C        int64
	// Guilds is the number of guilds that the session had where it comes from.
	Guilds int64
	At     int64 // Unix milliseconds
}

// Kind implements Command.
func (*Connect) Kind() Kind { return KindConnect }

func (c *Connect) encode(w *writer) {
	w.string(c.Bot)
	w.shard(c.Shard)
	w.uint(c.Epoch)
	w.ref(c.To)
	w.string(c.SID)
	w.string(c.URL)
	w.int(c.C)
	w.int(c.Guilds)
	w.int(c.At)
}

func (c *Connect) decode(r *reader) {
	c.Bot, c.Shard, c.Epoch, c.To = r.string(), r.shard(), r.uint(), r.ref()
	c.SID, c.URL, c.C, c.Guilds, c.At = r.string(), r.string(), r.int(), r.int(), r.int()
}

func (c *Connect) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	sh, res := b.parked(c.Shard, c.Epoch)
	switch {
	case sh != nil && !sh.Parked && sh.Epoch == c.Epoch+1 && sh.Owner == c.To && (c.SID == "" || sh.SID == c.SID):
		return sh.ok() // a repeat
	case sh == nil || res.Code != OK:
		return res
	case !c.To.None() && s.node(c.To) == nil:
		return noNode
	case c.SID != "" && sh.SID == c.SID && c.C < sh.C:
		return refused("this cluster is further on in that session")
	}
	b.know(sh)
	if c.SID != "" {
		b.takeSession(s, sh, c)
	}
	sh.Epoch++
	sh.Parked, sh.Owner, sh.From, sh.Why = false, c.To, NodeRef{}, WhyNormal
	if !c.To.None() {
		if !s.node(c.To).Draining {
			sh.Pin, sh.PinWhy = c.To.ID, WhyHandoff
			b.PinRev++ // what was ordered before it is older
		}
		b.adopt(s, sh, c.To, NodeRef.None)
	}
	return sh.ok()
}

// takeSession puts a session in force that comes from elsewhere. What was handled
// there is a gap for this cluster's clients.
func (b *Bot) takeSession(s *State, sh *Shard, c *Connect) {
	gaps := b.GapCount
	if sh.Sessions > 0 && (sh.SID != c.SID || sh.C != c.C) {
		b.gap(GapRecord{Shard: sh.Key, Kind: "elsewhere", From: sh.C, To: c.C, At: c.At})
	}
	if int64(b.cache.GuildCount(int(sh.Key.Index), int(sh.Key.Layout))) < c.Guilds {
		b.gap(GapRecord{Shard: sh.Key, Kind: "state", To: c.C, At: c.At})
	}
	if b.GapCount > gaps && s.since(rulesConnectEnds) {
		b.endSharing(s, sh.Key)
	}
	if sh.SID != c.SID {
		sh.Sessions++
	}
	sh.SID, sh.URL, sh.C = c.SID, c.URL, c.C
	// Which intents it was begun with is not known here. They are taken for the
	// configured ones, or a session that came with care would be ended at once.
	sh.Intents = b.Config.Intents
}

// Import puts what another cluster had cached of a parked shard's guilds into the
// caches, as events of Discord that a session would begin with. Nothing of it
// enters the journal.
//
// Guard: that of Connect. A repeat writes the same once more; one that comes
// after the Connect is fenced.
type Import struct {
	Bot   string
	Shard ShardKey
	Epoch uint64
	Evs   []Imported
}

// Imported is an event of an Import: READY, for the bot's own user that it
// brings, GUILD_CREATE or GUILD_MEMBERS_CHUNK.
type Imported struct {
	Type string
	Raw  []byte
}

// Kind implements Command.
func (*Import) Kind() Kind { return KindImport }

func (c *Import) encode(w *writer) {
	w.string(c.Bot)
	w.shard(c.Shard)
	w.uint(c.Epoch)
	w.uint(uint64(len(c.Evs)))
	for _, e := range c.Evs {
		w.string(e.Type)
		w.bytes(e.Raw)
	}
}

func (c *Import) decode(r *reader) {
	c.Bot, c.Shard, c.Epoch = r.string(), r.shard(), r.uint()
	for range r.count(2) {
		c.Evs = append(c.Evs, Imported{Type: r.string(), Raw: r.bytes()})
	}
}

func (c *Import) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	sh, res := b.parked(c.Shard, c.Epoch)
	if sh == nil || res.Code != OK {
		return res
	}
	for _, e := range c.Evs {
		switch e.Type {
		case discord.EventReady, discord.EventGuildCreate, discord.EventGuildMembersChunk:
		default:
			return refused("only users, guilds and members are imported")
		}
	}
	b.know(sh)
	for _, e := range c.Evs {
		b.cache.Apply(int(sh.Key.Index), int(sh.Key.Layout), e.Type, e.Raw)
		if e.Type == discord.EventReady {
			b.noteApplication(e.Raw)
		}
	}
	return sh.ok()
}

// parked returns a shard that may be connected: one that is parked under an
// epoch, or one that this cluster has not had, which is not the bot's before
// know. A Result that is not OK says why it may not be.
func (b *Bot) parked(k ShardKey, epoch uint64) (*Shard, Result) {
	if sh := b.shards[k]; sh != nil {
		switch {
		case sh.Epoch != epoch:
			return sh, sh.fenced()
		case !sh.Parked:
			return sh, refused("the shard is connected")
		}
		return sh, Result{}
	}
	switch {
	case b.Layout != 0 && b.Layout != k.Layout:
		return nil, refused("the bot has another shard count in force")
	case epoch != 0:
		return nil, Result{Code: Fenced}
	}
	return &Shard{Key: k, Parked: true, pending: new(pendingTree)}, Result{}
}

// know makes a shard the bot's, and its layout the one in force.
func (b *Bot) know(sh *Shard) {
	b.shards[sh.Key] = sh
	b.Layout = sh.Key.Layout
}

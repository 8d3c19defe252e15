package fsm

// Reidentify ends a session on purpose, so that the shard begins one with the
// intents that are configured now.
//
// Guard: the epoch is in force, the session is the shard's and was begun with
// other intents, no other shard of the bot is on its way to such a new session,
// and more identifies remain than the reserve. Effect: the shard has no
// session, its owner identifies. The next READY records a gap of kind "planned".
type Reidentify struct {
	Bot   string
	Shard ShardKey
	Epoch uint64
	SID   string
}

// Kind implements Command.
func (*Reidentify) Kind() Kind { return KindReidentify }

func (c *Reidentify) encode(w *writer) {
	w.string(c.Bot)
	w.shard(c.Shard)
	w.uint(c.Epoch)
	w.string(c.SID)
}

func (c *Reidentify) decode(r *reader) {
	c.Bot, c.Shard, c.Epoch, c.SID = r.string(), r.shard(), r.uint(), r.string()
}

func (c *Reidentify) apply(s *State) Result {
	b, sh, res := s.shard(c.Bot, c.Shard)
	if sh == nil {
		return res
	}
	if sh.Epoch != c.Epoch {
		return sh.fenced()
	}
	if sh.Parked {
		return refused("the shard is disconnected")
	}
	if c.SID == "" || sh.SID != c.SID || sh.Intents == b.Config.Intents {
		return Result{Code: Old, Epoch: sh.Epoch}
	}
	for _, other := range b.shards {
		if other.Planned && other.Key.Layout == b.Layout {
			return refused("another shard is on its way to a planned session")
		}
	}
	if b.Budget.Remaining <= b.Config.IdentifyReserve {
		return refused("no identifies are left but the reserve")
	}
	sh.SID, sh.URL, sh.Planned = "", "", true
	return sh.ok()
}

// Sweep goes on with what a change of cache policies has begun.
//
// Guard: Step is the number of sweeps that the bot has had, and there is
// something left to do. Effect: so many objects are looked at, and those that
// the policies don't keep any more are dropped.
type Sweep struct {
	Bot  string
	Step uint64
	Most uint32
}

// maxSweep bounds the objects that one Sweep looks at, and so the time that
// applying it takes.
const maxSweep = 10_000

// Kind implements Command.
func (*Sweep) Kind() Kind { return KindSweep }

func (c *Sweep) encode(w *writer) { w.string(c.Bot); w.uint(c.Step); w.uint(uint64(c.Most)) }
func (c *Sweep) decode(r *reader) { c.Bot, c.Step, c.Most = r.string(), r.uint(), r.uint32() }

func (c *Sweep) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	if c.Step != b.Sweeps || !b.cache.Sweeping() {
		return Result{Code: Old, Version: b.Sweeps}
	}
	b.Sweeps++
	b.cache.Sweep(int(min(c.Most, maxSweep)))
	return Result{Version: b.Sweeps}
}

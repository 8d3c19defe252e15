package fsm

// Budget records Discord's session start limit as the leader read it.
type Budget struct {
	Bot    string
	Budget IdentifyBudget
}

// Kind implements Command.
func (*Budget) Kind() Kind { return KindBudget }

func (c *Budget) encode(w *writer) {
	w.string(c.Bot)
	w.int(int64(c.Budget.Remaining))
	w.int(int64(c.Budget.Limit))
	w.int(int64(c.Budget.MaxConcurrency))
}

func (c *Budget) decode(r *reader) {
	c.Bot = r.string()
	c.Budget = IdentifyBudget{Remaining: int(r.int()), Limit: int(r.int()), MaxConcurrency: int(r.int())}
}

func (c *Budget) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	b.Budget = c.Budget
	b.Budget.MaxConcurrency = max(1, b.Budget.MaxConcurrency)
	return Result{}
}

// Permit allows the owner of a shard one IDENTIFY under a concurrency key.
//
// Guard: the epoch is in force, the shard has no session, nobody holds the
// key, and more identifies remain than the reserve.
type Permit struct {
	Bot   string
	Shard ShardKey
	Epoch uint64
	Key   uint32
	Ask   uint64
}

// Kind implements Command.
func (*Permit) Kind() Kind { return KindPermit }

func (c *Permit) encode(w *writer) {
	w.string(c.Bot)
	w.shard(c.Shard)
	w.uint(c.Epoch)
	w.uint(uint64(c.Key))
	w.uint(c.Ask)
}

func (c *Permit) decode(r *reader) {
	c.Bot, c.Shard, c.Epoch = r.string(), r.shard(), r.uint()
	c.Key, c.Ask = r.uint32(), r.uint()
}

func (c *Permit) apply(s *State) Result {
	b, sh, res := s.shard(c.Bot, c.Shard)
	if sh == nil {
		return res
	}
	if !sh.inForce(c.Epoch) {
		return sh.fenced()
	}
	holder := PermitHolder{Shard: c.Shard, Epoch: c.Epoch, Ask: c.Ask}
	last := b.permits[c.Key]
	switch {
	case last.Held && last.PermitHolder == holder:
		return sh.ok() // a repeat
	case last.PermitHolder == holder:
		return Result{Code: Old, Epoch: sh.Epoch} // a repeat of one that was spent
	case last.Held:
		return refused("the identify key is taken")
	case sh.SID != "":
		return refused("the shard has a session")
	case b.Budget.Remaining <= b.Config.IdentifyReserve:
		return refused("no identifies are left but the reserve")
	}
	b.permits[c.Key] = permit{PermitHolder: holder, Held: true}
	b.Budget.Remaining--
	return sh.ok()
}

// Clear gives an identify key back.
//
// Guard: the key is held by (Shard, Epoch).
type Clear struct {
	Bot   string
	Shard ShardKey
	Epoch uint64
	Key   uint32
	Ask   uint64
}

// Kind implements Command.
func (*Clear) Kind() Kind { return KindClear }

func (c *Clear) encode(w *writer) {
	w.string(c.Bot)
	w.shard(c.Shard)
	w.uint(c.Epoch)
	w.uint(uint64(c.Key))
	w.uint(c.Ask)
}

func (c *Clear) decode(r *reader) {
	c.Bot, c.Shard, c.Epoch = r.string(), r.shard(), r.uint()
	c.Key, c.Ask = r.uint32(), r.uint()
}

func (c *Clear) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	p := permit{PermitHolder: PermitHolder{Shard: c.Shard, Epoch: c.Epoch, Ask: c.Ask}, Held: true}
	if b.permits[c.Key] != p {
		return Result{Code: Old}
	}
	p.Held = false
	b.permits[c.Key] = p
	return Result{}
}

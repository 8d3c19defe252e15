package fsm

// Dead acts on a dead letter: Retry puts it back into the journal under its
// old position, else it is dropped.
//
// Guard: the letter is there. A repeat finds nothing left to do.
type Dead struct {
	Bot   string
	Pos   uint64
	Retry bool
}

// Kind implements Command.
func (*Dead) Kind() Kind { return KindDead }

func (c *Dead) encode(w *writer) { w.string(c.Bot); w.uint(c.Pos); w.bool(c.Retry) }
func (c *Dead) decode(r *reader) { c.Bot = r.string(); c.Pos = r.uint(); c.Retry = r.bool() }

func (c *Dead) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	j := &b.journal
	d, ok := j.dead.Get(c.Pos)
	if !ok {
		return Result{Code: Old}
	}
	if c.Retry {
		sh := b.shards[d.Entry.Shard]
		if sh == nil {
			return noShard
		}
		e := *d.Entry
		e.Attempts, e.Deaths, e.Alone, e.Runner, e.Why = 0, 0, false, sh.Owner, sh.Why
		e.Retries++ // what has become of it before is not about this one
		if p, ok := sh.pending.Get(e.Pos); ok {
			// Other handlers want the entry still, and may be running.
			e = *p
			e.Handlers = union(p.Handlers, d.Entry.Handlers)
			e.Retries++
			j.replace(s, sh, p, &e)
		} else {
			j.enlist(sh, &e)
			s.changes.readd(&e)
		}
	}
	j.dead.Delete(c.Pos)
	j.digest.sub(d.digest())
	return Result{}
}

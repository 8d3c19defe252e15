package fsm

import "slices"

// HandlerError is a handler that failed at an entry.
type HandlerError struct {
	Handler string
	Err     string
	// Limit is the number of attempts after which the handler gives the entry
	// up; 0 for the bot's.
	Limit uint32
}

// Fail records that an attempt at an entry failed, or (Alone) that it is
// about to run alone because it outlived runners.
//
// Guard: the entry is there, the runner and the numbers of attempts and retries
// equal.
// Effect: the attempts rise. What a failed handler has reached its limit at
// becomes a dead letter for that handler; the others keep the entry.
type Fail struct {
	Bot      string
	Shard    ShardKey
	Pos      uint64
	Runner   NodeRef
	Attempts uint32 // as the runner knows them, so that a repeat counts once
	Alone    bool
	Failed   []HandlerError
	// Retries is the entry's, since a dead letter that is put back begins with
	// no attempts: a repeat from before would bury it again.
	Retries uint32
}

// Kind implements Command.
func (*Fail) Kind() Kind { return KindFail }

func (c *Fail) encode(w *writer) {
	w.string(c.Bot)
	w.shard(c.Shard)
	w.uint(c.Pos)
	w.ref(c.Runner)
	w.uint(uint64(c.Attempts))
	w.bool(c.Alone)
	w.uint(uint64(len(c.Failed)))
	for _, f := range c.Failed {
		w.string(f.Handler)
		w.string(f.Err)
		w.uint(uint64(f.Limit))
	}
	w.uint(uint64(c.Retries))
}

func (c *Fail) decode(r *reader) {
	c.Bot, c.Shard, c.Pos, c.Runner = r.string(), r.shard(), r.uint(), r.ref()
	c.Attempts, c.Alone = r.uint32(), r.bool()
	for range r.count(3) {
		c.Failed = append(c.Failed, HandlerError{Handler: r.string(), Err: r.string(), Limit: r.uint32()})
	}
	c.Retries = r.uint32()
}

func (c *Fail) apply(s *State) Result {
	b, sh, e, res := s.pendingEntry(c.Bot, c.Shard, c.Pos)
	if e == nil {
		return res
	}
	if e.Runner != c.Runner {
		return Result{Code: Fenced, Epoch: sh.Epoch, Msg: "another node runs this entry now"}
	}
	if e.Attempts != c.Attempts || e.Retries != c.Retries || (c.Alone && e.Alone) {
		return Result{Code: Old, Epoch: sh.Epoch}
	}
	next := *e
	if c.Alone {
		next.Alone = true
		b.journal.replace(s, sh, e, &next)
		return sh.ok()
	}
	next.Attempts++
	next.Alone = false
	b.giveUp(c.Failed, &next)
	if len(next.Handlers) == 0 {
		b.journal.remove(s, sh, e)
	} else {
		b.journal.replace(s, sh, e, &next)
	}
	return sh.ok()
}

// giveUp takes the handlers that are at their limit out of next and makes dead
// letters of what they leave.
func (b *Bot) giveUp(failed []HandlerError, next *Entry) {
	for _, f := range failed {
		limit := f.Limit
		if limit == 0 {
			limit = uint32(max(0, b.Config.MaxAttempts))
		}
		i := slices.Index(next.Handlers, f.Handler)
		if i < 0 || limit == 0 || next.Attempts < limit {
			continue
		}
		left := *next
		left.Handlers = next.Handlers[i : i+1 : i+1]
		b.journal.inter(&left, f.Err)
		next.Handlers = slices.Concat(next.Handlers[:i], next.Handlers[i+1:])
	}
}

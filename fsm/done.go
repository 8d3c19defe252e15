package fsm

import (
	"slices"

	"github.com/botnode/botnode/internal/mutant"
)

// pendingEntry finds an entry that handlers still want.
func (s *State) pendingEntry(bot string, k ShardKey, pos uint64) (*Bot, *Shard, *Entry, Result) {
	b, sh, res := s.shard(bot, k)
	if sh == nil {
		return nil, nil, nil, res
	}
	e, ok := sh.pending.Get(pos)
	if !ok {
		return b, sh, nil, Result{Code: Old, Epoch: sh.Epoch}
	}
	return b, sh, e, Result{}
}

// KVRead is a key that a handler read, and the version that it saw; 0 means
// that the key was absent.
type KVRead struct {
	Key     string
	Version uint64
}

// KVChange is a key's new value, or its deletion.
type KVChange struct {
	Key    string
	Value  []byte
	Delete bool
	// Expires is when the key goes by itself, Unix milliseconds by the writer's
	// clock; 0 for never.
	Expires int64
	// Add is added to the decimal number that the key holds, absent meaning 0,
	// instead of replacing the value; 0 for a plain write. It needs no read, so
	// that two of them never conflict.
	Add int64
}

// Done acknowledges one handler of one entry, with the handler's writes.
//
// Guard: the entry is there, the handler still in its set, the runner equal,
// every version and range that was read is current, the writes are within limits. Effect: the writes take effect and
// the handler leaves the set; the entry goes with its last handler.
type Done struct {
	Bot     string
	Shard   ShardKey
	Pos     uint64
	Handler string
	Runner  NodeRef
	Reads   []KVRead
	Ranges  []KVRange
	Writes  []KVChange
}

// Kind implements Command.
func (*Done) Kind() Kind { return KindDone }

func (c *Done) encode(w *writer) {
	w.string(c.Bot)
	w.shard(c.Shard)
	w.uint(c.Pos)
	w.string(c.Handler)
	w.ref(c.Runner)
	w.uint(uint64(len(c.Reads)))
	for _, rd := range c.Reads {
		w.string(rd.Key)
		w.uint(rd.Version)
	}
	encodeChanges(w, c.Writes)
	w.uint(uint64(len(c.Ranges)))
	for _, rg := range c.Ranges {
		w.string(rg.Prefix)
		w.string(rg.To)
		w.uint(rg.Sum)
	}
}

func (c *Done) decode(r *reader) {
	c.Bot, c.Shard, c.Pos, c.Handler, c.Runner = r.string(), r.shard(), r.uint(), r.string(), r.ref()
	for range r.count(2) {
		c.Reads = append(c.Reads, KVRead{Key: r.string(), Version: r.uint()})
	}
	c.Writes = decodeChanges(r)
	for range r.count(3) {
		c.Ranges = append(c.Ranges, KVRange{Prefix: r.string(), To: r.string(), Sum: r.uint()})
	}
}

func (c *Done) apply(s *State) Result {
	b, sh, e, res := s.pendingEntry(c.Bot, c.Shard, c.Pos)
	if e == nil {
		return res
	}
	i := slices.Index(e.Handlers, c.Handler)
	if i < 0 {
		return Result{Code: Old, Epoch: sh.Epoch}
	}
	if e.Runner != c.Runner && !s.Mutant.Has(mutant.DoneGuard) {
		return Result{Code: Fenced, Epoch: sh.Epoch, Msg: "another node runs this entry now"}
	}
	if res := b.kv.allowed(c.Writes); res.Code != OK {
		return res
	}
	if key, ok := b.kv.current(c.Reads); !ok && !s.Mutant.Has(mutant.Reads) {
		return Result{Code: Conflict, Msg: "key " + key + " has changed since it was read"}
	}
	if prefix, ok := b.kv.unchanged(c.Ranges); !ok {
		return Result{Code: Conflict, Msg: "keys with the prefix " + prefix + " have changed since they were listed"}
	}
	b.kv.write(c.Writes)
	b.settle(s, sh, e, i)
	return sh.ok()
}

// settle takes handler i out of an entry.
func (b *Bot) settle(s *State, sh *Shard, e *Entry, i int) {
	if len(e.Handlers) == 1 {
		b.journal.remove(s, sh, e)
		return
	}
	next := *e
	next.Handlers = slices.Concat(e.Handlers[:i], e.Handlers[i+1:])
	b.journal.replace(s, sh, e, &next)
}

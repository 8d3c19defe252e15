package fsm

import (
	"bytes"
	"slices"

	"github.com/tidwall/btree"

	"github.com/botnode/botnode/discord"
)

// Entry is a committed event in the journal. It is immutable: a change of its
// state replaces it, so that whoever reads one may keep it.
type Entry struct {
	Bot   string
	Pos   uint64 // never reused within a generation
	Shard ShardKey
	SID   string
	S     int64
	Type  string
	Guild discord.Snowflake
	Lane  discord.Snowflake
	At    int64  // when it was read, Unix milliseconds by its reader's clock
	Raw   []byte // the event's d; refers to the batch that brought it
	// Before is what the cache held of the object that an update or delete
	// event is about; nil where nothing was, or no handler wants it.
	Before []byte

	Handlers []string // those that are not done yet, sorted; nil once all are
	Runner   NodeRef  // who may run the handlers
	Attempts uint32   // how often it went to a runner again
	Retries  uint32   // how often an operator put it back from the dead letters
	Deaths   uint32   // how many of these because the runner before was gone while this one was the first of its lane
	Alone    bool     // a Fail was committed as "started": its next death is its last
	Why      Why      // why its runner came to the shard

	sum Digest // of all of the above once it is pending
}

// clone returns a copy whose payload keeps no batch in memory.
func (e *Entry) clone() *Entry {
	c := *e
	c.Raw, c.Before = bytes.Clone(e.Raw), bytes.Clone(e.Before)
	return &c
}

// entryOverhead is what an entry weighs in the retained bytes besides its Raw.
const entryOverhead = 200

// maxRelease is how many retained entries one addition may release.
const maxRelease = 1000

func (e *Entry) weight() int64 { return int64(len(e.Raw) + len(e.Before) + entryOverhead) }

type pendingTree = btree.Map[uint64, *Entry]

// DeadLetter is an entry that was given up, with what an operator needs to
// know of it.
type DeadLetter struct {
	Entry *Entry
	Err   string
}

// journal holds the entries of a bot: those that handlers still want, without
// bound, and the newest of all, bounded in bytes, for readers that follow.
type journal struct {
	retained *btree.Map[uint64, *Entry] // by position
	bytes    int64                      // sum of the retained entries' weights
	pending  int                        // entries in the shards' pending trees
	pbytes   int64                      // sum of their weights
	dead     *btree.Map[uint64, *DeadLetter]
	digest   Digest // of the pending entries and the dead letters
	scratch  writer // for digests
}

func newJournal() journal {
	return journal{retained: new(btree.Map[uint64, *Entry]), dead: new(btree.Map[uint64, *DeadLetter])}
}

// add appends an entry.
func (j *journal) add(s *State, sh *Shard, e *Entry, retain int64) {
	j.retained.Load(e.Pos, e)
	j.bytes += e.weight()
	if len(e.Handlers) > 0 {
		j.enlist(sh, e)
		s.changes.Added = append(s.changes.Added, e)
	}
	// The newest stays even if it alone is over the bound. After the bound has
	// shrunk, entries go over several additions: no single one stalls.
	for n := 0; n < maxRelease && j.bytes > retain && j.retained.Len() > 1; n++ {
		_, old, _ := j.retained.PopMin()
		j.bytes -= old.weight()
	}
}

// enlist enters an entry among those that handlers want.
func (j *journal) enlist(sh *Shard, e *Entry) {
	e.sum = e.digest(&j.scratch)
	sh.pending.Load(e.Pos, e) // a Set that is quick at the end, where most come
	j.pending++
	j.pbytes += e.weight()
	j.digest.add(e.sum)
}

// replace puts a changed copy of a pending entry in its place.
func (j *journal) replace(s *State, sh *Shard, old, e *Entry) {
	e.sum = e.digest(&j.scratch)
	sh.pending.Set(e.Pos, e)
	j.digest.sub(old.sum)
	j.digest.add(e.sum)
	s.changes.Altered = append(s.changes.Altered, e)
}

// remove takes an entry that has nothing left to do.
func (j *journal) remove(s *State, sh *Shard, e *Entry) {
	sh.pending.Delete(e.Pos)
	j.pending--
	j.pbytes -= e.weight()
	j.digest.sub(e.sum)
	s.changes.Removed = append(s.changes.Removed, e)
}

// bury makes an entry a dead letter, which shows it as last.
func (j *journal) bury(s *State, sh *Shard, e, last *Entry, err string) {
	j.remove(s, sh, e)
	j.inter(last, err)
}

// inter keeps what was given up: an entry with the handlers that gave it up. It
// joins what other handlers of the same entry left before.
func (j *journal) inter(e *Entry, err string) {
	d := &DeadLetter{Entry: e.clone(), Err: err}
	if had, ok := j.dead.Get(e.Pos); ok {
		j.digest.sub(had.digest())
		d.Entry.Handlers = union(had.Entry.Handlers, e.Handlers)
		d.Err = had.Err + "; " + err
	}
	j.dead.Set(e.Pos, d)
	j.digest.add(d.digest())
}

// union returns the names of both lists, sorted.
func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// heads returns the positions of the first pending entry of each lane.
func (sh *Shard) heads() map[uint64]bool {
	lanes, heads := make(map[discord.Snowflake]bool), make(map[uint64]bool)
	sh.pending.Scan(func(pos uint64, e *Entry) bool {
		if !lanes[e.Lane] {
			lanes[e.Lane], heads[pos] = true, true
		}
		return true
	})
	return heads
}

// rerun gives pending entries of a shard another runner: to, for each entry
// for which pick says so. A runner of nobody does not count as an attempt, and
// its end as a death only for those that blamed has: what waited did nothing.
func (b *Bot) rerun(s *State, sh *Shard, blamed map[uint64]bool, pick func(*Entry) (to NodeRef, ok bool)) {
	var picked []*Entry
	sh.pending.Scan(func(_ uint64, e *Entry) bool {
		if to, ok := pick(e); ok && to != e.Runner {
			picked = append(picked, e)
		}
		return true
	})
	for _, e := range picked {
		next := *e
		next.Runner, _ = pick(e)
		if !next.Runner.None() {
			next.Attempts++
			if blamed[e.Pos] {
				next.Deaths++
			}
			next.Why = sh.Why
		}
		b.journal.replace(s, sh, e, &next)
	}
}

// adopt moves entries of a shard to its new owner: those whose runner is taken
// from. An entry that was running alone because it had failed before
// has now outlived another runner: it is a dead letter.
func (b *Bot) adopt(s *State, sh *Shard, to NodeRef, taken func(runner NodeRef) bool) {
	heads := sh.heads() // before killers are buried: what waited behind one is not to blame
	var killers []*Entry
	sh.pending.Scan(func(_ uint64, e *Entry) bool {
		if e.Alone && taken(e.Runner) && e.Runner != to {
			killers = append(killers, e)
		}
		return true
	})
	for _, e := range killers {
		b.journal.bury(s, sh, e, e, "its runner died or fell silent again while it ran alone")
	}
	b.rerun(s, sh, heads, func(e *Entry) (NodeRef, bool) { return to, taken(e.Runner) })
}

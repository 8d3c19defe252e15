package fsm

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"github.com/botnode/botnode/cache"
)

// The methods in this file read the state. Those on State and Bot are for use
// inside Machine.View, and so are those of a Shard; the fields of what they
// return by value may be kept, and so may entries and values.

// Node returns what is known of a node.
func (s *State) Node(id string) (Node, bool) {
	n := s.nodes[id]
	if n == nil {
		return Node{}, false
	}
	return *n, true
}

// Nodes returns the ids of all nodes that ever registered, sorted.
func (s *State) Nodes() []string { return sortedKeys(s.nodes, strings.Compare) }

// IsUp reports whether ref is a node's newest process and up.
func (s *State) IsUp(ref NodeRef) bool { return s.node(ref) != nil }

// Bot returns a bot, or nil.
func (s *State) Bot(name string) *Bot { return s.bots[name] }

// BotNames returns the names of all bots, sorted.
func (s *State) BotNames() []string { return sortedKeys(s.bots, strings.Compare) }

// Cache returns the bot's caches, to read.
func (b *Bot) Cache() *cache.Cache { return b.cache }

// Shard returns a copy of a shard's record.
func (b *Bot) Shard(k ShardKey) (Shard, bool) {
	sh := b.shards[k]
	if sh == nil {
		return Shard{}, false
	}
	return *sh, true
}

// Shards returns copies of the shards of the layout in force, by index.
func (b *Bot) Shards() []Shard {
	out := make([]Shard, 0, len(b.shards))
	for _, sh := range b.sortedShards() {
		if sh.Key.Layout == b.Layout {
			out = append(out, *sh)
		}
	}
	return out
}

// Permit returns who got the newest permit of an identify key, and whether it
// is still held. The zero holder means that there never was one.
func (b *Bot) Permit(key uint32) (last PermitHolder, held bool) {
	p := b.permits[key]
	return p.PermitHolder, p.Held
}

// PermitKeys returns the identify keys that were ever permitted, sorted.
func (b *Bot) PermitKeys() []uint32 { return sortedKeys(b.permits, cmp.Compare[uint32]) }

// InterestList returns what the journal takes, sorted by type.
func (b *Bot) InterestList() []Interest {
	out := make([]Interest, 0, len(b.interests))
	for _, t := range sortedKeys(b.interests, strings.Compare) {
		out = append(out, Interest{Type: t, Handlers: b.interests[t]})
	}
	return out
}

// Pending returns the number of entries that handlers still want, and the sum
// of their sizes in bytes.
func (b *Bot) Pending() (count int, bytes int64) { return b.journal.pending, b.journal.pbytes }

// Entry returns a pending entry.
func (b *Bot) Entry(k ShardKey, pos uint64) (*Entry, bool) {
	if sh := b.shards[k]; sh != nil {
		return sh.pending.Get(pos)
	}
	return nil, false
}

// PendingEntries returns all entries that handlers still want, by shard and
// position.
func (b *Bot) PendingEntries() iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		for _, sh := range b.sortedShards() {
			more := true
			sh.pending.Scan(func(_ uint64, e *Entry) bool {
				more = yield(e)
				return more
			})
			if !more {
				return
			}
		}
	}
}

// PendingCount returns the number of a shard's pending entries.
func (sh *Shard) PendingCount() int { return sh.pending.Len() }

// Oldest returns the shard's pending entry with the lowest position, or nil.
func (sh *Shard) Oldest() *Entry {
	_, e, _ := sh.pending.Min()
	return e
}

// RunBy returns how many pending entries of a shard ref may run.
func (sh *Shard) RunBy(ref NodeRef) int {
	n := 0
	sh.pending.Scan(func(_ uint64, e *Entry) bool {
		if e.Runner == ref {
			n++
		}
		return true
	})
	return n
}

// RetainedFrom returns retained entries at or above pos, in order. They show
// the event, but not what became of it: handlers, runner and attempts are those
// of when it came.
func (b *Bot) RetainedFrom(pos uint64) iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		b.journal.retained.Ascend(pos, func(_ uint64, e *Entry) bool { return yield(e) })
	}
}

// RetainedFirst returns the lowest position that is retained; 0 if none is.
func (b *Bot) RetainedFirst() uint64 {
	pos, _, _ := b.journal.retained.Min()
	return pos
}

// DeadLetters returns the dead letters by position.
func (b *Bot) DeadLetters() []*DeadLetter { return b.journal.dead.Values() }

// DeadCount returns the number of dead letters.
func (b *Bot) DeadCount() int { return b.journal.dead.Len() }

// KVGet returns a key's item.
func (b *Bot) KVGet(key string) (KVItem, bool) { return b.kv.items.Get(key) }

// KVBytes returns the bytes that keys and values take.
func (b *Bot) KVBytes() int64 { return b.kv.bytes }

// KVRev returns the version that was given last: it rises with every write.
func (b *Bot) KVRev() uint64 { return b.kv.rev }

// KVLen returns the number of keys.
func (b *Bot) KVLen() int { return b.kv.items.Len() }

// KVScan returns the items whose keys start with prefix, in order of keys,
// beginning at the key from.
func (b *Bot) KVScan(prefix, from string) iter.Seq2[string, KVItem] {
	return func(yield func(string, KVItem) bool) {
		b.kv.items.Ascend(max(prefix, from), func(key string, item KVItem) bool {
			if !strings.HasPrefix(key, prefix) {
				return false
			}
			return yield(key, item)
		})
	}
}

// WantsType reports whether the journal takes events of a type, and for which
// handlers.
func (b *Bot) WantsType(t string) (handlers []string, ok bool) {
	handlers, ok = b.interests[t]
	return slices.Clip(handlers), ok
}

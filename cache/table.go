package cache

import (
	"slices"
	"unsafe"
)

// overhead is what an entry counts beside its bytes. It stands for the tree and
// the allocator; it is a constant, since real memory differs between nodes and
// bounds must not.
const overhead = 64

// rec is a stored object. raw is a string because nobody can write to one:
// queries and captures share it with the live cache.
type rec struct {
	raw string
	seq uint64 // the write that stored it, in the order of all writes
}

// table holds the objects of a kind.
// bytes = sum of len(raw)+overhead; order has an entry for each object iff the
// policy is Bounded and no sweep walks.
type table struct {
	kind    Kind
	policy  Policy
	recs    tree[rec]
	order   tree[uint64] // {seq, key.a} -> key.b
	bytes   int64
	evicted uint64
	sweep   sweep
}

// raw shows a string's bytes without a copy. The result must not be written:
// its capacity is its length, so an append copies.
func raw(s string) []byte {
	if s == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}

// write puts or replaces a record in the table's trees and byte count.
func (t *table) write(k key, r rec) (old rec, had bool) {
	old, had = t.recs.set(k, r)
	if had {
		t.forget(k, old)
	}
	t.bytes += int64(len(r.raw)) + overhead
	if t.policy.Mode == Bounded {
		t.order.set(key{r.seq, k.a}, k.b)
	}
	return old, had
}

// erase removes a record from the table's trees and byte count.
func (t *table) erase(k key) (old rec, had bool) {
	if old, had = t.recs.remove(k); had {
		t.forget(k, old)
	}
	return old, had
}

// forget takes a record out of the byte count and the order.
func (t *table) forget(k key, old rec) {
	t.bytes -= int64(len(old.raw)) + overhead
	if t.policy.Mode == Bounded {
		t.order.remove(key{old.seq, k.a})
	}
}

// oldest returns the key of the object whose last write is the longest ago.
func (t *table) oldest() key {
	k, id, _ := t.order.first(key{})
	return key{k.b, id}
}

// reorder builds the order of a table that was read. Sorting first is many
// times faster than inserting into a tree of a million in no order.
func (t *table) reorder() {
	t.order = tree[uint64]{epoch: t.order.epoch}
	if t.policy.Mode != Bounded {
		return
	}
	type write struct {
		at key
		id uint64
	}
	writes := make([]write, 0, t.recs.n)
	t.recs.ascend(key{}, func(k key, r rec) bool {
		writes = append(writes, write{key{r.seq, k.a}, k.b})
		return true
	})
	slices.SortFunc(writes, func(a, b write) int { return a.at.compare(b.at) })
	for _, w := range writes {
		t.order.set(w.at, w.id)
	}
}

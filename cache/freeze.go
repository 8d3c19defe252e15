package cache

import "sync/atomic"

// Freeze returns the cache as it is now, to read only: it never changes, and
// needs no lock. It takes microseconds whatever the size, as Capture does, and
// readers of the live cache may call it at the same time as each other; only
// writes must be held off. It keeps what it shares with the live cache from being
// collected, so whoever has it for long holds memory.
func (c *Cache) Freeze() *Cache {
	f := &Cache{seq: c.seq, sum: c.sum, stores: c.stores.freeze(), index: c.index.freeze()}
	for i := range c.tables {
		t := &c.tables[i]
		f.tables[i] = table{kind: t.kind, policy: t.policy, bytes: t.bytes, evicted: t.evicted, sweep: t.sweep, recs: t.recs.capture()}
	}
	return f
}

func (s *stores) freeze() stores {
	return stores{
		homes: s.homes.capture(), unverified: s.unverified.capture(), chunks: s.chunks.capture(), lasts: s.lasts.capture(), self: s.self,
	}
}

func (x *index) freeze() index {
	return index{channels: x.channels.capture(), places: x.places.capture(), talks: x.talks.capture()}
}

// capture returns a copy that no later write to t changes. Several may be taken
// at once, so the epoch, which alone is written, is written atomically; the copy
// has none of its own, since nobody writes to it.
func (t *tree[V]) capture() tree[V] {
	atomic.AddUint64(&t.epoch, 1)
	return t.still()
}

// still returns a copy that is good until the next write to t.
func (t *tree[V]) still() tree[V] { return tree[V]{root: t.root, n: t.n} }

package cache

import (
	"cmp"
	"slices"
)

// fanout is the most entries of a node. A copy of a node is the largest step
// that a write after a capture takes, so it bounds the stall; 64 keys are two
// or three cache lines a search.
const fanout = 64

// key orders everything: by group (a guild, a channel, a user), then by id.
type key struct{ a, b uint64 }

// less reports whether k comes before o.
func (k key) less(o key) bool { return k.a < o.a || k.a == o.a && k.b < o.b }

// compare orders keys for sorting.
func (k key) compare(o key) int {
	if c := cmp.Compare(k.a, o.a); c != 0 {
		return c
	}
	return cmp.Compare(k.b, o.b)
}

// tree is an ordered map that is copied in one step: capture hands out the root
// and raises the epoch, and from then on a write copies the nodes on its path
// that are older than the epoch, once each. Nodes of a captured tree are thus
// never written again, so they may be read without a lock.
//
// It is a B+tree: values are in the leaves only, and the keys of a node are one
// array apart from the values, since a search touches nothing else.
type tree[V any] struct {
	root  *node[V]
	n     int    // entries
	epoch uint64 // nodes of an older epoch are shared with a capture
}

// node is a leaf (keys[i] has vals[i]) or an inner node: kids[i] holds the keys
// below keys[i] and not below keys[i-1]; len(kids) = len(keys)+1.
type node[V any] struct {
	epoch uint64
	keys  []key
	vals  []V
	kids  []*node[V]
}

// leaf reports whether n holds values.
func (n *node[V]) leaf() bool { return n.kids == nil }

// size returns the number of entries of a leaf, of children of an inner node.
func (n *node[V]) size() int {
	if n.leaf() {
		return len(n.keys)
	}
	return len(n.kids)
}

// search returns the index of the first key that isn't less than k. It branches
// on purpose: a search that doesn't is faster in a node that is in the processor's
// cache and takes twice as long in one that isn't, which is where time goes,
// because a guessed branch fetches the next line early.
func search(keys []key, k key) int {
	lo, hi := 0, len(keys)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if keys[mid].less(k) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// child returns the index of the child that holds k.
func (n *node[V]) child(k key) int {
	i := search(n.keys, k)
	if i < len(n.keys) && n.keys[i] == k {
		i++
	}
	return i
}

// get returns the value of k.
func (t *tree[V]) get(k key) (val V, ok bool) {
	n := t.root
	if n == nil {
		return val, false
	}
	for !n.leaf() {
		n = n.kids[n.child(k)]
	}
	if i := search(n.keys, k); i < len(n.keys) && n.keys[i] == k {
		return n.vals[i], true
	}
	return val, false
}

// has reports whether k has a value.
func (t *tree[V]) has(k key) bool {
	_, ok := t.get(k)
	return ok
}

// ascend calls yield for the entries from k on, in order, until it returns
// false. The tree must not be written meanwhile.
func (t *tree[V]) ascend(from key, yield func(key, V) bool) {
	if t.root != nil {
		t.root.ascend(from, yield)
	}
}

func (n *node[V]) ascend(from key, yield func(key, V) bool) bool {
	if n.leaf() {
		for i := search(n.keys, from); i < len(n.keys); i++ {
			if !yield(n.keys[i], n.vals[i]) {
				return false
			}
		}
		return true
	}
	for i := n.child(from); i < len(n.kids); i++ {
		if !n.kids[i].ascend(from, yield) {
			return false
		}
	}
	return true
}

// group calls yield for the entries of one group, in order of their ids.
func (t *tree[V]) group(a uint64, yield func(id uint64, val V) bool) {
	t.ascend(key{a, 0}, func(k key, val V) bool {
		return k.a == a && yield(k.b, val)
	})
}

// ids returns the ids of a group: what to walk when the walk writes.
func (t *tree[V]) ids(a uint64) []uint64 {
	var ids []uint64
	t.group(a, func(id uint64, _ V) bool {
		ids = append(ids, id)
		return true
	})
	return ids
}

// first returns the first entry from k on.
func (t *tree[V]) first(from key) (k key, val V, ok bool) {
	t.ascend(from, func(fk key, fv V) bool {
		k, val, ok = fk, fv, true
		return false
	})
	return k, val, ok
}

// own returns a node that may be written: n itself, or a copy if it is shared.
func (t *tree[V]) own(n *node[V]) *node[V] {
	if n.epoch == t.epoch {
		return n
	}
	return &node[V]{
		epoch: t.epoch, keys: slices.Clone(n.keys), vals: slices.Clone(n.vals), kids: slices.Clone(n.kids),
	}
}

// insertAt inserts v at i. It grows in small steps: doubling would leave a
// quarter of every tree empty.
func insertAt[T any](s []T, i int, v T) []T {
	if len(s) == cap(s) {
		s = append(make([]T, 0, len(s)+max(2, min(8, len(s)))), s...)
	}
	s = s[:len(s)+1]
	copy(s[i+1:], s[i:])
	s[i] = v
	return s
}

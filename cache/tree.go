package cache

import (
	"math/bits"
	"slices"
)

// fanout is the most entries of a node. A copy of a node is the largest step
// that a write after a capture takes, so it bounds the stall; 64 keys are two
// or three cache lines a search.
const fanout = 64

// key orders everything: by group (a guild, a channel, a user), then by id.
type key struct{ a, b uint64 }

// less reports whether k comes before o.
func (k key) less(o key) bool { return k.before(o) != 0 }

// before is 1 if k comes before o, else 0: the borrow of a subtraction of 128
// bits, so that a search has no branch to mispredict.
func (k key) before(o key) uint64 {
	_, borrow := bits.Sub64(k.b, o.b, 0)
	_, borrow = bits.Sub64(k.a, o.a, borrow)
	return borrow
}

// compare orders keys for sorting.
func (k key) compare(o key) int { return int(o.before(k)) - int(k.before(o)) }

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

// search returns the index of the first key that isn't less than k.
func search(keys []key, k key) int {
	lo, n := 0, len(keys)
	for n > 1 {
		half := n / 2
		lo += half & -int(keys[lo+half-1].before(k))
		n -= half
	}
	if n == 1 {
		lo += int(keys[lo].before(k))
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

// capture returns a copy that no later write to t changes.
func (t *tree[V]) capture() tree[V] {
	frozen := *t
	t.epoch++
	return frozen
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

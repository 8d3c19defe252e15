package cache

import "slices"

// scant is the size below which a node is merged with a neighbour.
const scant = fanout / 4

// set stores the value of k and returns the one it replaces.
func (t *tree[V]) set(k key, val V) (old V, had bool) {
	if t.root == nil {
		t.root = &node[V]{epoch: t.epoch}
	}
	in := insertion[V]{t: t, k: k, val: val}
	root, right, sep := in.into(t.root)
	t.root = root
	if right != nil {
		t.root = &node[V]{epoch: t.epoch, keys: []key{sep}, kids: []*node[V]{root, right}}
	}
	if !in.had {
		t.n++
	}
	return in.old, in.had
}

// insertion is one set on its way down and up again.
type insertion[V any] struct {
	t   *tree[V]
	k   key
	val V
	old V
	had bool
}

// into inserts below n. It returns what stands in n's place and, if n overflowed,
// the node to its right with the least key that this one holds.
func (in *insertion[V]) into(n *node[V]) (self, right *node[V], sep key) {
	if n.leaf() {
		return in.intoLeaf(n)
	}
	i := n.child(in.k)
	kid, split, kidSep := in.into(n.kids[i])
	if kid == n.kids[i] && split == nil {
		return n, nil, key{}
	}
	n = in.t.own(n)
	n.kids[i] = kid
	if split == nil {
		return n, nil, key{}
	}
	n.kids = insertAt(n.kids, i+1, split)
	n.keys = insertAt(n.keys, i, kidSep)
	if len(n.kids) <= fanout {
		return n, nil, key{}
	}
	mid := len(n.kids) / 2
	if i+2 == len(n.kids) {
		mid = len(n.kids) - 2
	}
	sep = n.keys[mid-1]
	right = &node[V]{epoch: in.t.epoch, keys: slices.Clone(n.keys[mid:]), kids: slices.Clone(n.kids[mid:])}
	n.keys, n.kids = slices.Clone(n.keys[:mid-1]), slices.Clone(n.kids[:mid])
	return n, right, sep
}

// intoLeaf inserts into a leaf. A full leaf that grows at its end leaves its
// entries where they are: ids mostly come in rising order, and half-empty
// leaves behind them would cost a third of the memory.
func (in *insertion[V]) intoLeaf(n *node[V]) (self, right *node[V], sep key) {
	i := search(n.keys, in.k)
	n = in.t.own(n)
	if i < len(n.keys) && n.keys[i] == in.k {
		in.old, in.had = n.vals[i], true
		n.vals[i] = in.val
		return n, nil, key{}
	}
	if len(n.keys) < fanout {
		n.keys, n.vals = insertAt(n.keys, i, in.k), insertAt(n.vals, i, in.val)
		return n, nil, key{}
	}
	if i == fanout {
		right = &node[V]{epoch: in.t.epoch, keys: []key{in.k}, vals: []V{in.val}}
		return n, right, in.k
	}
	const mid = fanout / 2
	right = &node[V]{epoch: in.t.epoch, keys: slices.Clone(n.keys[mid:]), vals: slices.Clone(n.vals[mid:])}
	n.keys, n.vals = slices.Clone(n.keys[:mid]), slices.Clone(n.vals[:mid])
	if i <= mid {
		n.keys, n.vals = insertAt(n.keys, i, in.k), insertAt(n.vals, i, in.val)
	} else {
		right.keys, right.vals = insertAt(right.keys, i-mid, in.k), insertAt(right.vals, i-mid, in.val)
	}
	return n, right, right.keys[0]
}

// remove deletes k and returns its value.
func (t *tree[V]) remove(k key) (old V, had bool) {
	if t.root == nil {
		return old, false
	}
	t.root, old, had = t.removeFrom(t.root, k)
	for had && !t.root.leaf() && len(t.root.kids) == 1 {
		t.root = t.root.kids[0]
	}
	if had {
		t.n--
	}
	if t.n == 0 {
		t.root = nil
	}
	return old, had
}

func (t *tree[V]) removeFrom(n *node[V], k key) (self *node[V], old V, had bool) {
	if n.leaf() {
		i := search(n.keys, k)
		if i == len(n.keys) || n.keys[i] != k {
			return n, old, false
		}
		old = n.vals[i]
		n = t.own(n)
		n.keys, n.vals = slices.Delete(n.keys, i, i+1), slices.Delete(n.vals, i, i+1)
		return n, old, true
	}
	i := n.child(k)
	kid, old, had := t.removeFrom(n.kids[i], k)
	if !had {
		return n, old, false
	}
	n = t.own(n)
	n.kids[i] = kid
	if kid.size() < scant {
		t.join(n, i)
	}
	return n, old, true
}

// join merges the i-th child of n, which has become small, with a neighbour if
// both fit into one node. If none does, a small node does no harm; an empty one
// always fits.
func (t *tree[V]) join(n *node[V], i int) {
	if i > 0 && n.kids[i-1].size()+n.kids[i].size() <= fanout {
		i--
	} else if i+1 == len(n.kids) || n.kids[i].size()+n.kids[i+1].size() > fanout {
		return
	}
	left, right := t.own(n.kids[i]), n.kids[i+1]
	if left.leaf() {
		left.keys, left.vals = slices.Concat(left.keys, right.keys), slices.Concat(left.vals, right.vals)
	} else {
		left.keys = slices.Concat(left.keys, n.keys[i:i+1], right.keys)
		left.kids = slices.Concat(left.kids, right.kids)
	}
	n.kids[i] = left
	n.kids = slices.Delete(n.kids, i+1, i+2)
	n.keys = slices.Delete(n.keys, i, i+1)
}

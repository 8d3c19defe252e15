package cache

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// pairs returns the entries in order.
func pairs[V any](t *tree[V]) (keys []key, vals []V) {
	t.ascend(key{}, func(k key, v V) bool {
		keys, vals = append(keys, k), append(vals, v)
		return true
	})
	return keys, vals
}

// sound checks what every node promises.
func sound[V any](t interface{ Fatalf(string, ...any) }, n *node[V], lo, hi *key) {
	if !slices.IsSortedFunc(n.keys, key.compare) {
		t.Fatalf("keys out of order: %v", n.keys)
	}
	for _, k := range n.keys {
		if lo != nil && k.less(*lo) || hi != nil && !k.less(*hi) {
			t.Fatalf("key %v out of the node's range", k)
		}
	}
	if n.size() > fanout {
		t.Fatalf("a node of %d", n.size())
	}
	if n.leaf() {
		if len(n.vals) != len(n.keys) {
			t.Fatalf("%d keys, %d values", len(n.keys), len(n.vals))
		}
		return
	}
	if len(n.kids) != len(n.keys)+1 {
		t.Fatalf("%d keys, %d children", len(n.keys), len(n.kids))
	}
	for i, kid := range n.kids {
		l, h := lo, hi
		if i > 0 {
			l = &n.keys[i-1]
		}
		if i < len(n.keys) {
			h = &n.keys[i]
		}
		sound(t, kid, l, h)
	}
}

func TestTreeAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tr tree[int]
		model := map[key]int{}
		type frozen struct {
			tr    tree[int]
			model map[key]int
		}
		var captures []frozen
		span := rapid.Uint64Range(1, 2000).Draw(t, "span")
		next := uint64(0)
		steps := rapid.IntRange(1, 60).Draw(t, "steps")
		for step := range steps {
			count := rapid.IntRange(1, 80).Draw(t, "count")
			from := rapid.Uint64Range(0, span).Draw(t, "from")
			stride := rapid.Uint64Range(1, 7).Draw(t, "stride")
			switch rapid.IntRange(0, 4).Draw(t, "op") {
			case 0, 1:
				for i := range count {
					k := key{from % 3, (from + uint64(i)*stride*131) % span}
					old, had := tr.set(k, step)
					if want, ok := model[k]; had != ok || old != want {
						t.Fatalf("set %v returned %v %v", k, old, had)
					}
					model[k] = step
				}
			case 2:
				for range count {
					next++
					tr.set(key{7, next}, step)
					model[key{7, next}] = step
				}
			case 3:
				keys := slices.SortedFunc(maps.Keys(model), key.compare)
				for i := range min(count*3, len(keys)) {
					k := keys[(int(from)+i*int(stride))%len(keys)]
					old, had := tr.remove(k)
					if want, ok := model[k]; had != ok || had && old != want {
						t.Fatalf("remove %v returned %v %v", k, old, had)
					}
					delete(model, k)
				}
			case 4:
				captures = append(captures, frozen{tr.capture(), maps.Clone(model)})
			}
			if tr.root != nil {
				sound(t, tr.root, nil, nil)
			}
		}
		captures = append(captures, frozen{tr, model})
		for _, c := range captures {
			keys, vals := pairs(&c.tr)
			if len(keys) != len(c.model) || c.tr.n != len(c.model) {
				t.Fatalf("%d entries, %d counted, want %d", len(keys), c.tr.n, len(c.model))
			}
			for i, k := range keys {
				if want, ok := c.model[k]; !ok || want != vals[i] {
					t.Fatalf("%v is %v, want %v", k, vals[i], want)
				}
				if got, ok := c.tr.get(k); !ok || got != vals[i] {
					t.Fatalf("get %v is %v %v", k, got, ok)
				}
			}
		}
	})
}

func TestTreeGroups(t *testing.T) {
	var tr tree[string]
	for i := range uint64(500) {
		tr.set(key{i % 5, i}, "x")
	}
	ids := tr.ids(3)
	if len(ids) != 100 || ids[0] != 3 || ids[99] != 498 || !slices.IsSorted(ids) {
		t.Errorf("group 3 has %v", ids)
	}
	if k, _, ok := tr.first(key{3, 499}); !ok || k != (key{4, 4}) {
		t.Errorf("first from the end of group 3 is %v %v", k, ok)
	}
	if _, _, ok := tr.first(key{5, 0}); ok {
		t.Error("something follows the last group")
	}
}

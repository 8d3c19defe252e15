package rendezvous

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestLeavingMovesOnlyOwnKeys is what the hashing is for.
func TestLeavingMovesOnlyOwnKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,6}`), 1, 8, rapid.ID).Draw(t, "nodes")
		key := rapid.SliceOf(rapid.Byte()).Draw(t, "key")
		best := nodes[Best(nodes, key)]
		gone := rapid.SampledFrom(nodes).Draw(t, "gone")
		left := slices.DeleteFunc(slices.Clone(nodes), func(n string) bool { return n == gone })
		slices.Reverse(left) // the order of the list says nothing
		switch i := Best(left, key); {
		case len(left) == 0:
			if i != -1 {
				t.Fatalf("%d of no nodes", i)
			}
		case gone != best && left[i] != best:
			t.Fatalf("the key moved from %s to %s, though %s left", best, left[i], gone)
		}
	})
}

func TestKeysAreSpread(t *testing.T) {
	nodes, count := []string{"joe", "mike", "robert"}, map[int]int{}
	for i := range 3000 {
		count[Best(nodes, fmt.Appendf(nil, "channels/%d", i))]++
	}
	for i := range nodes {
		if count[i] < 900 || count[i] > 1100 {
			t.Errorf("%s has %d of 3000 keys", nodes[i], count[i])
		}
	}
}

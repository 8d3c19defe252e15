package shard

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func targetsOf(ids ...string) []Target {
	out := make([]Target, len(ids))
	for i, id := range ids {
		out[i] = Target{ID: id, Weight: 1, Room: -1}
	}
	return out
}

func loads(nodes []string) map[string]int {
	out := make(map[string]int)
	for _, n := range nodes {
		out[n]++
	}
	return out
}

func settle(shards []Placed, targets []Target) []Placed {
	out := slices.Clone(shards)
	for i, n := range Place(shards, targets, false) {
		out[i].Node = n
	}
	return out
}

func unplaced(n int) []Placed {
	out := make([]Placed, n)
	for i := range out {
		out[i] = Placed{Bot: "b", Index: uint32(i)}
	}
	return out
}

func TestPlaceKeepsWhatCannotBeEvened(t *testing.T) {
	for _, holder := range []string{"a", "b", "c"} {
		got := Place([]Placed{{Bot: "x", Node: holder}}, targetsOf("a", "b", "c"), false)
		if got[0] != holder {
			t.Errorf("the only shard went from %s to %s", holder, got[0])
		}
	}
	two := []Placed{{Bot: "x", Index: 0, Node: "c"}, {Bot: "x", Index: 1, Node: "b"}}
	if got := Place(two, targetsOf("a", "b", "c"), false); !slices.Equal(got, []string{"c", "b"}) {
		t.Errorf("two shards on two of three nodes went to %v", got)
	}
}

func TestPlaceWeights(t *testing.T) {
	targets := []Target{{"a", 2, -1, 0}, {"b", 1, -1, 0}, {"c", 0, -1, 0}}
	got := loads(Place(unplaced(9), targets, false))
	if !maps.Equal(got, map[string]int{"a": 6, "b": 3}) {
		t.Errorf("weights 2:1:0 share nine shards as %v", got)
	}
	if got := Place(unplaced(3), nil, false); !slices.Equal(got, []string{"", "", ""}) {
		t.Errorf("without a target: %v", got)
	}
	if got := loads(Place(unplaced(4), []Target{{"a", 0, -1, 0}, {"b", 0, -1, 0}}, false)); got["a"] != 2 || got["b"] != 2 {
		t.Errorf("without any weight: %v", got)
	}
}

// drawPlaced draws shards on nodes, among them ones that are no targets.
func drawPlaced(t *rapid.T) ([]Placed, []Target) {
	ids := []string{"a", "b", "c", "d", "e", "f"}[:rapid.IntRange(1, 6).Draw(t, "nodes")]
	shards := unplaced(rapid.IntRange(0, 40).Draw(t, "shards"))
	for i := range shards {
		shards[i].Node = rapid.SampledFrom(append([]string{"", "gone"}, ids...)).Draw(t, "node")
	}
	return shards, targetsOf(ids...)
}

func TestPlaceProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shards, targets := drawPlaced(t)
		got := Place(shards, targets, false)
		load := loads(got)
		lo, hi := len(shards)/len(targets), (len(shards)+len(targets)-1)/len(targets)
		for _, target := range targets {
			if n := load[target.ID]; n < lo || n > hi {
				t.Fatalf("%s has %d of %d shards on %d nodes", target.ID, n, len(shards), len(targets))
			}
		}
		settled := settle(shards, targets)
		if again := settle(settled, targets); !slices.Equal(again, settled) {
			t.Fatalf("placed shards move again: %v, then %v", settled, again)
		}
		// Nothing leaves a node that has no more than its share.
		before := make(map[string]int)
		for _, sh := range shards {
			before[sh.Node]++
		}
		for i, sh := range shards {
			if got[i] != sh.Node && before[sh.Node] <= lo && slices.ContainsFunc(targets, func(x Target) bool { return x.ID == sh.Node }) {
				t.Fatalf("shard %d left %s, which has %d of a share of %d", i, sh.Node, before[sh.Node], lo)
			}
		}
		mixed := slices.Clone(targets)
		slices.Reverse(mixed)
		if other := Place(shards, mixed, false); !slices.Equal(other, got) {
			t.Fatalf("the order of targets matters: %v, %v", got, other)
		}
	})
}

func TestPlaceMovesLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shards, targets := drawPlaced(t)
		if len(targets) < 2 {
			t.Skip("one node")
		}
		settled := settle(shards, targets)
		gone := targets[rapid.IntRange(0, len(targets)-1).Draw(t, "gone")].ID
		rest := slices.DeleteFunc(slices.Clone(targets), func(x Target) bool { return x.ID == gone })
		left := settle(settled, rest)
		for i := range settled {
			if settled[i].Node != gone && left[i].Node != settled[i].Node {
				t.Fatalf("shard %d went from %s to %s because %s left", i, settled[i].Node, left[i].Node, gone)
			}
		}
		back := settle(left, targets)
		for i := range left {
			if back[i].Node != left[i].Node && back[i].Node != gone {
				t.Fatalf("shard %d went from %s to %s because %s came", i, left[i].Node, back[i].Node, gone)
			}
		}
	})
}

func ExamplePlace() {
	shards := []Placed{{Bot: "b", Index: 0, Node: "joe"}, {Bot: "b", Index: 1, Node: "joe"}, {Bot: "b", Index: 2, Node: "gone"}}
	fmt.Println(Place(shards, []Target{{ID: "joe", Weight: 1, Room: -1}, {ID: "mike", Weight: 1, Room: -1}}, false))
	// Output: [joe joe mike]
}

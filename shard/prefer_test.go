package shard

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// placements counts who gets what when nothing is placed yet.
func placements(n int, targets ...Target) map[string]int {
	return loads(Place(unplaced(n), targets, false))
}

func TestPlacePrefersGroups(t *testing.T) {
	joe := Target{ID: "joe", Weight: 1, Room: -1}
	mike, robert := Target{ID: "mike", Weight: 1, Room: -1, Group: 1}, Target{ID: "robert", Weight: 1, Room: -1, Group: 1}
	anna := Target{ID: "anna", Weight: 1, Room: -1, Group: 2}
	for what, c := range map[string]struct {
		targets []Target
		want    map[string]int
	}{
		"the first lives":         {[]Target{joe, mike, robert, anna}, map[string]int{"joe": 4}},
		"the second group lives":  {[]Target{anna, mike, robert}, map[string]int{"mike": 2, "robert": 2}},
		"one of the second group": {[]Target{anna, robert}, map[string]int{"robert": 4}},
		"none of those named":     {[]Target{anna}, map[string]int{"anna": 4}},
	} {
		got := placements(4, c.targets...)
		for id, n := range c.want {
			if got[id] != n {
				t.Errorf("%s: %v, want %v", what, got, c.want)
			}
		}
	}
}

func TestPlaceKeepsOrReturns(t *testing.T) {
	targets := []Target{{"joe", 1, -1, 0}, {"mike", 1, -1, 1}, {"robert", 1, -1, 1}}
	on := func(nodes ...string) []Placed {
		out := unplaced(len(nodes))
		for i, n := range nodes {
			out[i].Node = n
		}
		return out
	}
	for _, c := range []struct {
		what string
		from []Placed
		keep bool
		want []string
	}{
		{"kept when the first is back", on("mike", "robert", "mike"), true, []string{"mike", "robert", "mike"}},
		{"given back", on("mike", "robert", "mike"), false, []string{"joe", "joe", "joe"}},
		{"what has nobody goes to the first", on("", "robert", "gone"), true, []string{"joe", "robert", "joe"}},
		{"kept, and evened in its group", on("mike", "mike", "mike", "mike"), true, nil},
	} {
		got := Place(c.from, targets, c.keep)
		if c.want != nil && !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
		if l := loads(got); c.want == nil && (l["mike"] != 2 || l["robert"] != 2) {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

func TestPlaceWeightZero(t *testing.T) {
	idle := Target{ID: "idle", Room: -1}
	if got := placements(3, idle, Target{ID: "a", Weight: 1, Room: -1, Group: 7}); got["a"] != 3 {
		t.Errorf("beside a node of a worse group: %v", got)
	}
	if got := placements(3, idle, Target{ID: "a", Weight: 1, Room: 2}); got["a"] != 2 || got["idle"] != 1 {
		t.Errorf("beside a node with room for two: %v", got)
	}
	if got := placements(3, idle); got["idle"] != 3 {
		t.Errorf("alone: %v", got)
	}
	there := []Placed{{Bot: "b", Node: "idle"}}
	if got := Place(there, []Target{idle, {ID: "a", Weight: 1, Room: -1}}, true); got[0] != "a" {
		t.Errorf("it keeps its shard: %v", got)
	}
}

func TestPlaceLimits(t *testing.T) {
	a, b := Target{ID: "a", Weight: 1, Room: 1}, Target{ID: "b", Weight: 1, Room: -1}
	if got := placements(6, a, b); got["a"] != 1 || got["b"] != 5 {
		t.Errorf("room for one of six: %v", got)
	}
	b.Room = 2
	if got := placements(6, a, b); got["a"] != 1 || got["b"] != 2 || got[""] != 3 {
		t.Errorf("room for three of six: %v", got)
	}
	b.Room, b.Group = -1, 1
	if got := placements(3, a, b); got["a"] != 1 || got["b"] != 2 {
		t.Errorf("what the first group has no room for: %v", got)
	}
}

func TestPlacePins(t *testing.T) {
	targets := targetsOf("a", "b")
	pinned := unplaced(4)
	for i := range pinned {
		pinned[i].Node = []string{"a", "b"}[i%2]
		pinned[i].Pin = "a"
	}
	if got := loads(Place(pinned, targets, false)); got["a"] != 4 {
		t.Errorf("all pinned to a: %v", got)
	}
	for i := range pinned[:3] {
		pinned[i].Pin = ""
	}
	if got := loads(Place(pinned, targets, false)); got["a"] != 2 || got["b"] != 2 {
		t.Errorf("one pinned to a counts there: %v", got)
	}
	pinned[0].Pin = "gone"
	if got := Place(pinned, targets, false); got[0] == "gone" || got[0] == "" {
		t.Errorf("pinned to a node that is no target: %v", got)
	}
	targets[0].Room = 0
	if got := loads(Place(pinned, targets, false)); got["b"] != 4 {
		t.Errorf("pinned to a node without room: %v", got)
	}
}

// drawGroups draws shards with pins, and targets with weights, rooms and groups.
func drawGroups(t *rapid.T) ([]Placed, []Target) {
	shards, targets := drawPlaced(t)
	for i := range targets {
		targets[i].Weight = float64(rapid.IntRange(0, 3).Draw(t, "weight"))
		targets[i].Room = rapid.SampledFrom([]int{-1, -1, -1, 0, 1, 5}).Draw(t, "room")
		targets[i].Group = rapid.IntRange(0, 2).Draw(t, "group")
	}
	for i := range shards {
		if rapid.IntRange(0, 4).Draw(t, "pinned") == 0 {
			shards[i].Pin = rapid.SampledFrom([]string{"a", "b", "gone"}).Draw(t, "pin")
		}
	}
	return shards, targets
}

func target(targets []Target, id string) (Target, bool) {
	i := slices.IndexFunc(targets, func(t Target) bool { return t.ID == id })
	if i < 0 {
		return Target{}, false
	}
	return targets[i], true
}

func TestPlaceGroupProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shards, targets := drawGroups(t)
		keep := rapid.Bool().Draw(t, "keep")
		got := Place(shards, targets, keep)
		load := loads(got)
		room := 0
		for _, tg := range targets {
			if tg.Room < 0 {
				room = len(shards)
				break
			}
			room += tg.Room
		}
		if unserved := load[""]; unserved != max(0, len(shards)-room) {
			t.Fatalf("%d of %d shards are placed nowhere, and there is room for %d", unserved, len(shards), room)
		}
		open := func(tg Target) bool { return tg.Room < 0 || load[tg.ID] < tg.Room }
		for _, tg := range targets {
			if tg.Room >= 0 && load[tg.ID] > tg.Room {
				t.Fatalf("%s has %d shards and room for %d", tg.ID, load[tg.ID], tg.Room)
			}
		}
		for i, id := range got {
			at, _ := target(targets, id)
			if pin, ok := target(targets, shards[i].Pin); ok {
				if id != pin.ID && open(pin) {
					t.Fatalf("shard %d is pinned to %s, which has room, and goes to %s", i, pin.ID, id)
				}
				if id == pin.ID {
					continue
				}
			}
			was, lives := target(targets, shards[i].Node)
			if id == "" || keep && lives && was.Weight > 0 && was.Group == at.Group && at.Weight > 0 {
				continue // kept in its group
			}
			for _, tg := range targets {
				if tg.Weight > 0 && open(tg) && (at.Weight == 0 || tg.Group < at.Group) {
					t.Fatalf("shard %d goes to %s of group %d, and %s of group %d has room", i, id, at.Group, tg.ID, tg.Group)
				}
			}
		}
	})
}

// What is placed stays placed, and pins end with the grant that breaks them.
func TestPlaceGroupsSettle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shards, targets := drawGroups(t)
		keep := rapid.Bool().Draw(t, "keep")
		next := func(from []Placed) []Placed {
			out := slices.Clone(from)
			for i, id := range Place(from, targets, keep) {
				if out[i].Node = id; out[i].Pin != id {
					out[i].Pin = ""
				}
			}
			return out
		}
		settled := next(shards)
		if again := next(settled); !slices.Equal(again, settled) {
			t.Fatalf("placed shards move again: %v, then %v on %v", settled, again, targets)
		}
		mixed := slices.Clone(targets)
		slices.Reverse(mixed)
		if a, b := Place(shards, targets, keep), Place(shards, mixed, keep); !slices.Equal(a, b) {
			t.Fatalf("the order of targets matters: %v, %v", a, b)
		}
	})
}

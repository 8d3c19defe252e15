package shard

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/botnode/botnode/internal/rendezvous"
)

// Target is a node that may get shards.
type Target struct {
	ID string
	// Weight is its share relative to the others in its group. A node of weight
	// 0 gets a shard only where no other node can have it.
	Weight float64
	// Room bounds its shards of this bot; negative for no bound.
	Room int
	// Group orders the nodes by preference, the lowest first.
	Group int
}

// Placed is a shard, the node that has it, "" for none, and the node that an
// operator wants it on, "" for none.
type Placed struct {
	Bot   string
	Index uint32
	Node  string
	Pin   string
}

// unbounded stands for the room of a node without a bound.
const unbounded = math.MaxInt32

// Place says which node is to have each shard: it returns, for every shard of
// shards in the same order, a node's id, or "" where no target has room.
//
// A pinned shard goes to its node. The others go to the first group with room,
// or, with keep, stay in the group that has them as long as it does. Within a
// group a shard stays where it is as long as its node has no more than its
// share; the others go, by rendezvous hashing, to targets below theirs. So a
// node that leaves moves only its own shards, and one that joins takes only
// what evens the load.
func Place(shards []Placed, targets []Target, keep bool) []string {
	p := &placing{shards: shards, out: make([]string, len(shards)), load: make(map[string]int)}
	p.group(targets)
	p.pinned()
	for i, members := range p.assign(keep) {
		p.spread(p.levels[i], members)
	}
	return p.out
}

// placing is the work of one call of Place.
type placing struct {
	shards []Placed
	out    []string
	load   map[string]int // shards that are placed on a node so far
	levels [][]Target     // the targets, those to be filled first first; all have a weight
	idle   []bool         // by level: of weight 0, beside others that have one
	home   map[string]int // the level of a target
}

// group orders the targets into levels: by preference, and after all of them
// those of weight 0, unless no target has any weight.
func (p *placing) group(targets []Target) {
	targets = slices.Clone(targets)
	weighty := slices.ContainsFunc(targets, func(t Target) bool { return t.Weight > 0 })
	p.home = make(map[string]int, len(targets))
	slices.SortFunc(targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.ID, b.ID))
	})
	for _, idle := range []bool{false, true} {
		group, fresh := 0, true
		for _, t := range targets {
			if (weighty && t.Weight <= 0) != idle {
				continue
			}
			if fresh || t.Group != group {
				p.levels, p.idle = append(p.levels, nil), append(p.idle, idle)
			}
			group, fresh = t.Group, false
			p.join(len(p.levels)-1, t)
		}
	}
}

// join puts a target into a level.
func (p *placing) join(level int, t Target) {
	if t.Room < 0 {
		t.Room = unbounded
	}
	if t.Weight <= 0 {
		t.Weight = 1 // those beside it in this level have none, either
	}
	p.levels[level] = append(p.levels[level], t)
	p.home[t.ID] = level
}

// put places a shard.
func (p *placing) put(i int, id string) {
	p.out[i] = id
	p.load[id]++
}

// pinned places what is pinned to a target with room, where it is already
// before where it is not.
func (p *placing) pinned() {
	for _, there := range []bool{true, false} {
		for i, sh := range p.shards {
			level, ok := p.home[sh.Pin]
			if !ok || (sh.Node == sh.Pin) != there {
				continue
			}
			for _, t := range p.levels[level] {
				if t.ID == sh.Pin && p.load[t.ID] < t.Room {
					p.put(i, t.ID)
				}
			}
		}
	}
}

// assign says which of the other shards each level gets.
func (p *placing) assign(keep bool) [][]int {
	out := make([][]int, len(p.levels))
	room := make([]int, len(p.levels))
	for l, level := range p.levels {
		for _, t := range level {
			room[l] += t.Room - p.load[t.ID]
		}
	}
	taken := make([]bool, len(p.shards))
	fill := func(l int, want func(Placed) bool) {
		for i, sh := range p.shards {
			if p.out[i] == "" && !taken[i] && len(out[l]) < room[l] && want(sh) {
				taken[i] = true
				out[l] = append(out[l], i)
			}
		}
	}
	at := func(l int) func(Placed) bool {
		return func(sh Placed) bool {
			h, ok := p.home[sh.Node]
			return ok && h == l
		}
	}
	if keep {
		for l := range p.levels {
			if !p.idle[l] {
				fill(l, at(l))
			}
		}
	}
	for l := range p.levels {
		fill(l, at(l))
		fill(l, func(sh Placed) bool { _, ok := p.home[sh.Node]; return !ok })
		fill(l, func(Placed) bool { return true })
	}
	return out
}

// spread places a level's shards on its targets.
func (p *placing) spread(level []Target, members []int) {
	has := make(map[string]int, len(level))
	for _, t := range level {
		has[t.ID] = p.load[t.ID]
	}
	for _, i := range members {
		has[p.shards[i].Node]++
	}
	share := shares(len(members), level, p.load, has)
	for _, i := range members {
		if id := p.shards[i].Node; p.load[id] < share[id] {
			p.put(i, id)
		}
	}
	for _, i := range members {
		if p.out[i] == "" {
			p.put(i, bestTarget(p.shards[i], level, share, p.load))
		}
	}
}

// shares splits n shards over a level's targets by weight. A target that has
// more pinned shards than its share has these, one without room for its share
// what it has room for; the others share the rest: whole parts first, then what
// is left one by one: to those that have more than their whole part already,
// lest a shard move for nothing, then to the largest remainders, ties by id.
func shares(n int, level []Target, pinned, has map[string]int) map[string]int {
	out := make(map[string]int, len(level))
	for _, t := range level {
		n += pinned[t.ID]
	}
	want, open := wanted(n, level, pinned)
	left := n
	for _, t := range level {
		out[t.ID] = int(want[t.ID] + 1e-9)
		left -= out[t.ID]
	}
	more := make(map[string]bool, len(open))
	remainder := make(map[string]float64, len(open))
	for _, t := range open {
		more[t.ID], remainder[t.ID] = has[t.ID] > out[t.ID], want[t.ID]-float64(out[t.ID])
	}
	slices.SortFunc(open, func(a, b Target) int {
		if more[a.ID] != more[b.ID] {
			if more[a.ID] {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(remainder[b.ID], remainder[a.ID]), cmp.Compare(a.ID, b.ID))
	})
	for _, t := range open {
		if left > 0 && out[t.ID] < t.Room {
			out[t.ID]++
			left--
		}
	}
	return out
}

// wanted returns the exact share of each target of n shards, pinned ones
// included, between what is pinned to it and what it has room for. open lists
// those whose share is neither.
func wanted(n int, level []Target, pinned map[string]int) (want map[string]float64, open []Target) {
	want = make(map[string]float64, len(level))
	open = slices.Clone(level)
	left := float64(n)
	for len(open) > 0 {
		total, off := 0.0, 0.0
		for _, t := range open {
			total += t.Weight
		}
		for _, t := range open {
			w := left * t.Weight / total
			want[t.ID] = min(max(w, float64(pinned[t.ID])), float64(t.Room))
			off += want[t.ID] - w
		}
		// Those that are out of bounds on the side that weighs more stay at their
		// bound; the others are counted again without them.
		low, high := off > -1e-9, off < 1e-9
		var stay []Target
		for _, t := range open {
			w := left * t.Weight / total
			if low && want[t.ID] > w+1e-9 || high && want[t.ID] < w-1e-9 {
				continue
			}
			stay = append(stay, t)
		}
		if len(stay) == len(open) {
			return want, open
		}
		for _, t := range open {
			if !slices.ContainsFunc(stay, func(s Target) bool { return s.ID == t.ID }) {
				left -= want[t.ID]
			}
		}
		open = stay
	}
	return want, open
}

// bestTarget returns the target below its share that scores highest.
func bestTarget(sh Placed, targets []Target, share, load map[string]int) string {
	best, score := "", uint64(0)
	for _, t := range targets {
		if load[t.ID] >= share[t.ID] {
			continue
		}
		if s := rendezvousScore(t.ID, sh); best == "" || s > score || s == score && t.ID < best {
			best, score = t.ID, s
		}
	}
	return best
}

func rendezvousScore(node string, sh Placed) uint64 {
	key := append(make([]byte, 0, 32), sh.Bot...)
	return rendezvous.Score(node, binary.BigEndian.AppendUint32(append(key, 0), sh.Index))
}

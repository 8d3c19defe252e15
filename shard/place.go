package shard

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/zeebo/xxh3"
)

// Target is a node that may get shards.
type Target struct {
	ID     string
	Weight float64 // its share relative to the others; 1 if all are alike
}

// Placed is a shard and the node that has it, "" for none.
type Placed struct {
	Bot   string
	Index uint32
	Node  string
}

// Place says which node is to have each shard: it returns, for every shard of
// shards in the same order, a node's id, or "" where there is no target.
//
// A shard stays where it is as long as its node is a target and has no more
// than its share; the others go, by rendezvous hashing, to targets below
// theirs. So a node that leaves moves only its own shards, and one that joins
// takes only what evens the load.
func Place(shards []Placed, targets []Target) []string {
	out := make([]string, len(shards))
	if len(targets) == 0 {
		return out
	}
	share := shares(shards, targets)
	load := make(map[string]int, len(targets))
	for i, sh := range shards {
		if limit, ok := share[sh.Node]; ok && load[sh.Node] < limit {
			out[i] = sh.Node
			load[sh.Node]++
		}
	}
	for i, sh := range shards {
		if out[i] == "" {
			out[i] = bestTarget(sh, targets, share, load)
			load[out[i]]++
		}
	}
	return out
}

// shares splits the shards over the targets by weight: whole parts first, then
// the rest one by one: to those that have more than their whole part already,
// lest a shard move for nothing, then to the largest remainders, ties by id.
func shares(shards []Placed, targets []Target) map[string]int {
	has := make(map[string]int, len(targets))
	for _, sh := range shards {
		has[sh.Node]++
	}
	total := 0.0
	for _, t := range targets {
		total += max(t.Weight, 0)
	}
	type part struct {
		id   string
		rest float64
		more bool
	}
	n := len(shards)
	out := make(map[string]int, len(targets))
	parts := make([]part, 0, len(targets))
	left := n
	for _, t := range targets {
		want := float64(n) / float64(len(targets))
		if total > 0 {
			want = float64(n) * max(t.Weight, 0) / total
		}
		whole := int(want)
		out[t.ID] = whole
		left -= whole
		parts = append(parts, part{t.ID, want - float64(whole), want > 0 && has[t.ID] > whole})
	}
	slices.SortFunc(parts, func(a, b part) int {
		if a.more != b.more {
			if a.more {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.rest, a.rest), cmp.Compare(a.id, b.id))
	})
	for i := 0; left > 0; i = (i + 1) % len(parts) {
		out[parts[i].id]++
		left--
	}
	return out
}

// bestTarget returns the target below its share that scores highest.
func bestTarget(sh Placed, targets []Target, share, load map[string]int) string {
	best, score := "", uint64(0)
	for _, t := range targets {
		if load[t.ID] >= share[t.ID] {
			continue
		}
		if s := rendezvous(t.ID, sh); best == "" || s > score || s == score && t.ID < best {
			best, score = t.ID, s
		}
	}
	return best
}

func rendezvous(node string, sh Placed) uint64 {
	b := make([]byte, 0, 64)
	b = append(b, node...)
	b = append(b, 0)
	b = append(b, sh.Bot...)
	b = binary.BigEndian.AppendUint32(append(b, 0), sh.Index)
	return xxh3.Hash(b)
}

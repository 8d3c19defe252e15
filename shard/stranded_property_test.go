package shard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/botnode/botnode/fsm"
)

// network is who reaches Discord, and what each shard's owner has of it.
type network struct {
	b       *leaderBench
	rng     *rand.Rand
	off     map[string]bool
	since   map[string]Time // when off last changed
	owner   map[uint32]fsm.NodeRef
	lost    map[uint32]Time // since when the shard is connected nowhere
	vain    map[uint32]Time // since when its owner dials in vain
	dial    map[uint32]Time // when it dials next
	granted map[uint32]Time // when it last moved
	moves   int
}

func newNetwork(b *leaderBench, rng *rand.Rand) *network {
	return &network{
		b: b, rng: rng, off: make(map[string]bool), since: make(map[string]Time), owner: make(map[uint32]fsm.NodeRef),
		lost: make(map[uint32]Time), vain: make(map[uint32]Time), dial: make(map[uint32]Time), granted: make(map[uint32]Time),
	}
}

// step lets a fifth of a second pass and returns what must not be, "" for nothing.
func (n *network) step() string {
	b := n.b
	b.pass(200 * time.Millisecond)
	for k := range uint32(len(b.owners())) {
		n.connect(k)
		if at, ok := n.vain[k]; ok && b.now >= at+b.l.Timing.Unreached {
			sh := b.shard(k)
			b.l.Stranded(b.now, sh.Owner, testBot, sh.Key, sh.Epoch)
		}
	}
	for range 2 {
		for _, a := range b.settle() {
			switch a := a.(type) {
			case Announce:
				if !n.off[a.To.ID] && n.rng.IntN(10) > 0 {
					b.l.Prepared(a.Bot, a.Shard, a.Epoch)
				}
			case TryAgain:
				if _, ok := n.vain[a.Shard.Index]; ok && a.To == b.shard(a.Shard.Index).Owner {
					n.dial[a.Shard.Index] = b.now
				}
			}
		}
	}
	b.sessions()
	return n.judge()
}

// connect brings what a shard's owner has in line with the network.
func (n *network) connect(k uint32) {
	now, sh := n.b.now, n.b.shard(k)
	if sh.Owner != n.owner[k] {
		n.owner[k] = sh.Owner
		delete(n.vain, k) // a target has its HELLO
		delete(n.lost, k)
	}
	_, in := n.vain[k]
	switch off := n.off[sh.Owner.ID]; {
	case off && !in:
		n.vain[k], n.dial[k] = now, now
		n.lost[k] = now
	case in && now >= n.dial[k] && off:
		n.dial[k] = now + min(now-n.vain[k], 30*time.Second)
	case in && now >= n.dial[k]:
		delete(n.vain, k)
		delete(n.lost, k)
	}
}

func (n *network) judge() string {
	now := n.b.now
	for k, id := range n.b.owners() {
		k := uint32(k)
		if n.b.shard(k).Owner != n.owner[k] {
			at, ok := n.granted[k]
			if ok && now-at < n.b.l.Timing.Unreached && n.b.shard(k).Why == fsm.WhyFailover {
				return fmt.Sprintf("shard %d moves again after %v", k, now-at)
			}
			n.granted[k] = now
			n.moves++
		}
		for _, ref := range n.b.nodes {
			well := !n.off[ref.ID] && now-n.since[ref.ID] > time.Minute
			if at, ok := n.lost[k]; ok && well && now-at > time.Minute {
				return fmt.Sprintf("shard %d is connected nowhere since %v, with %s; %s reaches Discord since %v", k, now-at, id, ref.ID, now-n.since[ref.ID])
			}
		}
	}
	return ""
}

// TestStrandedShardsComeToRest: whatever nodes come off Discord and back, a shard
// that is connected nowhere goes, within a minute, where it can be; none is moved
// to and fro; and in the end the load is even, and nothing moves.
func TestStrandedShardsComeToRest(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 1))
		names := []string{"a", "b", "c", "d"}[:2+rng.IntN(3)]
		b := newLeaderBench(t, uint32(1+rng.IntN(6)))
		place := []string{"", "prefer:a,b", "prefer:a+b,c+d"}[rng.IntN(3)]
		b.configure(fmt.Sprintf(`{"identify_reserve":0,"placement":%q,"failback":%v,"failback_after_ms":0}`, place, rng.IntN(2) == 0))
		for _, id := range names {
			b.boot(id, uint32(rng.IntN(3)), 0)
		}
		n := newNetwork(b, rng)
		for end := b.now + 5*time.Minute; b.now < end; {
			if rng.IntN(50) == 0 {
				id := names[rng.IntN(len(names))]
				n.off[id], n.since[id] = !n.off[id], b.now
			}
			if rng.IntN(400) == 0 { // an outage of Discord, or its end
				all := rng.IntN(2) == 0
				for _, id := range names {
					n.off[id], n.since[id] = all, b.now
				}
			}
			if rng.IntN(300) == 0 {
				b.pin(uint32(rng.IntN(len(b.owners()))), slices.Concat(names, []string{""})[rng.IntN(len(names)+1)])
			}
			if wrong := n.step(); wrong != "" {
				t.Fatalf("seed %d, %d nodes, placement %q: %s", seed, len(names), place, wrong)
			}
		}
		for _, id := range names {
			n.off[id], n.since[id] = false, b.now
		}
		for end := b.now + 5*time.Minute; b.now < end; {
			if wrong := n.step(); wrong != "" {
				t.Fatalf("seed %d at rest: %s", seed, wrong)
			}
		}
		before := n.moves
		for end := b.now + 5*time.Minute; b.now < end; n.step() {
		}
		if len(n.lost) > 0 || n.moves != before {
			t.Errorf("seed %d: lost %v, %d moves after the rest", seed, n.lost, n.moves-before)
		}
	}
}

package shard

import (
	"cmp"
	"slices"
	"time"

	"github.com/botnode/botnode/fsm"
)

// settled is how long a node has to have been up for its fall to be the first.
const settled = 5 * time.Minute

// maxFalls bounds how often the damping time of a fail-back is doubled.
const maxFalls = 5

// fell notes that a process is not up any more.
func (l *Leader) fell(now Time, ref fsm.NodeRef) {
	if now-l.firstUp[ref] > settled {
		l.falls[ref.ID] = 0
	}
	if !l.leaving[ref] {
		l.falls[ref.ID] = min(l.falls[ref.ID]+1, maxFalls+1)
	}
	delete(l.firstUp, ref)
}

// failbackAfter is how long a node must have been up before shards go back to
// it: the bot's damping time, twice that after each further fall, so that a
// node that comes and goes doesn't drag the bot along.
func (l *Leader) failbackAfter(b *fsm.Bot, id string) time.Duration {
	base := time.Duration(max(b.Config.FailbackAfterMS, 0)) * time.Millisecond
	return base << max(l.falls[id]-1, 0)
}

// count counts who has the shards, for limits that all bots share.
func (l *Leader) count(s *fsm.State) {
	l.placed = make(map[string]map[string]int)
	for _, name := range s.BotNames() {
		of := make(map[string]int)
		for _, sh := range s.Bot(name).Shards() {
			of[sh.Owner.ID]++
		}
		l.placed[name] = of
	}
}

// planShards grants what has no living owner, and moves what is to move.
func (l *Leader) planShards(now Time, s *fsm.State, b *fsm.Bot, live map[string]liveNode) {
	where, err := fsm.ParsePlacement(b.Config.Placement)
	if err != nil {
		where = fsm.Placement{} // checked before it is proposed: what a newer version takes, say
	}
	var shards []fsm.Shard
	for _, sh := range b.Shards() {
		if sh.Parked {
			l.planParked(now, s, b, sh, where, live)
		} else {
			shards = append(shards, sh)
		}
	}
	placed := make([]Placed, len(shards))
	orphan := make([]bool, len(shards))
	for i, sh := range shards {
		placed[i] = Placed{Bot: b.Name, Index: sh.Key.Index, Pin: sh.Pin}
		n, ok := live[sh.Owner.ID]
		switch {
		case !ok || n.ref != sh.Owner:
			orphan[i] = true
		default:
			placed[i].Node = sh.Owner.ID
		}
		if l.isStranded(b, sh) {
			placed[i].Node = ""
			if sh.Pin == sh.Owner.ID || l.avoided[sh.Pin] {
				placed[i].Pin = "" // what could not be honoured ends
			}
		}
		if m := l.moves[shardID{b.Name, sh.Key}]; m != nil && m.to.ID != "" {
			placed[i].Node = m.to.ID
		}
	}
	want := l.want(b, where, placed, live)
	for i, sh := range shards {
		switch {
		case orphan[i] && want[i] != "":
			delete(l.moves, shardID{b.Name, sh.Key})
			l.grant(now, s, b, sh, live[want[i]].ref)
		case orphan[i]:
		case l.adoptStrays(now, s, b, sh, live):
		case byHand(b) && live[sh.Owner.ID].target && sh.Pin != want[i] && !l.isStranded(b, sh): // it stays where it was connected
		case want[i] != "" && want[i] != sh.Owner.ID:
			l.rebalance(now, b, sh, where, live[sh.Owner.ID], live[want[i]])
		}
	}
	l.planMoves(now, s, b, live)
}

// want places a bot's shards.
func (l *Leader) want(b *fsm.Bot, where fsm.Placement, placed []Placed, live map[string]liveNode) []string {
	keep := len(where.Prefer) > 0 && !b.Config.Failback
	want := Place(placed, l.capped(placed, l.targets(b, where, live)), keep)
	if len(l.avoided) > 0 && slices.Contains(want, "") {
		leftOver(placed, want, l.targets(b, where, live), keep)
	}
	of := make(map[string]int)
	for _, id := range want {
		of[id]++
	}
	l.placed[b.Name] = of
	return want
}

// targets lists the nodes that may get shards of a bot.
func (l *Leader) targets(b *fsm.Bot, where fsm.Placement, live map[string]liveNode) []Target {
	var out []Target
	for id, n := range live {
		if !n.target {
			continue
		}
		t := Target{ID: id, Weight: float64(n.weight), Room: n.maxShards, Group: where.Group(id)}
		if t.Room >= 0 {
			for bot, of := range l.placed {
				if bot != b.Name {
					t.Room -= of[id]
				}
			}
			t.Room = max(t.Room, 0)
		}
		out = append(out, t)
	}
	slices.SortFunc(out, func(x, y Target) int { return cmp.Compare(x.ID, y.ID) })
	return out
}

// rebalance starts a move of a shard from a living owner to where it is to be,
// unless it has to wait for that or enough moves are under way.
func (l *Leader) rebalance(now Time, b *fsm.Bot, sh fsm.Shard, where fsm.Placement, from, to liveNode) {
	id := shardID{b.Name, sh.Key}
	if l.moves[id] != nil && l.moves[id].phase != draining {
		return
	}
	why, after, most := fsm.WhyHandoff, l.Stable, l.MaxMoves // a node that has only just come may go again
	rescue := false
	switch {
	case sh.Pin == to.ref.ID:
		why, after = sh.PinWhy, 0 // an operator wants it, and now
	case l.avoided[to.ref.ID] && from.target:
		return
	case l.isStranded(b, sh):
		why, after, most, rescue = fsm.WhyFailover, 0, maxRescues, true
	case !from.target:
		after = 0
	case sh.SID == "":
		return // let it get its session where it is
	case where.Group(to.ref.ID) < where.Group(from.ref.ID):
		why, after = fsm.WhyTakeover, l.failbackAfter(b, to.ref.ID)
	}
	if to.up < after {
		return
	}
	// Rescues count by themselves, and by bot: those that fail must not hold up a
	// drain, nor another bot's.
	active := 0
	for of, m := range l.moves {
		if m.phase != draining && m.rescue == rescue && (!rescue || of.bot == b.Name) {
			active++
		}
	}
	if active < most {
		l.start(now, b, sh, to.ref, why, rescue)
	}
}

package shard

import (
	"slices"
	"testing"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"pgregory.net/rapid"
)

var (
	laneSelf  = fsm.NodeRef{ID: "a", Inc: 1}
	laneOther = fsm.NodeRef{ID: "b", Inc: 1}
)

func entryAt(pos uint64, lane discord.Snowflake, runner fsm.NodeRef) *fsm.Entry {
	return &fsm.Entry{Bot: "x", Pos: pos, Lane: lane, Runner: runner, Handlers: []string{"h"}}
}

func positions(entries []*fsm.Entry) []uint64 {
	out := make([]uint64, len(entries))
	for i, e := range entries {
		out[i] = e.Pos
	}
	return out
}

func expectStart(t *testing.T, l *Lanes, now Time, want ...uint64) []*fsm.Entry {
	t.Helper()
	start, _ := l.Next(now, 100)
	got := positions(start)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("started %v, want %v", got, want)
	}
	return start
}

func altered(e *fsm.Entry, f func(*fsm.Entry)) *fsm.Entry {
	next := *e
	f(&next)
	return &next
}

func TestLanesRunOneAfterTheOther(t *testing.T) {
	l := NewLanes(laneSelf)
	e := []*fsm.Entry{entryAt(1, 7, laneSelf), entryAt(2, 7, laneSelf), entryAt(3, 8, laneSelf)}
	l.Apply(fsm.Changes{Added: e})
	expectStart(t, l, 0, 1, 3)
	expectStart(t, l, 0)
	l.Finished(e[0], true, 0) // acknowledged, not applied yet: the lane goes on
	expectStart(t, l, 0, 2)
	l.Apply(fsm.Changes{Removed: e[:1]})
	expectStart(t, l, 0)
}

// An entry that has had another runner is first in its lane until it is gone: if
// the next one ends this process, that one is blamed for it.
func TestLanesWaitForWhatWasAdopted(t *testing.T) {
	l := NewLanes(laneSelf)
	e := []*fsm.Entry{altered(entryAt(1, 7, laneSelf), func(e *fsm.Entry) { e.Attempts = 1 }), entryAt(2, 7, laneSelf)}
	l.Apply(fsm.Changes{Added: e})
	expectStart(t, l, 0, 1)
	l.Finished(e[0], true, 0)
	expectStart(t, l, 0)
	l.Apply(fsm.Changes{Removed: e[:1]})
	expectStart(t, l, 0, 2)
}

func TestLanesWaitForOtherRunners(t *testing.T) {
	l := NewLanes(laneSelf)
	theirs, mine := entryAt(1, 7, laneOther), entryAt(2, 7, laneSelf)
	l.Apply(fsm.Changes{Added: []*fsm.Entry{theirs, mine}})
	expectStart(t, l, 0)
	l.Apply(fsm.Changes{Removed: []*fsm.Entry{theirs}})
	expectStart(t, l, 0, 2)
}

func TestLanesSettledWaitsForTheLog(t *testing.T) {
	l := NewLanes(laneSelf)
	one, two := entryAt(1, 7, laneSelf), entryAt(2, 7, laneSelf)
	l.Apply(fsm.Changes{Added: []*fsm.Entry{one, two}})
	expectStart(t, l, 0, 1)
	l.Settled(one)
	expectStart(t, l, 0) // neither again nor the next one
	l.Apply(fsm.Changes{Removed: []*fsm.Entry{one}})
	expectStart(t, l, 0, 2)
}

// A dead letter that is retried in the entry of the log that buried it, is told
// of as one change, and starts again.
func TestLanesStartRetriedLetters(t *testing.T) {
	l := NewLanes(refJoe)
	e := entryAt(1, 7, refJoe)
	l.Apply(fsm.Changes{Added: []*fsm.Entry{e}})
	l.Failed(expectStart(t, l, 0, 1)[0], 0)
	expectStart(t, l, 0)
	l.Apply(fsm.Changes{Altered: []*fsm.Entry{altered(e, func(e *fsm.Entry) { e.Retries = 1 })}})
	expectStart(t, l, 0, 1)
}

// An entry that went away and came back while its handler ran has been refused
// its acknowledgement: it starts again.
func TestLanesComeBack(t *testing.T) {
	for name, end := range map[string]func(*Lanes, *fsm.Entry){
		"passed":  func(l *Lanes, e *fsm.Entry) { l.Finished(e, true, 0) },
		"settled": func(l *Lanes, e *fsm.Entry) { l.Settled(e) },
	} {
		t.Run(name, func(t *testing.T) {
			l := NewLanes(laneSelf)
			e := entryAt(1, 7, laneSelf)
			l.Apply(fsm.Changes{Added: []*fsm.Entry{e}})
			expectStart(t, l, 0, 1)
			away := altered(e, func(e *fsm.Entry) { e.Runner, e.Attempts = laneOther, 1 })
			if cancel := l.Apply(fsm.Changes{Altered: []*fsm.Entry{away}}); len(cancel) != 1 || cancel[0] != e {
				t.Fatalf("cancelled %v", positions(cancel))
			}
			back := altered(away, func(e *fsm.Entry) { e.Runner, e.Attempts, e.Alone = laneSelf, 2, true })
			l.Apply(fsm.Changes{Altered: []*fsm.Entry{back}})
			expectStart(t, l, 0)
			end(l, e)
			expectStart(t, l, 0, 1)
		})
	}
}

func TestLanesAlone(t *testing.T) {
	l := NewLanes(laneSelf)
	busy := entryAt(1, 1, laneSelf)
	l.Apply(fsm.Changes{Added: []*fsm.Entry{busy}})
	expectStart(t, l, 0, 1)
	bad := altered(entryAt(2, 2, laneSelf), func(e *fsm.Entry) { e.Attempts, e.Deaths = 2, 2 })
	l.Apply(fsm.Changes{Added: []*fsm.Entry{bad}})
	// Others come all the time; it still gets its turn: nothing starts before it,
	// nothing beside it, and no other is blamed for what happens meanwhile.
	l.Apply(fsm.Changes{Added: []*fsm.Entry{
		altered(entryAt(3, 3, laneSelf), func(e *fsm.Entry) { e.Attempts, e.Deaths = 2, 2 }), entryAt(4, 4, laneSelf),
	}})
	nothing := func(when string) {
		t.Helper()
		if start, record := l.Next(0, 100); len(start)+len(record) > 0 {
			t.Fatalf("%s: started %v, recorded %v", when, positions(start), positions(record))
		}
	}
	recorded := func(pos uint64) {
		t.Helper()
		if start, record := l.Next(0, 100); len(start) > 0 || !slices.Equal(positions(record), []uint64{pos}) {
			t.Fatalf("started %v, recorded %v, want %d recorded", positions(start), positions(record), pos)
		}
	}
	nothing("another runs")
	l.Finished(busy, true, 0)
	recorded(2)
	nothing("it is being recorded")
	alone := altered(bad, func(e *fsm.Entry) { e.Alone = true })
	l.Apply(fsm.Changes{Altered: []*fsm.Entry{alone}})
	expectStart(t, l, 0, 2)
	nothing("it runs")
	l.Finished(alone, false, 0) // cut short: it is still the one to be blamed
	expectStart(t, l, 0, 2)
	l.Finished(alone, true, 0)
	nothing("its acknowledgement is on its way")
	l.Apply(fsm.Changes{Removed: []*fsm.Entry{alone}})
	recorded(3)
	l.Apply(fsm.Changes{Altered: []*fsm.Entry{altered(entryAt(3, 3, laneSelf), func(e *fsm.Entry) { e.Runner = laneOther })}})
	expectStart(t, l, 0, 4) // it is another's before it was recorded
}

func TestLanesResetInAnotherGeneration(t *testing.T) {
	l := NewLanes(laneSelf)
	old := entryAt(1, 7, laneSelf)
	l.Reset(1, []*fsm.Entry{old})
	expectStart(t, l, 0, 1)
	if cancel := l.Reset(1, []*fsm.Entry{altered(old, func(*fsm.Entry) {})}); len(cancel) != 0 {
		t.Fatal("an entry of this generation was cancelled")
	}
	expectStart(t, l, 0)
	other := entryAt(1, 7, laneSelf)
	if cancel := l.Reset(2, []*fsm.Entry{other}); !slices.Contains(cancel, old) {
		t.Fatal("an entry of an older generation goes on")
	}
	expectStart(t, l, 0, 1)
	l.Finished(old, true, 0) // says nothing of the entry that has its position now
	l.Finished(other, false, 0)
	expectStart(t, l, 0, 1)
}

func TestLanesHeld(t *testing.T) {
	l := NewLanes(laneSelf)
	e := entryAt(1, 7, laneSelf)
	l.Apply(fsm.Changes{Added: []*fsm.Entry{e}})
	expectStart(t, l, 0, 1)
	l.Finished(e, false, 10)
	expectStart(t, l, 5)
	if at, ok := l.Deadline(); !ok || at != 10 {
		t.Fatalf("deadline %v %v", at, ok)
	}
	expectStart(t, l, 10, 1)
}

// TestLanesProperties runs lanes against a journal that changes as the log
// would change it.
func TestLanesProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &laneWorld{l: NewLanes(laneSelf), journal: map[uint64]*fsm.Entry{}, running: map[uint64]*fsm.Entry{}}
		t.Repeat(map[string]func(*rapid.T){
			"add":    w.add,
			"move":   w.move,
			"next":   w.next,
			"finish": w.finish,
			"apply":  w.apply,
		})
		w.drain(t)
	})
}

type laneWorld struct {
	l       *Lanes
	pos     uint64
	now     Time
	journal map[uint64]*fsm.Entry // what is left, as this node has applied it
	running map[uint64]*fsm.Entry
	done    []*fsm.Entry // acknowledged, not applied yet
}

func (w *laneWorld) add(t *rapid.T) {
	w.pos++
	runner := rapid.SampledFrom([]fsm.NodeRef{laneSelf, laneSelf, laneOther}).Draw(t, "runner")
	e := entryAt(w.pos, discord.Snowflake(rapid.IntRange(1, 3).Draw(t, "lane")), runner)
	w.journal[w.pos] = e
	w.l.Apply(fsm.Changes{Added: []*fsm.Entry{e}})
}

func (w *laneWorld) pick(t *rapid.T, m map[uint64]*fsm.Entry) *fsm.Entry {
	if len(m) == 0 {
		t.Skip("nothing")
	}
	var keys []uint64
	for pos := range m {
		keys = append(keys, pos)
	}
	slices.Sort(keys)
	return m[rapid.SampledFrom(keys).Draw(t, "pos")]
}

func (w *laneWorld) move(t *rapid.T) {
	e := w.pick(t, w.journal)
	next := altered(e, func(e *fsm.Entry) {
		e.Attempts++
		e.Alone = true
		if e.Runner == laneSelf {
			e.Runner = laneOther
		} else {
			e.Runner = laneSelf
		}
	})
	w.journal[e.Pos] = next
	w.done = slices.DeleteFunc(w.done, func(d *fsm.Entry) bool { return d.Pos == e.Pos }) // refused
	w.l.Apply(fsm.Changes{Altered: []*fsm.Entry{next}})
}

func (w *laneWorld) next(t *rapid.T) {
	w.now++
	start, _ := w.l.Next(w.now, rapid.IntRange(0, 4).Draw(t, "limit"))
	for _, e := range start {
		if w.journal[e.Pos] != e || e.Runner != laneSelf || w.running[e.Pos] != nil {
			t.Fatalf("entry %d started: runner %v, running %v", e.Pos, e.Runner, w.running[e.Pos] != nil)
		}
		for pos, other := range w.journal {
			if pos < e.Pos && other.Lane == e.Lane && !slices.Contains(w.done, other) {
				t.Fatalf("entry %d started before %d of its lane", e.Pos, pos)
			}
		}
		w.running[e.Pos] = e
		if e.Alone && len(w.running) > 1 {
			t.Fatalf("entry %d runs alone beside %d others", e.Pos, len(w.running)-1)
		}
	}
}

func (w *laneWorld) finish(t *rapid.T) {
	e := w.pick(t, w.running)
	delete(w.running, e.Pos)
	now := w.journal[e.Pos]
	valid := now != nil && now.Runner == laneSelf && now.Attempts == e.Attempts
	if rapid.Bool().Draw(t, "passed") {
		if valid {
			w.done = append(w.done, now)
		}
		w.l.Finished(e, true, 0)
		return
	}
	w.l.Finished(e, false, w.now+2)
}

func (w *laneWorld) apply(t *rapid.T) {
	if len(w.done) == 0 {
		t.Skip("nothing")
	}
	e := w.done[0]
	w.done = w.done[1:]
	delete(w.journal, e.Pos)
	w.l.Apply(fsm.Changes{Removed: []*fsm.Entry{e}})
}

// drain lets everything end: nothing may be left that this node could run.
func (w *laneWorld) drain(t *rapid.T) {
	for range 10 * (len(w.journal) + len(w.running) + 2) {
		for pos, e := range w.running {
			delete(w.running, pos)
			if now := w.journal[pos]; now != nil && now.Runner == laneSelf && now.Attempts == e.Attempts {
				w.done = append(w.done, now)
			}
			w.l.Finished(e, true, 0)
			break
		}
		for len(w.done) > 0 {
			w.apply(t)
		}
		for pos, e := range w.journal {
			if e.Runner == laneOther { // the other node gets its work done
				delete(w.journal, pos)
				w.l.Apply(fsm.Changes{Removed: []*fsm.Entry{e}})
			}
		}
		w.now += 5
		start, _ := w.l.Next(w.now, 4)
		for _, e := range start {
			w.running[e.Pos] = e
		}
	}
	if left, running := w.l.Len(); left > 0 || running > 0 {
		t.Fatalf("%d entries are left, %d running", left, running)
	}
}

package shard

import (
	"cmp"
	"slices"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// laneKey is what orders entries: one lane's entries run one after the other.
type laneKey struct {
	bot  string
	k    fsm.ShardKey
	lane discord.Snowflake
}

// entryKey names an entry.
type entryKey struct {
	bot string
	pos uint64
}

// job is an entry that handlers still want, as this node sees it.
type job struct {
	entry *fsm.Entry
	// run is the entry as Next handed it out, while it runs; else nil.
	run *fsm.Entry
	// passed: finished here with an acknowledgement that can't be refused for
	// what it read, so the lane may go on before that is committed.
	passed bool
	// settled: finished here, and the log holds what became of it. Nothing of
	// the lane starts until that is applied here.
	settled bool
	// acked are handlers whose acknowledgement is on its way and can't be refused
	// while this node is the runner. The entry waits for them before it starts
	// again, as after the failure of another handler or an operator's retry.
	acked []string
	// left: it has been another's since it was started, so what is on its way
	// may be refused.
	left bool
	// notBefore holds back an entry that failed.
	notBefore Time
}

// acknowledging reports whether handlers are left that are done.
func (j *job) acknowledging() bool {
	return slices.ContainsFunc(j.acked, func(h string) bool { return slices.Contains(j.entry.Handlers, h) })
}

// Lanes says which entries of the journal may start on this node. It mirrors
// the pending entries of the applied state, whoever runs them, since an entry
// waits for all earlier ones of its lane. One goroutine uses it.
//
// An entry starts iff its runner is this node, it isn't running, and no
// earlier entry of its lane is left, save those that this node has passed.
type Lanes struct {
	// Self is this node's process.
	Self fsm.NodeRef
	// AloneFrom is the number of runners that an entry has outlived from which it
	// runs alone, after a Fail has recorded that it is about to.
	AloneFrom uint32

	generation uint64

	lanes   map[laneKey][]*job
	jobs    map[entryKey]*job
	ready   map[laneKey]struct{} // lanes whose state changed since they were looked at
	queue   []laneKey            // the same, in the order in which they changed
	held    map[laneKey]Time     // lanes whose head waits for a time
	running int
	alone   bool // the one entry that runs is running alone
	// awaited is the entry that runs alone while its record, or its outcome, is on
	// its way into the log; nil for none. Nothing starts meanwhile.
	awaited *job
}

// NewLanes returns the lanes of a node that knows no entry yet.
func NewLanes(self fsm.NodeRef) *Lanes {
	l := &Lanes{Self: self, AloneFrom: 2}
	l.clear()
	return l
}

func (l *Lanes) clear() {
	l.lanes = make(map[laneKey][]*job)
	l.jobs = make(map[entryKey]*job)
	l.ready = make(map[laneKey]struct{})
	l.queue = nil
	l.held = make(map[laneKey]Time)
	l.awaited = nil
}

func lane(e *fsm.Entry) laneKey { return laneKey{e.Bot, e.Shard, e.Lane} }

// Generation returns the one that the entries are of: that of the last Reset.
func (l *Lanes) Generation() uint64 { return l.generation }

// Len returns the number of entries that are left, and how many run here.
func (l *Lanes) Len() (left, running int) { return len(l.jobs), l.running }

// Apply takes what an entry of the log did to the journal. It returns the
// entries that run here and must be cancelled, since another node runs them
// now or they are gone.
func (l *Lanes) Apply(c fsm.Changes) (cancel []*fsm.Entry) {
	for _, e := range c.Added {
		l.add(e)
	}
	for _, e := range c.Altered {
		if j := l.jobs[entryKey{e.Bot, e.Pos}]; j != nil {
			if j.run != nil && e.Runner != l.Self {
				cancel = append(cancel, j.run)
			}
			if !sameTry(j.entry, e) {
				j.passed, j.settled = false, false
			}
			if e.Runner != l.Self {
				j.acked, j.left = nil, true
			}
			j.entry = e
			l.wake(lane(e))
			if j == l.awaited {
				l.awaited = nil
				l.first(lane(e))
			}
		}
	}
	for _, e := range c.Removed {
		if j := l.jobs[entryKey{e.Bot, e.Pos}]; j != nil {
			if j.run != nil {
				cancel = append(cancel, j.run)
			}
			l.remove(j)
		}
	}
	return cancel
}

// Reset replaces all entries, as after a restore. Entries that run here go on
// if they are among them and the generation is the same: in another one a
// position may be another event's. The others are returned to be cancelled.
func (l *Lanes) Reset(generation uint64, entries []*fsm.Entry) (cancel []*fsm.Entry) {
	old := l.jobs
	if generation != l.generation {
		old = nil
		for _, j := range l.jobs {
			if j.run != nil {
				cancel = append(cancel, j.run)
			}
		}
	}
	l.clear()
	l.generation = generation
	for _, e := range entries {
		l.add(e)
		was, j := old[entryKey{e.Bot, e.Pos}], l.jobs[entryKey{e.Bot, e.Pos}]
		if was == nil {
			continue
		}
		if sameTry(was.entry, e) {
			// What was finished here is on its way into the log still.
			j.passed, j.settled, j.notBefore = was.passed, was.settled, was.notBefore
			j.acked, j.left = was.acked, was.left
		} else {
			j.left = true // perhaps
		}
		if was.run != nil {
			j.run = was.run
			delete(old, entryKey{e.Bot, e.Pos})
			if e.Runner != l.Self {
				cancel = append(cancel, was.run)
			}
		}
	}
	for _, j := range old {
		if j.run != nil {
			cancel = append(cancel, j.run)
		}
	}
	return cancel
}

// sameTry reports whether what became of one entry is about the other, too.
func sameTry(a, b *fsm.Entry) bool {
	return a.Runner == b.Runner && a.Attempts == b.Attempts && a.Retries == b.Retries
}

func (l *Lanes) add(e *fsm.Entry) {
	key := entryKey{e.Bot, e.Pos}
	if l.jobs[key] != nil {
		return
	}
	j := &job{entry: e}
	l.jobs[key] = j
	k := lane(e)
	jobs := l.lanes[k]
	at := len(jobs)
	for at > 0 && jobs[at-1].entry.Pos > e.Pos {
		at-- // only a retried dead letter comes out of order
	}
	l.lanes[k] = slices.Insert(jobs, at, j)
	l.wake(k)
}

// wake has a lane looked at again.
func (l *Lanes) wake(k laneKey) {
	if _, ok := l.ready[k]; !ok {
		l.ready[k] = struct{}{}
		l.queue = append(l.queue, k)
	}
}

// first has a lane that is ready looked at before all others.
func (l *Lanes) first(k laneKey) {
	l.queue = slices.DeleteFunc(l.queue, func(other laneKey) bool { return other == k })
	l.queue = slices.Insert(l.queue, 0, k)
}

func (l *Lanes) remove(j *job) {
	if j == l.awaited {
		l.awaited = nil
	}
	k := lane(j.entry)
	delete(l.jobs, entryKey{j.entry.Bot, j.entry.Pos})
	jobs := l.lanes[k]
	if i := slices.Index(jobs, j); i == 0 {
		jobs = jobs[1:]
	} else if i > 0 {
		jobs = slices.Delete(jobs, i, i+1)
	}
	if len(jobs) == 0 {
		delete(l.lanes, k)
		delete(l.ready, k)
		delete(l.held, k)
		return
	}
	l.lanes[k] = jobs
	l.wake(k)
}

// Next returns entries to start now, at most limit, and marks them running.
// An entry that must run alone is returned alone. record is the entry that
// needs a Fail{Alone} committed before it may start, if there is one.
//
// From its record on until its outcome is applied nothing else runs here, and no
// other entry is recorded: what a death would give up is that one alone.
func (l *Lanes) Next(now Time, limit int) (start, record []*fsm.Entry) {
	if l.alone || l.awaited != nil {
		return nil, nil
	}
	for _, k := range l.due(now) {
		delete(l.held, k)
		l.wake(k)
	}
	queue := l.queue
	l.queue = nil
	for i, k := range queue {
		if len(start) >= limit {
			l.queue = append(l.queue, queue[i:]...)
			break
		}
		if _, ok := l.ready[k]; !ok {
			continue
		}
		j := l.head(k)
		switch {
		case j == nil:
			delete(l.ready, k)
		case now < j.notBefore:
			delete(l.ready, k)
			l.held[k] = j.notBefore
		case j.entry.Alone || j.entry.Deaths >= l.AloneFrom:
			if l.running > 0 {
				// It waits until nothing else runs, and nothing else starts
				// before it, or it might wait for ever. Its lane stays ready.
				l.queue = append(l.queue, queue[i:]...)
				return start, nil
			}
			delete(l.ready, k)
			l.queue = append(l.queue, queue[i+1:]...)
			if !j.entry.Alone {
				l.awaited = j
				return nil, []*fsm.Entry{j.entry}
			}
			l.begin(j)
			l.alone = true
			return []*fsm.Entry{j.entry}, nil
		default:
			l.begin(j)
			delete(l.ready, k)
			start = append(start, j.entry)
		}
	}
	return start, nil
}

// due returns the held lanes whose time has come, in an order that depends on
// nothing but them.
func (l *Lanes) due(now Time) []laneKey {
	var due []laneKey
	for k, at := range l.held {
		if now >= at {
			due = append(due, k)
		}
	}
	slices.SortFunc(due, func(a, b laneKey) int {
		return cmp.Or(cmp.Compare(l.held[a], l.held[b]), cmp.Compare(a.bot, b.bot),
			cmp.Compare(a.k.Index, b.k.Index), cmp.Compare(a.lane, b.lane))
	})
	return due
}

func (l *Lanes) begin(j *job) {
	j.run, j.left = j.entry, false
	l.running++
}

// head returns the first entry of a lane that was not passed, if it may start.
func (l *Lanes) head(k laneKey) *job {
	for _, j := range l.lanes[k] {
		if j.passed && j.entry.Runner == l.Self {
			continue
		}
		if j.run != nil || j.settled || j.entry.Runner != l.Self || j.acknowledging() {
			return nil
		}
		return j
	}
	return nil
}

// Acknowledged says that handlers of a started entry are done, before it is over:
// acknowledgements that can't be refused for what was read are on their way, and
// are proposed until they have an answer.
func (l *Lanes) Acknowledged(e *fsm.Entry, handlers []string) {
	if j := l.jobs[entryKey{e.Bot, e.Pos}]; j != nil && j.run == e && !j.left {
		j.acked = append(j.acked, handlers...)
	}
}

// Finished says that a started entry is over; e is what Next returned. With
// passed the lane may go on before the acknowledgement is applied; else the
// entry starts again, not before the given time, unless it is removed until
// then. It starts again as well if it has gone to another runner and come back
// meanwhile, since the acknowledgement may have been refused in between.
func (l *Lanes) Finished(e *fsm.Entry, passed bool, notBefore Time) {
	l.finish(e, passed, false, notBefore)
}

func (l *Lanes) finish(e *fsm.Entry, passed, settled bool, notBefore Time) {
	l.running--
	l.alone = false
	j := l.jobs[entryKey{e.Bot, e.Pos}]
	if j == nil || j.run != e {
		return
	}
	same := sameTry(j.entry, e)
	if j.entry.Attempts > 0 || j.entry.Alone {
		// It may be here because something ended its runner. The first entry that
		// is left in the lane is blamed for a death: this one until it is gone.
		passed, settled = false, passed || settled
	}
	j.run, j.passed, j.settled, j.notBefore = nil, passed && same, settled && same, notBefore
	l.wake(lane(e))
	switch {
	case !j.entry.Alone || j.entry.Runner != l.Self:
	case j.settled:
		l.awaited = j
	default:
		l.first(lane(e))
	}
}

// Settled says that a started entry is over and that its outcome is in the
// log already, where this node may not have applied it yet: acknowledged with
// writes, or refused since another node runs it. It doesn't start again on
// what this node knew when it began; and its lane waits, so that the next
// entry reads what this one wrote.
func (l *Lanes) Settled(e *fsm.Entry) { l.finish(e, false, true, 0) }

// Failed says that a started entry has failed and that a Fail of it is on its
// way: it starts again once that is applied here, not before the given time.
func (l *Lanes) Failed(e *fsm.Entry, notBefore Time) { l.finish(e, false, true, notBefore) }

// Deadline returns the earliest time at which a held lane may go on.
func (l *Lanes) Deadline() (Time, bool) {
	first, found := Time(0), false
	for _, at := range l.held {
		if !found || at < first {
			first, found = at, true
		}
	}
	return first, found
}

package shard

import (
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
	// running: handed out by Next and not finished yet.
	running bool
	// passed: finished here with an acknowledgement that can't be refused for
	// what it read, so the lane may go on before that is committed.
	passed bool
	// notBefore holds back an entry that failed.
	notBefore Time
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
	// AloneFrom is the number of attempts from which an entry runs alone, after
	// a Fail has recorded that it is about to.
	AloneFrom uint32

	lanes   map[laneKey][]*job
	jobs    map[entryKey]*job
	ready   map[laneKey]struct{} // lanes whose state changed since they were looked at
	queue   []laneKey            // the same, in the order in which they changed
	held    map[laneKey]Time     // lanes whose head waits for a time
	running int
	alone   bool // the one entry that runs is running alone
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
}

func lane(e *fsm.Entry) laneKey { return laneKey{e.Bot, e.Shard, e.Lane} }

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
			if j.running && e.Runner != l.Self {
				cancel = append(cancel, j.entry)
			}
			if j.entry.Runner != e.Runner || j.entry.Attempts != e.Attempts {
				j.passed = false
			}
			j.entry = e
			l.wake(lane(e))
		}
	}
	for _, e := range c.Removed {
		if j := l.jobs[entryKey{e.Bot, e.Pos}]; j != nil {
			if j.running {
				cancel = append(cancel, j.entry)
			}
			l.remove(j)
		}
	}
	return cancel
}

// Reset replaces all entries, as after a restore. Entries that run here go on
// if they are among them; the others are returned to be cancelled.
func (l *Lanes) Reset(entries []*fsm.Entry) (cancel []*fsm.Entry) {
	old := l.jobs
	l.clear()
	for _, e := range entries {
		l.add(e)
		if was := old[entryKey{e.Bot, e.Pos}]; was != nil && was.running {
			l.jobs[entryKey{e.Bot, e.Pos}].running = true
			delete(old, entryKey{e.Bot, e.Pos})
			if e.Runner != l.Self {
				cancel = append(cancel, e)
			}
		}
	}
	for _, j := range old {
		if j.running {
			cancel = append(cancel, j.entry)
		}
	}
	return cancel
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

func (l *Lanes) remove(j *job) {
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
// An entry that must run alone is returned alone. record lists entries that
// need a Fail{Alone} committed before they may start.
func (l *Lanes) Next(now Time, limit int) (start, record []*fsm.Entry) {
	if l.alone {
		return nil, nil
	}
	for k, at := range l.held {
		if now >= at {
			delete(l.held, k)
			l.wake(k)
		}
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
		case j.entry.Attempts >= l.AloneFrom && !j.entry.Alone:
			delete(l.ready, k)
			record = append(record, j.entry)
		case j.entry.Alone:
			if l.running > 0 || len(start) > 0 {
				l.queue = append(l.queue, k) // it waits for its turn; the lane stays ready
				continue
			}
			delete(l.ready, k)
			l.begin(j)
			l.alone = true
			l.queue = append(l.queue, queue[i+1:]...)
			return []*fsm.Entry{j.entry}, record
		default:
			l.begin(j)
			delete(l.ready, k)
			start = append(start, j.entry)
		}
	}
	return start, record
}

func (l *Lanes) begin(j *job) {
	j.running = true
	l.running++
}

// head returns the first entry of a lane that was not passed, if it may start.
func (l *Lanes) head(k laneKey) *job {
	for _, j := range l.lanes[k] {
		if j.passed && j.entry.Runner == l.Self {
			continue
		}
		if j.running || j.entry.Runner != l.Self {
			return nil
		}
		return j
	}
	return nil
}

// Finished says that a started entry is over. With passed the lane may go on
// before the acknowledgement is applied; else the entry starts again, not
// before the given time, unless it is removed until then.
func (l *Lanes) Finished(e *fsm.Entry, passed bool, notBefore Time) {
	l.running--
	l.alone = false
	j := l.jobs[entryKey{e.Bot, e.Pos}]
	if j == nil {
		return
	}
	j.running, j.passed, j.notBefore = false, passed, notBefore
	l.wake(lane(e))
}

// Deadline returns the earliest time at which a held lane may go on.
func (l *Lanes) Deadline() (Time, bool) {
	first, any := Time(0), false
	for _, at := range l.held {
		if !any || at < first {
			first, any = at, true
		}
	}
	return first, any
}

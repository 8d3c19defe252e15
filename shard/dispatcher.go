package shard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/fsm"
)

// Delivery is one handler's turn at one journal entry.
type Delivery struct {
	Entry   *fsm.Entry
	Handler string
	// Gate returns nil if the handler may write to Discord now: this node is
	// fresh and still the entry's runner.
	Gate func() error
}

// Outcome is what a handler's turn came to.
type Outcome struct {
	Err error
	// Late says that the handler was not run, since its answer would come too late.
	Late bool
	// Reads, Ranges and Writes of the key-value store commit with the acknowledgement.
	Reads  []fsm.KVRead
	Ranges []fsm.KVRange
	Writes []fsm.KVChange
	// Again, if set, makes the outcome anew from the state as it is now, after a
	// conflict, without another run of the handler. It answers false where only
	// a run will do.
	Again func() (Outcome, bool)
}

// Handlers run the handlers of a bot's program. Handle is called on many
// goroutines, must return soon after its context ends, and may panic.
type Handlers interface {
	Handle(ctx context.Context, d Delivery) Outcome
	// Policy returns how a handler is to be run. It is called often.
	Policy(handler string) HandlerPolicy
}

// HandlerPolicy says how a handler is run. Zero values mean the defaults.
type HandlerPolicy struct {
	// Timeout bounds one attempt; default is the manager's HandlerTimeout.
	Timeout time.Duration
	// Attempts is after how many failures an entry is a dead letter for the
	// handler; default is the bot's max_attempts.
	Attempts int
	// Backoff is the wait after the first failure, doubled with each, up to a
	// hundred times that; default 100 ms.
	Backoff time.Duration
}

// Errors that end a handler's context or refuse its writes.
var (
	// ErrNotRunner means that another node runs the entry now.
	ErrNotRunner = errors.New("another node runs this entry now")
	// ErrNotFresh means that no leader has answered this node of late, so
	// that another may be running the entry.
	ErrNotFresh = errors.New("this node has lost contact with the leader")
	// ErrNoHandler is the outcome of a handler that the program doesn't have:
	// the entry is a dead letter for it at once, since no attempt can help.
	ErrNoHandler = errors.New("this node's program has no such handler")
	errRefused   = fmt.Errorf("the acknowledgement was refused: %w", ErrNotRunner)
	errDeadline  = errors.New("the handler did not return in time")
)

// Waits of the dispatcher.
const (
	handlerGrace  = 5 * time.Second        // between a handler's deadline and its abandonment
	failBackoff   = 100 * time.Millisecond // of a handler without a policy
	backoffFactor = 100                    // of the longest wait to the first
	conflictTries = 200                    // about what the handler's time allows
)

// dispatchInput is what the dispatcher's loop is told; one field is set.
type dispatchInput struct {
	changes  *fsm.Changes
	index    uint64 // of the entry that made the changes
	restored bool
	granted  *fsm.ShardRef // a shard without a runner has changed
	over     *execution
	repeat   *repeat
}

// repeat is an acknowledgement whose outcome is unknown.
type repeat struct {
	entry *fsm.Entry
	cmd   []byte
	at    Time
}

// dispatcher starts handlers for the entries that this node runs.
type dispatcher struct {
	m       *Manager
	mail    *mailbox[dispatchInput]
	lanes   *Lanes
	running map[entryKey]*execution
	repeats []repeat
	grace   time.Duration   // handlerGrace, but in tests
	upTo    uint64          // the index that the lanes were last rebuilt at
	work    chan *execution // taken by idle workers
	workers sync.WaitGroup

	mu          sync.Mutex // guards what follows
	left, inUse int
}

func newDispatcher(m *Manager) *dispatcher {
	return &dispatcher{
		m: m, mail: newMailbox[dispatchInput](), lanes: NewLanes(m.o.Self),
		running: make(map[entryKey]*execution), work: make(chan *execution), grace: handlerGrace,
	}
}

// Handling returns how many entries are left in the journal, and how many this
// node is handling.
func (m *Manager) Handling() (left, running int) {
	m.disp.mu.Lock()
	defer m.disp.mu.Unlock()
	return m.disp.left, m.disp.inUse
}

func (d *dispatcher) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(d.wait())
		select {
		case <-d.m.ctx.Done():
			d.shutdown()
			return
		case <-d.mail.wake:
		case <-timer.C:
		}
		// Freshness first: it says that the changes which are waiting here after it
		// have what was taken from this node while it was silent.
		fresh := d.m.Fresh()
		for _, in := range d.mail.take() {
			d.take(in)
		}
		d.repeatDue()
		if fresh {
			d.begin()
		}
		d.mu.Lock()
		d.left, d.inUse = d.lanes.Len()
		d.mu.Unlock()
	}
}

func (d *dispatcher) wait() time.Duration {
	wait, now := time.Second, d.m.now()
	if at, ok := d.lanes.Deadline(); ok {
		wait = min(wait, at-now)
	}
	if len(d.repeats) > 0 {
		wait = min(wait, d.repeats[0].at-now)
	}
	return max(wait, 0)
}

// shutdown cancels what runs and waits for it, but not for ever: a handler
// that ignores its context must not keep the process.
func (d *dispatcher) shutdown() {
	for _, x := range d.running {
		x.cancel(errStopping)
	}
	all := make(chan struct{})
	go func() {
		d.workers.Wait()
		close(all)
	}()
	select {
	case <-all:
	case <-time.After(handlerGrace):
		d.m.log.Warn("handlers did not return; leaving them", zap.String("code", "handler_hangs"))
	}
}

func (d *dispatcher) take(in dispatchInput) {
	switch {
	case in.changes != nil:
		// What waited here while the lanes were rebuilt from a newer state is in
		// it: an entry that is done by now must not be added again.
		if in.index > d.upTo {
			d.cancel(d.lanes.Apply(*in.changes))
		}
	case in.restored:
		var all []*fsm.Entry
		var generation uint64
		d.m.o.Machine.View(func(index uint64, s *fsm.State) {
			d.upTo, generation = index, s.Generation
			for _, name := range s.BotNames() {
				for e := range s.Bot(name).PendingEntries() {
					all = append(all, e)
				}
				for _, sh := range s.Bot(name).Shards() {
					in := fsm.ShardRef{Bot: name, Shard: sh.Key}
					if sh.Owner == d.m.o.Self {
						d.mail.push(dispatchInput{granted: &in})
					}
				}
			}
		})
		d.cancel(d.lanes.Reset(generation, all))
	case in.granted != nil:
		if v, ok := d.m.view(*in.granted); ok && v.Owner == d.m.o.Self {
			if r := d.m.runner(*in.granted); r != nil {
				r.touch()
			}
		}
	case in.over != nil:
		d.finish(in.over)
	case in.repeat != nil:
		d.repeats = append(d.repeats, *in.repeat)
	}
}

func (d *dispatcher) cancel(entries []*fsm.Entry) {
	for _, e := range entries {
		if x := d.running[entryKey{e.Bot, e.Pos}]; x != nil && x.entry == e && !x.acked.Load() {
			x.cancel(ErrNotRunner)
		}
	}
}

// begin starts what may start, if this node is fresh.
func (d *dispatcher) begin() {
	if !d.m.Fresh() {
		return
	}
	generation := d.m.generation()
	if generation != d.lanes.Generation() {
		// Positions may be other events' now: what is known of the journal is
		// void, and the acknowledgements of what runs will be too.
		d.take(dispatchInput{restored: true})
	}
	start, record := d.lanes.Next(d.m.now(), d.m.o.Workers-len(d.running))
	for _, e := range record {
		d.acknowledge(e, generation, &fsm.Fail{
			Bot: e.Bot, Shard: e.Shard, Pos: e.Pos, Runner: d.m.o.Self, Attempts: e.Attempts, Retries: e.Retries, Alone: true,
		})
	}
	for _, e := range start {
		x := newExecution(d, e, generation)
		d.running[entryKey{e.Bot, e.Pos}] = x
		d.m.stats.Started.Add(1)
		d.execute(x)
	}
}

// execute has an idle worker run x, or a new one. Workers stay, as many as were
// ever busy at a time: a fresh goroutine's stack is too small for most handlers
// and is copied on the way. One whose handler never returns is lost.
func (d *dispatcher) execute(x *execution) {
	select {
	case d.work <- x:
	default:
		d.workers.Go(func() { d.worker(x) })
	}
}

func (d *dispatcher) worker(x *execution) {
	for {
		x.run()
		select {
		case x = <-d.work:
		case <-d.m.ctx.Done():
			return
		}
	}
}

func (d *dispatcher) finish(x *execution) {
	if key := (entryKey{x.entry.Bot, x.entry.Pos}); d.running[key] == x {
		delete(d.running, key)
	}
	d.lanes.Acknowledged(x.entry, x.plain)
	if x.settled {
		d.lanes.Settled(x.entry)
		return
	}
	if x.failed {
		d.lanes.Failed(x.entry, d.m.now()+x.backoff)
		return
	}
	d.lanes.Finished(x.entry, x.passed, 0)
}

// acknowledge proposes a command until its outcome is known or the entry is
// somebody else's. The generation is that in which the entry was read: in
// another one its position may be another event's.
func (d *dispatcher) acknowledge(e *fsm.Entry, generation uint64, cmd fsm.Command) {
	d.submit(e, fsm.Encode(generation, cmd))
}

func (d *dispatcher) submit(e *fsm.Entry, cmd []byte) {
	d.m.submit(cmd, func(_ fsm.Result, err error) {
		if err != nil {
			d.mail.push(dispatchInput{repeat: &repeat{entry: e, cmd: cmd, at: d.m.now() + d.m.o.Timing.Retry}})
		}
	})
}

// repeatDue proposes again what had no definite answer, with the same bytes.
func (d *dispatcher) repeatDue() {
	now := d.m.now()
	for len(d.repeats) > 0 && d.repeats[0].at <= now {
		r := d.repeats[0]
		d.repeats = d.repeats[1:]
		if j := d.lanes.jobs[entryKey{r.entry.Bot, r.entry.Pos}]; j != nil && j.entry.Runner == d.m.o.Self {
			d.submit(r.entry, r.cmd)
		}
	}
}

func (m *Manager) generation() (g uint64) {
	m.o.Machine.View(func(_ uint64, s *fsm.State) { g = s.Generation })
	return g
}

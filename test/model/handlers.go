package model

import (
	"strconv"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/mutant"
)

// run is one attempt at one entry, as the dispatcher of package shard makes it.
type run struct {
	entry     *fsm.Entry
	cancelled bool
	gen       uint64 // in which the entry was read
	plain     bool   // no acknowledgement so far depends on what was read
	acked     []string
	tries     int
}

// handlersOf lists the handlers of a version of the program: 0 is what all
// versions have, and of the others every second one has a handler of its own.
func handlersOf(version uint64) (list []fsm.Interest) {
	for _, event := range []string{
		discord.EventReady, discord.EventResumed, discord.EventGuildCreate, discord.EventGuildDelete,
		discord.EventMessageCreate, discord.EventMessageUpdate,
	} {
		in := fsm.Interest{Type: event, Handlers: []string{"h"}}
		if event == discord.EventMessageUpdate {
			in.Handlers = append(in.Handlers, "i")
		}
		if event == discord.EventMessageCreate && version%2 == 1 {
			in.Handlers = append(in.Handlers, "odd")
		}
		list = append(list, in)
	}
	list = append(list, fsm.Interest{Type: fsm.EventTick, Handlers: []string{tickName}})
	return list
}

// has reports whether this process's program has a handler.
func (n *node) has(handler string) bool { return handler != "odd" || n.ref.Inc%2 == 1 }

func (n *node) cancel(entries []*fsm.Entry) {
	for _, e := range entries {
		if x := n.runs[e.Pos]; x != nil && x.entry == e {
			x.cancelled = true
		}
	}
}

// dispatch starts what may start, if this node is fresh.
func (n *node) dispatch() {
	if n.local() >= n.freshUntil && !n.s.mutant.Has(mutant.Freshness) {
		return
	}
	gen := n.generation()
	if gen != n.lanes.Generation() {
		n.resetLanes()
	}
	start, record := n.lanes.Next(n.local(), 4-len(n.runs))
	for _, e := range record {
		n.acknowledge(e, gen, &fsm.Fail{
			Bot: e.Bot, Shard: e.Shard, Pos: e.Pos, Runner: n.ref, Attempts: e.Attempts, Retries: e.Retries, Alone: true,
		})
	}
	for _, e := range start {
		x := &run{entry: e, gen: gen, plain: true}
		n.runs[e.Pos] = x
		n.s.oracle.started(n, e)
		n.handle(x, 0)
	}
	if at, ok := n.lanes.Deadline(); ok {
		n.s.on(n, max(at-n.local(), 0)+time.Millisecond, n.dispatch)
	}
}

// handle runs the entry's handlers from the i-th on, one after the other.
func (n *node) handle(x *run, i int) {
	e := x.entry
	if i == len(e.Handlers) {
		n.over(x, true, 0)
		return
	}
	if !n.has(e.Handlers[i]) {
		n.fail(x, fsm.HandlerError{Handler: e.Handlers[i], Err: "no such handler", Limit: 1})
		return
	}
	n.s.oracle.turn(n, x, e.Handlers[i])
	useKV := n.s.chance(n.s.knobs.KVRate)
	var read fsm.KVRead
	var value int
	if useKV {
		read, value = n.readCounter(e)
	}
	limit := n.s.knobs.Run
	if !n.s.faults {
		limit = min(limit, 4*time.Millisecond) // so that the backlog goes
	}
	n.s.on(n, n.s.between(time.Millisecond, limit), func() {
		switch {
		case x.cancelled:
			n.over(x, false, 0)
		case n.s.fault(n.s.knobs.FailRate):
			n.fail(x, fsm.HandlerError{Handler: e.Handlers[i], Err: "failed"})
		default:
			done := &fsm.Done{Bot: e.Bot, Shard: e.Shard, Pos: e.Pos, Handler: e.Handlers[i], Runner: n.ref}
			if !useKV {
				n.acknowledge(e, x.gen, done)
				x.acked = append(x.acked, done.Handler)
				n.s.oracle.plain(n, x, done.Handler)
				n.handle(x, i+1)
				return
			}
			x.plain = false
			done.Reads = []fsm.KVRead{read}
			done.Writes = []fsm.KVChange{{Key: read.Key, Value: []byte(strconv.Itoa(value + 1))}}
			n.commitDone(x, i, done)
		}
	})
}

// fail ends an attempt at which a handler has failed.
func (n *node) fail(x *run, failed fsm.HandlerError) {
	e := x.entry
	n.acknowledge(e, x.gen, &fsm.Fail{
		Bot: e.Bot, Shard: e.Shard, Pos: e.Pos, Runner: n.ref, Attempts: e.Attempts, Retries: e.Retries,
		Failed: []fsm.HandlerError{failed},
	})
	n.forget(x)
	n.lanes.Failed(e, n.local()+100*time.Millisecond)
	n.dispatch()
}

// readCounter reads the counter that all handlers of a shard share.
func (n *node) readCounter(e *fsm.Entry) (read fsm.KVRead, value int) {
	read.Key = "counter-" + strconv.Itoa(int(e.Shard.Index))
	n.view(func(_ *fsm.State, b *fsm.Bot) {
		item, _ := b.KVGet(read.Key)
		read.Version = item.Version
		value, _ = strconv.Atoi(string(item.Value))
	})
	return read, value
}

// commitDone proposes an acknowledgement with writes until its outcome is known.
func (n *node) commitDone(x *run, i int, done *fsm.Done) {
	n.propose(done, x.gen, func(r fsm.Result, unknown bool) {
		switch {
		case unknown && !x.cancelled:
			n.s.on(n, n.s.timing.Retry, func() { n.commitDone(x, i, done) })
		case x.cancelled:
			n.over(x, false, 0)
		case r.Code == fsm.OK || r.Code == fsm.Old:
			n.handle(x, i+1)
		case r.Code == fsm.Conflict && x.tries < 20:
			x.tries++
			n.s.stats.Conflicts++
			n.handle(x, i)
		case r.Code == fsm.Conflict:
			n.s.oracle.excuse(n, x)
			n.over(x, false, n.local()+100*time.Millisecond)
		default:
			n.settled(x)
		}
	})
}

// acknowledge proposes until the outcome is known or the entry is somebody
// else's.
func (n *node) acknowledge(e *fsm.Entry, gen uint64, cmd fsm.Command) {
	n.propose(cmd, gen, func(_ fsm.Result, unknown bool) {
		if !unknown {
			return
		}
		n.s.on(n, n.s.timing.Retry, func() {
			n.view(func(_ *fsm.State, b *fsm.Bot) {
				if now, ok := b.Entry(e.Shard, e.Pos); ok && now.Runner == n.ref {
					n.acknowledge(e, gen, cmd)
				}
			})
		})
	})
}

// over ends an attempt: done with everything, or to be started again.
func (n *node) over(x *run, done bool, notBefore Time) {
	if done && !x.plain {
		n.settled(x)
		return
	}
	n.forget(x)
	n.lanes.Finished(x.entry, done, notBefore)
	n.dispatch()
}

func (n *node) forget(x *run) {
	if n.runs[x.entry.Pos] == x {
		delete(n.runs, x.entry.Pos)
	}
	if !n.s.mutant.Has(mutant.Acked) {
		n.lanes.Acknowledged(x.entry, x.acked)
	}
}

// settled ends an attempt of which the log already holds what became of it.
func (n *node) settled(x *run) {
	n.forget(x)
	n.lanes.Settled(x.entry)
	n.dispatch()
}

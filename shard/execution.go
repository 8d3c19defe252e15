package shard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/fsm"
)

// execution is one attempt at one entry: its handlers, one after the other.
type execution struct {
	d      *dispatcher
	entry  *fsm.Entry
	ctx    context.Context
	cancel context.CancelCauseFunc
	// over is set by who ends the execution: its own goroutine, or the watchdog
	// that abandons it while a handler has its turn.
	over atomic.Bool
	// acked: everything is proposed; there is nothing left to cancel.
	acked atomic.Bool

	// current is the turn that is under way. Who takes it away ends it.
	current atomic.Pointer[attempt]

	generation uint64 // in which the entry was read

	// plain are the handlers whose acknowledgement is on its way and can't be
	// refused for what they read.
	plain []string

	// Read by the loop after over, like plain. settled: the log holds what became of the
	// entry, but this node may not have applied it yet.
	passed, failed, settled bool
	backoff                 time.Duration // before it starts again, if it failed
}

func newExecution(d *dispatcher, e *fsm.Entry, generation uint64) *execution {
	x := &execution{d: d, entry: e, generation: generation}
	x.ctx, x.cancel = context.WithCancelCause(d.m.ctx)
	return x
}

func (x *execution) run() {
	defer x.cancel(nil)
	simple := true
	var failed []fsm.HandlerError
	var stop error
	for _, h := range x.entry.Handlers {
		plain, err := x.handle(h)
		switch {
		case err == nil && plain:
			x.plain = append(x.plain, h)
		case err == nil:
			simple = false
		case x.over.Load():
			return // given up meanwhile
		case x.excused(err):
			stop = err
		default:
			// The handlers after it get their turn all the same.
			failed = append(failed, x.failure(h, err))
		}
		if stop != nil {
			break
		}
	}
	x.over.Store(true)
	x.end(failed, stop, simple)
}

func (x *execution) policy(handler string) HandlerPolicy {
	if bot := x.d.m.bots[x.entry.Bot]; bot != nil && bot.Handlers != nil {
		return bot.Handlers.Policy(handler)
	}
	return HandlerPolicy{}
}

func (x *execution) timeout(handler string) time.Duration {
	return cmp.Or(x.policy(handler).Timeout, x.d.m.o.HandlerTimeout)
}

// end reports the result to the loop, and failures to the cluster. stop is why
// the execution went no further, if not for its handlers.
func (x *execution) end(failed []fsm.HandlerError, stop error, simple bool) {
	x.acked.Store(true)
	switch {
	case stop != nil:
		x.settled = errors.Is(stop, errRefused)
	case len(failed) > 0:
		x.fail(failed)
	default:
		x.passed, x.settled = simple, !simple
	}
	x.d.mail.push(dispatchInput{over: x})
}

// abandon gives up on a handler that does not return. Its goroutine stays
// behind; its writes are refused.
func (x *execution) abandon(t *attempt) {
	if !x.current.CompareAndSwap(t, nil) {
		return // it has returned in the same moment
	}
	x.over.Store(true)
	x.measure(t, ResultTimedOut)
	x.cancel(errDeadline)
	x.end([]fsm.HandlerError{x.failure(t.handler, errDeadline)}, nil, false)
}

// excused reports whether an error is not the handler's fault. A node that has
// lost its leader starts the entry again once one answers; whoever runs the
// entry instead starts it afresh.
func (x *execution) excused(err error) bool {
	cause := context.Cause(x.ctx)
	return errors.Is(err, ErrNotFresh) || errors.Is(err, errRefused) ||
		errors.Is(cause, ErrNotRunner) || errors.Is(cause, errStopping) || x.d.m.ctx.Err() != nil
}

// failure records that a handler failed.
func (x *execution) failure(handler string, err error) fsm.HandlerError {
	p := x.policy(handler)
	f := fsm.HandlerError{Handler: handler, Err: clip(err.Error(), 500), Limit: uint32(max(0, p.Attempts))}
	if errors.Is(err, ErrNoHandler) {
		f.Limit = 1
	}
	x.d.m.log.Warn("handler failed", zap.String("code", "handler_failed"), zap.String("bot", x.entry.Bot), zap.String("handler", handler),
		zap.String("event", x.entry.Type), zap.Uint64("pos", x.entry.Pos), zap.Uint32("attempts", x.entry.Attempts), zap.Error(err))
	return f
}

func (x *execution) fail(failed []fsm.HandlerError) {
	x.failed = true
	for _, f := range failed {
		wait := cmp.Or(x.policy(f.Handler).Backoff, failBackoff)
		x.backoff = max(x.backoff, min(wait<<min(x.entry.Attempts, 16), backoffFactor*wait))
	}
	x.d.acknowledge(x.entry, x.generation, &fsm.Fail{
		Bot: x.entry.Bot, Shard: x.entry.Shard, Pos: x.entry.Pos, Runner: x.d.m.o.Self,
		Attempts: x.entry.Attempts, Retries: x.entry.Retries, Failed: failed,
	})
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "..."
	}
	return s
}

// handle gives one handler its turn, and another one after a conflict, within
// its time. plain: the acknowledgement depends on nothing that the handler read;
// it is on its way, and can be taken as done.
func (x *execution) handle(name string) (plain bool, err error) {
	var out Outcome
	begun := time.Now()
	for try := range conflictTries {
		again := false
		if out.Again != nil {
			out, again = out.Again()
		}
		if !again {
			if out, err = x.turn(name); err != nil {
				return false, err
			}
		}
		done := &fsm.Done{
			Bot: x.entry.Bot, Shard: x.entry.Shard, Pos: x.entry.Pos, Handler: name, Runner: x.d.m.o.Self,
			Reads: out.Reads, Ranges: out.Ranges, Writes: out.Writes,
		}
		if len(out.Reads)+len(out.Ranges)+len(out.Writes) == 0 {
			x.d.acknowledgeLater(x.entry, x.generation, done)
			return true, nil
		}
		res, err := x.commit(done)
		if errors.Is(err, ErrTooLarge) {
			return false, fmt.Errorf("handler %s: its writes were refused: %w", name, err)
		}
		if err != nil {
			return false, err
		}
		switch res.Code {
		case fsm.OK, fsm.Old:
			return false, nil
		case fsm.Conflict:
			x.d.m.o.Metrics.HandlerConflict(x.entry.Bot, name)
			if err := x.pause(try); err != nil {
				return false, err
			}
			if time.Since(begun) > x.timeout(name) {
				return false, fmt.Errorf("handler %s: its keys changed under it for all of its time", name)
			}
		case fsm.Refused, fsm.Malformed:
			// Nothing will change about that by itself.
			return false, fmt.Errorf("handler %s: its writes were refused: %s", name, res.Msg)
		default:
			return false, errRefused
		}
	}
	return false, fmt.Errorf("handler %s: its keys changed under it %d times", name, conflictTries)
}

// pause waits after a conflict: until this node has applied something more,
// since what it was about may not be here yet, and longer with each try, or all
// who want a key meet again at once.
func (x *execution) pause(try int) error {
	var changed <-chan struct{}
	if try < 2 {
		changed = x.d.m.o.Machine.Changed()
	}
	limit := time.NewTimer(time.Duration(1+rand.IntN(min(1<<min(try, 5), 20))) * time.Millisecond)
	defer limit.Stop()
	select {
	case <-changed:
	case <-limit.C:
	case <-x.ctx.Done():
		return context.Cause(x.ctx)
	}
	return nil
}

// turn runs a handler once, within its time.
func (x *execution) turn(name string) (out Outcome, err error) {
	t := &attempt{handler: name, since: time.Now()}
	x.current.Store(t)
	watchdog := time.AfterFunc(x.timeout(name)+x.d.grace, func() { x.abandon(t) })
	defer watchdog.Stop()
	ctx, cancel := context.WithTimeout(x.ctx, x.timeout(name))
	defer cancel()
	out, panicked := x.protect(ctx, name)
	if !x.current.CompareAndSwap(t, nil) {
		return out, errDeadline // abandoned
	}
	result := ResultOK
	switch {
	case panicked:
		result = ResultPanicked
	case out.Err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		result, out.Err = ResultTimedOut, fmt.Errorf("%w: %w", errDeadline, out.Err)
	case x.ctx.Err() != nil, errors.Is(out.Err, ErrNotFresh), errors.Is(out.Err, ErrNotRunner):
		result = ResultCancelled // as fail has it
	case out.Err != nil:
		result = ResultFailed
	case out.Late:
		result = ResultLate
		x.d.m.o.Metrics.InteractionSkipped(x.entry.Bot, name)
	}
	x.measure(t, result)
	if out.Err != nil {
		return out, fmt.Errorf("handler %s: %w", name, out.Err)
	}
	if x.ctx.Err() != nil {
		return out, context.Cause(x.ctx)
	}
	return out, nil
}

// attempt is one run of a handler.
type attempt struct {
	handler string
	since   time.Time
}

func (x *execution) measure(t *attempt, result string) {
	x.d.m.o.Metrics.HandlerEnded(x.entry.Bot, t.handler, result, time.Since(t.since))
}

// commit proposes until the outcome is known.
func (x *execution) commit(cmd fsm.Command) (fsm.Result, error) {
	type answer struct {
		res fsm.Result
		err error
	}
	b := fsm.Encode(x.generation, cmd)
	for {
		ch := make(chan answer, 1)
		x.d.m.submit(b, func(r fsm.Result, err error) { ch <- answer{r, err} })
		var got answer
		select {
		case got = <-ch:
		case <-x.ctx.Done():
			return fsm.Result{}, context.Cause(x.ctx)
		}
		if got.err == nil || errors.Is(got.err, ErrTooLarge) {
			return got.res, got.err
		}
		select {
		case <-time.After(x.d.m.o.Timing.Retry):
		case <-x.ctx.Done():
			return fsm.Result{}, context.Cause(x.ctx)
		}
	}
}

// protect calls the program's handler and turns a panic into an error.
func (x *execution) protect(ctx context.Context, name string) (out Outcome, panicked bool) {
	defer func() {
		if p := recover(); p != nil {
			x.d.m.log.Error("handler panicked", zap.String("code", "handler_panicked"), zap.String("handler", name),
				zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			out, panicked = Outcome{Err: fmt.Errorf("panic: %v", p)}, true
		}
	}()
	bot := x.d.m.bots[x.entry.Bot]
	if bot == nil || bot.Handlers == nil {
		return Outcome{Err: ErrNoHandler}, false
	}
	return bot.Handlers.Handle(ctx, Delivery{Entry: x.entry, Handler: name, Gate: x.gate}), false
}

// gate is asked before every write to Discord.
func (x *execution) gate() error {
	if x.ctx.Err() != nil {
		return context.Cause(x.ctx)
	}
	if x.over.Load() {
		return ErrNotRunner
	}
	if !x.d.m.Fresh() {
		return ErrNotFresh
	}
	return nil
}

package botnode

import (
	"context"
	"errors"
	"fmt"
	"time"

	disgorest "github.com/disgoorg/disgo/rest"
	"go.uber.org/zap"

	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/shard"
)

// Task is work that belongs to no event. Its context ends when the work is this
// process's no more.
type Task struct {
	context.Context

	bot   *Bot
	lock  string
	fence uint64
}

// Store returns the bot's store. Under a lock, each write commits only while
// the lock is held: see [ErrLockLost].
func (t *Task) Store() *Store {
	return &Store{bot: t.bot, ctx: t, lock: t.lock, fence: t.fence}
}

// REST returns disgo's client: see [Bot.REST].
func (t *Task) REST() (disgorest.Rest, error) { return t.bot.REST() }

// Cache returns the bot's caches: see [Bot.Cache].
func (t *Task) Cache() *Cache { return t.bot.Cache() }

// Fence returns the number of the acquisition of the task's lock, 0 without one:
// of two that think that they hold a lock, the higher one does.
func (t *Task) Fence() uint64 { return t.fence }

// StartReason says why a shard came to a node.
type StartReason string

// The reasons for which a shard comes to a node.
const (
	Normal   StartReason = "normal"   // it was nobody's
	Failover StartReason = "failover" // the node that had it died or fell silent
	Takeover StartReason = "takeover" // an operator, or fail-back, moved the bot here
	Handoff  StartReason = "handoff"  // it was moved by plan, as before a stop
)

// Start is a shard's coming to this node.
type Start struct {
	Reason StartReason
	// From is the id of the node that had the shard before, "" for Normal.
	From string
	// Shard and Shards are the shard's number and how many there are.
	Shard, Shards int
	// Gap is how long the shard was without events, from this node's point of
	// view; Replayed is how many events Discord sent again.
	Gap      time.Duration
	Replayed int
}

// Stop is a shard's going from this node.
type Stop struct{ Shard, Shards int }

// stopTimeout bounds a function of OnStop.
const stopTimeout = 5 * time.Second

// OnStart has f run whenever a shard is live on this node after it came to it,
// with the reason. What bots set up on READY belongs here: a session that was
// resumed gets no READY. f may go on as long as it likes; its context ends when
// the shard goes.
func (b *Bot) OnStart(f func(*Task, Start) error) { b.starts = append(b.starts, f) }

// OnStop has f run, for at most 5 s, when a shard goes from this node while the
// process lives.
func (b *Bot) OnStop(f func(*Task, Stop) error) { b.stops = append(b.stops, f) }

// leaderJob is a function of LeaderOnly.
type leaderJob struct {
	name string
	run  func(*Task) error
}

// LeaderOnly has f run on one node of the cluster at a time, under a lock of
// this name: on another one after the node has died, or has lost contact with
// the cluster, which ends f's context before another may begin. When f returns
// an error it is run again after a wait, here or elsewhere; when it returns nil
// it is done for as long as this process keeps the lock, and runs again where
// the lock goes then.
func (b *Bot) LeaderOnly(name string, f func(*Task) error) {
	if name == "" {
		panic(errors.New("botnode: work for one node needs a name"))
	}
	b.leaders = append(b.leaders, leaderJob{name, f})
}

// WithLock runs f while this process holds a named lock of the bot. It waits for
// the lock as long as ctx lives. f's context ends when the lock is lost, which
// happens with the process, and with its contact to the cluster; writes through
// f's Store are refused from that moment on, whether f has noticed or not.
func (b *Bot) WithLock(ctx context.Context, name string, f func(*Task) error) error {
	rt, n, err := b.running()
	if err != nil {
		return err
	}
	return rt.underLock(ctx, n, "lock/"+name, f)
}

func (rt *runtime) underLock(ctx context.Context, n *node.Node, name string, f func(*Task) error) error {
	held, err := n.Lock(ctx, rt.name, name)
	if err != nil {
		return fmt.Errorf("botnode: %s: %w", name, err)
	}
	defer held.Release()
	both, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(held.Context(), func() { cancel(context.Cause(held.Context())) })()
	return f(&Task{Context: both, bot: rt.bot, lock: name, fence: held.Fence})
}

// startJobs starts what runs on one node at a time.
func (rt *runtime) startJobs() {
	for _, job := range rt.bot.leaders {
		rt.wg.Go(func() { rt.leadJob(job) })
	}
}

// Waits of LeaderOnly after an error.
const (
	jobRetry    = time.Second
	jobRetryMax = time.Minute
)

func (rt *runtime) leadJob(job leaderJob) {
	n := rt.node.Load()
	for wait := jobRetry; rt.ctx.Err() == nil; wait = min(2*wait, jobRetryMax) {
		err := rt.underLock(rt.ctx, n, "leader/"+job.name, func(t *Task) error {
			err := rt.guard("leader job "+job.name, func() error { return job.run(t) })
			if err == nil {
				<-t.Done() // it is done: nobody else is to do it while this process lives
			}
			return err
		})
		if err == nil || rt.ctx.Err() != nil {
			wait = jobRetry
			continue
		}
		rt.log().Warn("work for one node failed; trying again", zap.String("code", "leader_job_failed"),
			zap.String("job", job.name), zap.Duration("again_in", wait), zap.Error(err))
		select {
		case <-time.After(wait):
		case <-rt.ctx.Done():
		}
	}
}

// onLive and onGone are told by the node which shards are here.
func (rt *runtime) onLive(k fsm.ShardKey, t shard.Takeover) {
	ctx, cancel := context.WithCancel(rt.ctx)
	rt.mu.Lock()
	rt.here[k] = cancel
	rt.mu.Unlock()
	s := Start{
		Reason: StartReason(t.Why.String()), From: t.From.ID, Shard: int(k.Index), Shards: int(k.Layout),
		Gap: t.Gap, Replayed: t.Replayed,
	}
	for _, f := range rt.bot.starts {
		rt.wg.Go(func() { rt.hook(ctx, "start", func(t *Task) error { return f(t, s) }) })
	}
}

func (rt *runtime) onGone(k fsm.ShardKey) {
	rt.mu.Lock()
	if cancel := rt.here[k]; cancel != nil {
		cancel()
	}
	delete(rt.here, k)
	rt.mu.Unlock()
	s := Stop{Shard: int(k.Index), Shards: int(k.Layout)}
	for _, f := range rt.bot.stops {
		rt.wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
			defer cancel()
			rt.hook(ctx, "stop", func(t *Task) error { return f(t, s) })
		})
	}
}

// hook runs a function of OnStart or OnStop.
func (rt *runtime) hook(ctx context.Context, what string, f func(*Task) error) {
	err := rt.guard(what, func() error { return f(&Task{Context: ctx, bot: rt.bot}) })
	if err != nil && !errors.Is(err, context.Canceled) {
		rt.log().Warn("a hook of the program failed", zap.String("code", "hook_failed"), zap.String("hook", what), zap.Error(err))
	}
}

// guard turns a panic of the program into an error.
func (rt *runtime) guard(what string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s panicked: %v", what, p)
		}
	}()
	return f()
}

func (rt *runtime) log() *zap.Logger {
	if n := rt.node.Load(); n != nil {
		return n.Logger().With(zap.String("bot", rt.name))
	}
	return zap.NewNop()
}

// close ends what the runtime started and waits for it, but not for ever: a
// hook that ignores its context must not keep the process.
func (rt *runtime) close() {
	rt.stop()
	all := make(chan struct{})
	go func() {
		rt.wg.Wait()
		close(all)
	}()
	select {
	case <-all:
	case <-time.After(stopTimeout + time.Second):
		rt.log().Warn("a hook of the program did not return; leaving it", zap.String("code", "handler_hangs"))
	}
}

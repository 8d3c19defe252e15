package botnode

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/botnode/botnode/discord/rest"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/shard"
)

// runtime runs a Bot's handlers on one node.
type runtime struct {
	bot  *Bot
	name string // of the bot in the cluster; settled before the node starts
	node atomic.Pointer[node.Node]

	// ctx ends with the node. wg counts what the runtime started.
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu   sync.Mutex // guards here
	here map[fsm.ShardKey]context.CancelFunc
}

var _ shard.Handlers = (*runtime)(nil)

func newRuntime(b *Bot, name string) *runtime {
	rt := &runtime{bot: b, name: name, here: make(map[fsm.ShardKey]context.CancelFunc)}
	rt.ctx, rt.stop = context.WithCancel(context.Background())
	return rt
}

// named takes the name that the configuration file gives the bot.
func (rt *runtime) named(name string) { rt.name = name }

// attach gives the runtime its node, before the node starts.
func (rt *runtime) attach(n *node.Node) {
	rt.node.Store(n)
	rt.bot.rt.Store(rt)
	rt.startJobs()
}

var errDetached = errors.New("botnode: the node is starting")

func (rt *runtime) rest() (http.RoundTripper, string, error) {
	n := rt.node.Load()
	if n == nil {
		return nil, "", errDetached
	}
	return n.REST(rt.name)
}

// stream names the events among which a sequence number is unique: the session,
// and the guild, since the deletions that follow from a READY share its number.
func stream(e *fsm.Entry) string { return e.SID + "/" + e.Guild.String() }

// Handle implements shard.Handlers.
func (rt *runtime) Handle(ctx context.Context, d shard.Delivery) shard.Outcome {
	h, ok := rt.bot.handlers[d.Handler]
	switch {
	case !ok:
		return shard.Outcome{Err: fmt.Errorf("%w: %q", shard.ErrNoHandler, d.Handler)}
	case h.tooLate(d.Entry, time.Now()):
		return shard.Outcome{Late: true}
	case h.filter != nil && !h.filter(d.Entry.Raw):
		return shard.Outcome{}
	}
	attempt := rest.NewAttempt(rest.AttemptOptions{
		Bot: d.Entry.Bot, SID: stream(d.Entry), Seq: uint64(d.Entry.S), Handler: d.Handler, Gate: d.Gate,
	})
	c := &Context{
		Context: rest.WithAttempt(ctx, attempt), rt: rt, entry: d.Entry, handler: d.Handler,
		kv: newKV(rt.readBot(d.Entry.Bot)),
	}
	if err := h.run(c); err != nil {
		if c.api.late.Load() && !h.anyAge {
			// Another turn would be as late, and hold up what comes after it.
			return shard.Outcome{Late: true}
		}
		// It is logged and kept with the entry: without the tokens of URLs.
		return shard.Outcome{Err: rest.Redact(err)}
	}
	// Done is proposed only after every request has its answer.
	if err := attempt.Wait(ctx); err != nil {
		return shard.Outcome{Err: err}
	}
	return c.kv.outcome()
}

// outcome is what commits with the acknowledgement.
func (kv *KV) outcome() (out shard.Outcome) {
	out.Reads, out.Ranges, out.Writes = kv.commit()
	if len(kv.seen) > 0 {
		out.Again = kv.anew
	}
	return out
}

// anew is outcome after a conflict, if no run of the handler is needed.
func (kv *KV) anew() (out shard.Outcome, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false // the handler's run will panic where somebody takes care of it
		}
	}()
	if !kv.again() {
		return out, false
	}
	return kv.outcome(), true
}

// Policy implements shard.Handlers.
func (rt *runtime) Policy(handler string) (p shard.HandlerPolicy) {
	if h := rt.bot.handlers[handler]; h != nil {
		p = h.policy
	}
	return p
}

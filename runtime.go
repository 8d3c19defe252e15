package botnode

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/botnode/botnode/cache"
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
}

var _ shard.Handlers = (*runtime)(nil)

func newRuntime(b *Bot, name string) *runtime { return &runtime{bot: b, name: name} }

// named takes the name that the configuration file gives the bot.
func (rt *runtime) named(name string) { rt.name = name }

// attach gives the runtime its node, before the node starts.
func (rt *runtime) attach(n *node.Node) {
	rt.node.Store(n)
	rt.bot.rt.Store(rt)
}

var errDetached = errors.New("botnode: the node is starting")

func (rt *runtime) rest() (http.RoundTripper, string, error) {
	n := rt.node.Load()
	if n == nil {
		return nil, "", errDetached
	}
	return n.REST(rt.name)
}

func (rt *runtime) kvGet(bot, key string) (item fsm.KVItem, ok bool) {
	n := rt.node.Load()
	if n == nil {
		return item, false
	}
	_, _ = n.View(bot, func(b *fsm.Bot, _ *cache.Cache) { item, ok = b.KVGet(key) })
	return item, ok
}

// stream names the events among which a sequence number is unique: the session,
// and the guild, since the deletions that follow from a READY share its number.
func stream(e *fsm.Entry) string { return e.SID + "/" + e.Guild.String() }

// Handle implements shard.Handlers.
func (rt *runtime) Handle(ctx context.Context, d shard.Delivery) shard.Outcome {
	h, ok := rt.bot.handlers[d.Handler]
	if !ok {
		return shard.Outcome{Err: fmt.Errorf("this program has no handler %q", d.Handler)}
	}
	if rt.bot.tooLate(d.Entry, d.Handler, time.Now()) {
		return shard.Outcome{Late: true}
	}
	attempt := rest.NewAttempt(rest.AttemptOptions{
		Bot: d.Entry.Bot, SID: stream(d.Entry), Seq: uint64(d.Entry.S), Handler: d.Handler, Gate: d.Gate,
	})
	c := &Context{
		Context: rest.WithAttempt(ctx, attempt), rt: rt, entry: d.Entry, handler: d.Handler,
		kv: &KV{rt: rt, bot: d.Entry.Bot, reads: map[string]uint64{}, writes: map[string]fsm.KVChange{}},
	}
	if err := h.run(c); err != nil {
		// It is logged and kept with the entry: without the tokens of URLs.
		return shard.Outcome{Err: rest.Redact(err)}
	}
	// Done is proposed only after every request has its answer.
	if err := attempt.Wait(ctx); err != nil {
		return shard.Outcome{Err: err}
	}
	reads, writes := c.kv.commit()
	return shard.Outcome{Reads: reads, Writes: writes}
}

// Policy implements shard.Handlers.
func (rt *runtime) Policy(string) shard.HandlerPolicy { return shard.HandlerPolicy{} }

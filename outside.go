package botnode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	disgorest "github.com/disgoorg/disgo/rest"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
)

// ErrNotRunning is returned by what a Bot does outside of handlers, before its
// node has started.
var ErrNotRunning = errors.New("botnode: the bot's node has not started")

// running returns the node that runs the bot, and the bot's name on it.
func (b *Bot) running() (*runtime, *node.Node, error) {
	rt := b.rt.Load()
	if rt == nil {
		return nil, nil, ErrNotRunning
	}
	return rt, rt.node.Load(), nil
}

// REST returns disgo's client of Discord's REST API over this node's limiter,
// for what belongs to no handler: its messages have no nonces, and nothing
// repeats or refuses a request when the node dies.
func (b *Bot) REST() (disgorest.Rest, error) {
	rt, n, err := b.running()
	if err != nil {
		return nil, err
	}
	return rt.plainREST(n)
}

// Cache returns the bot's caches as they are on this node. Before the node has
// started every query ends in ErrNotRunning.
func (b *Bot) Cache() *Cache {
	return &Cache{look: func(f func(*cache.Cache)) error {
		rt, _, err := b.running()
		if err != nil {
			return err
		}
		return rt.lookAtCache(f)
	}}
}

// Shards returns the number of the bot's shards, 0 before it is known.
func (b *Bot) Shards() (n int) {
	if rt, nd, err := b.running(); err == nil {
		_, _ = nd.View(rt.name, func(bot *fsm.Bot, _ *cache.Cache) { n = int(bot.Layout) })
	}
	return n
}

// SendGateway sends a payload on a shard's gateway connection, whichever node
// has it: d is what Discord documents for the opcode. A presence (op 3) is kept
// in the replicated state instead, for all shards if shard is negative, and
// shown by every session from then on.
func (b *Bot) SendGateway(ctx context.Context, shard int, op discord.Opcode, d any) error {
	rt, n, err := b.running()
	if err != nil {
		return err
	}
	raw, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if op == discord.OpPresenceUpdate {
		which := uint32(fsm.AllShards)
		if shard >= 0 {
			which = uint32(shard)
		}
		return n.SetPresence(ctx, rt.name, which, raw)
	}
	if shard < 0 {
		return fmt.Errorf("botnode: %v is sent to one shard", op)
	}
	return n.Speak(ctx, rt.name, shard, op, raw)
}

// Before returns what the cache held, before the event, of the object that an
// update or a deletion is about, in Discord's JSON; nil where it held nothing.
func (c *Context) Before() []byte { return c.entry.Before }

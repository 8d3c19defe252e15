package disgobot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/disgoorg/disgo"
	"github.com/disgoorg/disgo/bot"
	"github.com/disgoorg/disgo/bot/handlers"
	dgo "github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/gateway"
	"github.com/disgoorg/disgo/rest"

	"github.com/botnode/botnode"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/shard"
)

// ErrNoGateway is returned by New for a client that would connect to nothing.
var ErrNoGateway = errors.New("disgobot: the client has no gateway: give bot.WithDefaultGateway, " +
	"bot.WithGatewayConfigOpts or bot.WithShardManagerConfigOpts")

// handlerPrefix begins the names of the handlers that feed a client, one for
// each type of event.
const handlerPrefix = "disgo/"

// adapter feeds a client from a bot's journal.
type adapter struct {
	b        *botnode.Bot
	client   *bot.Client
	handlers map[gateway.EventType]bot.GatewayEventHandler
}

// New builds a client as disgo.New does and has b run it: b gets a handler for
// every event that disgo knows and the intents allow, under names that begin
// with "disgo/". b may have handlers of its own beside.
//
// The intents are those of the gateway's options, GUILDS if there are none; a
// client with a shard manager takes b.Intents. Shards and their number are the
// cluster's configuration, whatever the options say. Caches and the gateway in
// the options are replaced.
//
// The token is the one that the node uses; it may be empty for commands that
// only speak to a node, and the client's ApplicationID is then 0. Until b's node
// has started the client's REST calls go to Discord directly.
func New(b *botnode.Bot, token string, opts ...bot.ConfigOpt) (*bot.Client, error) {
	a := &adapter{b: b, handlers: handlers.GetGatewayHandlers()}
	if token == "" {
		token = noToken
	}
	// Once for the client of the API that the options describe: with a gateway
	// given, nothing is asked over the network.
	nowhere := newGateway(b, allShards, nil)
	plain, err := disgo.New(token, append(slices.Clone(opts), bot.WithGateway(nowhere), bot.WithShardManager(&shardManager{b: b}))...)
	if err != nil {
		return nil, err
	}
	api := rest.New(&outsideClient{Client: plain.Rest, b: b})
	client, err := disgo.New(token, append(slices.Clone(opts), bot.WithRest(noGateway{api}), bot.WithCaches(newCaches(b.Cache(), nil)))...)
	if err != nil {
		return nil, err
	}
	a.client = client
	client.Rest = api
	switch {
	case client.Gateway != nil:
		b.Intents = discord.Intents(client.Gateway.Intents())
		if b.Intents == 0 {
			b.Intents = discord.IntentGuilds // what the cluster's caches live on
		}
		client.Gateway = newGateway(b, allShards, client.Gateway.Presence())
	case client.ShardManager != nil:
		client.ShardManager = &shardManager{b: b}
	default:
		return nil, ErrNoGateway
	}
	for t := range a.handlers {
		if a.wanted(t) {
			botnode.OnRaw(b, handlerPrefix+string(t), string(t), a.handle)
		}
	}
	return client, nil
}

// noToken is a token whose application is 0, for the commands of a program that
// is only a client of a node and needs none. Without a token no node starts.
const noToken = "MA"

// noGateway answers where the gateway is without asking Discord, since nobody
// will connect there: a node must start also while Discord can't be reached.
type noGateway struct{ rest.Rest }

// GetGateway implements rest.Rest.
func (noGateway) GetGateway(...rest.RequestOpt) (*dgo.Gateway, error) {
	return &dgo.Gateway{URL: gateway.URL}, nil
}

// GetGatewayBot implements rest.Rest.
func (noGateway) GetGatewayBot(...rest.RequestOpt) (*dgo.GatewayBot, error) {
	return &dgo.GatewayBot{URL: gateway.URL, Shards: 1, SessionStartLimit: dgo.SessionStartLimit{MaxConcurrency: 1}}, nil
}

// wanted reports whether the journal is to bring events of a type: what only a
// connection has is left out, and so is what Discord sends much of and the
// intents don't ask for.
func (a *adapter) wanted(t gateway.EventType) bool {
	switch t {
	case gateway.EventTypeRaw, gateway.EventTypeHeartbeatAck, gateway.EventTypeResumed:
		return false
	case gateway.EventTypePresenceUpdate:
		return a.b.Intents.Has(discord.IntentGuildPresences)
	case gateway.EventTypeTypingStart:
		return a.b.Intents&(discord.IntentGuildMessageTyping|discord.IntentDirectMessageTyping) != 0
	}
	return strings.ToUpper(string(t)) == string(t) // disgo's own events have other names
}

// handle gives one event to disgo's handlers and, through them, to the
// listeners, with a client that belongs to the event.
func (a *adapter) handle(c *botnode.Context) error {
	t := gateway.EventType(c.Event())
	data, err := gateway.UnmarshalEventData(c.Raw(), t)
	if err != nil {
		// Not the cause itself: a decoding error quotes the payload.
		return fmt.Errorf("%s at position %d does not decode", t, c.Position())
	}
	if _, unknown := data.(gateway.EventUnknown); unknown {
		return nil // listed by disgo, but not read by it
	}
	api, err := c.REST()
	if err != nil {
		return err
	}
	turn := &turnClient{Client: api, after: a.client.Rest}
	client := *a.client
	client.Rest = rest.New(turn)
	client.Caches = newCaches(c.Cache(), newTurn(c, data))
	index, _ := c.Shard()
	a.handlers[t].HandleGatewayEvent(&client, int(c.Position()), index, data) //nolint:gosec // positions are far below 2^63
	turn.over.Store(true)
	if err := c.Err(); err != nil {
		return context.Cause(c)
	}
	if refused := turn.refused.Load(); refused != nil {
		return *refused
	}
	return nil
}

// turnClient makes requests under an event's turn, and outside of any once the
// turn is over: goroutines that a listener left behind may go on.
type turnClient struct {
	rest.Client
	after   rest.Client
	over    atomic.Bool
	refused atomic.Pointer[error] // why a request was not sent, which another turn will send
}

// Do implements rest.Client.
func (t *turnClient) Do(endpoint *rest.CompiledEndpoint, body, into any, opts ...rest.RequestOpt) error {
	if t.over.Load() {
		return t.after.Do(endpoint, body, into, opts...)
	}
	err := t.Client.Do(endpoint, body, into, opts...)
	if errors.Is(err, shard.ErrNotFresh) || errors.Is(err, shard.ErrNotRunner) {
		t.refused.CompareAndSwap(nil, &err)
	}
	return err
}

// outsideClient makes requests that belong to no event: through the node once
// it has started, as the client was built before that.
type outsideClient struct {
	rest.Client
	b *botnode.Bot
}

// Do implements rest.Client.
func (o *outsideClient) Do(endpoint *rest.CompiledEndpoint, body, into any, opts ...rest.RequestOpt) error {
	api, err := o.b.REST()
	if err != nil {
		return o.Client.Do(endpoint, body, into, opts...)
	}
	return api.Do(endpoint, body, into, opts...)
}

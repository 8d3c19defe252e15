// Package botnode runs a Discord bot on a cluster of nodes that share its
// state through Raft.
//
// A program makes a [Bot], registers handlers and calls [Main]; the binary
// that results is started on every node. Events reach handlers after they are
// committed on a majority; whichever node dies, another resumes its shards'
// sessions and runs the handlers that were not done.
//
// What handlers may rely on: events of one guild come in order; a handler runs
// at least once for each event, and more than once only after a death, an
// error or a conflict; what it writes to the replicated store through [KV]
// takes effect exactly once; messages that it sends through [Context.Reply]
// or [Context.REST] appear once within Discord's nonce window.
// docs/guarantees.md has the whole of it.
package botnode

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/disgoorg/disgo/gateway"
	"github.com/spf13/cobra"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/shard"
)

// Version is the version of the library and of its programs.
const Version = "0.1.0"

// Bot is a program's handlers. It is the same on every node. Register
// everything before Main; a Bot is not safe for concurrent use before that.
type Bot struct {
	// Intents is what the gateway is asked for. Zero asks for all intents that
	// need no approval, and for message content.
	Intents discord.Intents

	handlers   map[string]*handler // by name
	types      map[string][]string // event type -> names of its handlers
	middleware []Middleware        // of the handlers to come
	starts     []func(*Task, Start) error
	stops      []func(*Task, Stop) error
	leaders    []leaderJob
	schedules  []shard.Schedule
	settings   any                     // a pointer to the program's own, or nil
	commands   []*cobra.Command        // the program's own
	router     *router                 // of interactions; nil without commands
	rt         atomic.Pointer[runtime] // that runs the bot; nil before it is attached to a node
}

type handler struct {
	event  string
	run    HandlerFunc
	filter func(raw []byte) bool // nil for all events
	anyAge bool                  // wants interactions that are too old to be answered
	policy shard.HandlerPolicy
}

// New returns a bot without handlers.
func New() *Bot {
	return &Bot{handlers: make(map[string]*handler), types: make(map[string][]string)}
}

// DefaultIntents is what a Bot without Intents asks for: everything that needs
// no approval by Discord, and the content of messages.
func DefaultIntents() discord.Intents {
	privileged := discord.IntentGuildMembers | discord.IntentGuildPresences
	return discord.IntentsAll &^ privileged
}

// On registers a handler for the events of type E, one of disgo's gateway
// event types, such as gateway.EventMessageCreate. The name identifies the
// handler in the replicated journal: each handler acknowledges an event under
// its name, and a name must not be given to another handler later.
//
// On panics if the name is taken or E is not an event; both are mistakes of
// the program that show at once.
func On[E gateway.EventData](b *Bot, name string, f func(*Context, E) error, opts ...Option) {
	event, err := eventName[E]()
	if err != nil {
		panic(err)
	}
	b.register(name, event, func(c *Context) error {
		v, err := gateway.UnmarshalEventData(c.entry.Raw, gateway.EventType(event))
		if err != nil {
			// Not the cause itself: a decoding error quotes the payload.
			return fmt.Errorf("%s at position %d does not decode into %T", event, c.entry.Pos, v)
		}
		e, ok := v.(E)
		if !ok {
			return fmt.Errorf("%s decodes into %T", event, v)
		}
		return f(c, e)
	}, opts)
}

// OnRaw registers a handler for events of a type by its gateway name, such as
// "MESSAGE_CREATE", without decoding them: Context.Raw has Discord's JSON.
func OnRaw(b *Bot, name, event string, f func(*Context) error, opts ...Option) {
	b.register(name, event, f, opts)
}

func (b *Bot) register(name, event string, run HandlerFunc, opts []Option) {
	if name == "" {
		panic(errors.New("botnode: a handler needs a name"))
	}
	if _, taken := b.handlers[name]; taken {
		panic(fmt.Errorf("botnode: two handlers are named %q", name))
	}
	for _, mw := range slices.Backward(b.middleware) {
		run = mw(run)
	}
	h := &handler{event: event, run: run}
	for _, o := range opts {
		o(h)
	}
	b.handlers[name] = h
	if event != fsm.EventTick {
		b.types[event] = append(b.types[event], name)
	}
}

// eventName finds the gateway's name of a disgo event type.
func eventName[E gateway.EventData]() (string, error) {
	want := reflect.TypeFor[E]()
	for _, name := range discord.AllEvents() {
		if want == reflect.TypeFor[gateway.EventUnknown]() {
			break // what disgo makes of every name that it doesn't know
		}
		// What a payload decodes into tells the type; the error doesn't matter.
		v, _ := gateway.UnmarshalEventData(samplePayload(name), gateway.EventType(name))
		if v != nil && reflect.TypeOf(v) == want {
			return name, nil
		}
	}
	return "", fmt.Errorf("botnode: %s is not a gateway event", want)
}

// interests lists what the journal is to take for the bot.
func (b *Bot) interests() []fsm.Interest {
	var out []fsm.Interest
	for t, names := range b.types {
		out = append(out, fsm.Interest{Type: t, Handlers: slices.Clone(names)})
	}
	return out
}

func (b *Bot) intents() discord.Intents {
	if b.Intents != 0 {
		return b.Intents
	}
	return DefaultIntents()
}

var _ context.Context = (*Context)(nil)

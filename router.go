package botnode

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	dgo "github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/gateway"
	"github.com/disgoorg/snowflake/v2"

	"github.com/botnode/botnode/discord"
)

// InteractionsHandler is the name under which Command, Component, Modal and
// Autocomplete handle interactions: one handler in the journal, whatever the
// number of commands.
const InteractionsHandler = "interactions"

// router finds the function for an interaction.
type router struct {
	commands     map[string]func(*Interaction) error // by path: "config/set"
	autocomplete map[string]func(*Interaction) error
	components   []pattern
	modals       []pattern
	defined      []dgo.ApplicationCommandCreate // in the order of their registration
	guilds       []snowflake.ID                 // where the commands are registered; nil for globally
	unrouted     func(*Interaction) error
}

// Command registers an application command, and f to handle it. The definition
// is brought to Discord by the cluster, see CommandsIn. A command with
// subcommands has its functions registered by Subcommand, and f is nil.
//
// Like all registrations it panics on what can't be meant: two commands of one
// name, or none.
func (b *Bot) Command(def dgo.ApplicationCommandCreate, f func(*Interaction) error) {
	r := b.routes()
	name := def.CommandName()
	if name == "" {
		panic(errors.New("botnode: a command needs a name"))
	}
	for _, other := range r.defined {
		if other.CommandName() == name && other.Type() == def.Type() {
			panic(fmt.Errorf("botnode: two commands are named %q", name))
		}
	}
	r.defined = append(r.defined, def)
	if f != nil {
		r.command(commandKey(def.Type(), name), f)
	}
}

// commandKey tells commands of one name and different types apart.
func commandKey(t dgo.ApplicationCommandType, path string) string {
	return fmt.Sprintf("%d %s", t, path)
}

func (r *router) command(key string, f func(*Interaction) error) {
	if _, taken := r.commands[key]; taken {
		_, path, _ := strings.Cut(key, " ")
		panic(fmt.Errorf("botnode: two functions handle the command %q", path))
	}
	r.commands[key] = f
}

// Subcommand registers the function of a subcommand by its path, such as
// "config/set" or "config/roles/add". Its command has been registered before.
func (b *Bot) Subcommand(path string, f func(*Interaction) error) {
	r := b.routes()
	if !slices.Contains(r.paths(), path) {
		panic(fmt.Errorf("botnode: no registered command has the subcommand %q", path))
	}
	r.command(commandKey(dgo.ApplicationCommandTypeSlash, path), f)
}

// paths lists the paths of the slash commands that are defined: what a user can
// run, not the commands that hold subcommands.
func (r *router) paths() []string {
	var out []string
	for _, def := range r.defined {
		slash, ok := def.(dgo.SlashCommandCreate)
		if !ok {
			continue
		}
		n := len(out)
		for _, o := range slash.Options {
			switch o := o.(type) {
			case dgo.ApplicationCommandOptionSubCommand:
				out = append(out, slash.Name+"/"+o.Name)
			case dgo.ApplicationCommandOptionSubCommandGroup:
				for _, sub := range o.Options {
					out = append(out, slash.Name+"/"+o.Name+"/"+sub.Name)
				}
			}
		}
		if len(out) == n {
			out = append(out, slash.Name)
		}
	}
	return out
}

// Component registers a function for the message components whose custom_id
// matches a pattern: segments between slashes, of which one in braces stands
// for any that isn't empty, as in "vote/{poll}/{choice}". Interaction.Var has
// what stood there. If several patterns match, the one whose first different
// segment isn't in braces is taken.
func (b *Bot) Component(pattern string, f func(*Interaction) error) {
	r := b.routes()
	r.components = addPattern(r.components, pattern, f)
}

// Modal registers a function for the modals whose custom_id matches a pattern,
// as for Component.
func (b *Bot) Modal(pattern string, f func(*Interaction) error) {
	r := b.routes()
	r.modals = addPattern(r.modals, pattern, f)
}

// Autocomplete registers a function that completes the options of a slash
// command, by the command's path.
func (b *Bot) Autocomplete(path string, f func(*Interaction) error) {
	r := b.routes()
	if !slices.Contains(r.paths(), path) {
		panic(fmt.Errorf("botnode: no registered command has the path %q", path))
	}
	if _, taken := r.autocomplete[path]; taken {
		panic(fmt.Errorf("botnode: two functions complete the command %q", path))
	}
	r.autocomplete[path] = f
}

// Unrouted registers the function for interactions that no other function is
// registered for: commands of an older or newer version of the program,
// components of old messages. Without it they are told, visibly to the user
// alone, that the bot doesn't know this; unless the bot has other handlers of
// INTERACTION_CREATE, whose they may be.
func (b *Bot) Unrouted(f func(*Interaction) error) { b.routes().unrouted = f }

// CommandsIn says in which guilds the commands are registered, in place of
// globally: for trying them out, since a guild's commands change at once.
func (b *Bot) CommandsIn(guilds ...snowflake.ID) { b.routes().guilds = guilds }

// routes returns the bot's router, and makes its handler the first time.
func (b *Bot) routes() *router {
	if b.router == nil {
		b.router = &router{
			commands: make(map[string]func(*Interaction) error), autocomplete: make(map[string]func(*Interaction) error),
		}
		OnRaw(b, InteractionsHandler, discord.EventInteractionCreate, b.route)
	}
	return b.router
}

// route handles an interaction. It is the handler InteractionsHandler.
func (b *Bot) route(c *Context) error {
	v, err := gateway.UnmarshalEventData(c.Raw(), gateway.EventTypeInteractionCreate)
	e, ok := v.(gateway.EventInteractionCreate)
	if err != nil || !ok {
		// Not the cause itself: it quotes the payload, and thus the token.
		return fmt.Errorf("the interaction at position %d does not decode", c.Position())
	}
	i := &Interaction{Context: c, Interaction: e.Interaction}
	if f := b.router.find(i); f != nil {
		return f(i)
	}
	switch {
	case b.router.unrouted != nil:
		return b.router.unrouted(i)
	case len(b.types[discord.EventInteractionCreate]) > 1:
		return nil
	}
	return unknownTo(i)
}

// find returns the function for an interaction, nil for none, and fills in the
// variables of its pattern.
func (r *router) find(i *Interaction) func(*Interaction) error {
	switch x := i.Interaction.(type) {
	case dgo.ApplicationCommandInteraction:
		path := x.Data.CommandName()
		if slash, ok := x.Data.(dgo.SlashCommandInteractionData); ok {
			path = strings.TrimPrefix(slash.CommandPath(), "/")
		}
		return r.commands[commandKey(x.Data.Type(), path)]
	case dgo.AutocompleteInteraction:
		return r.autocomplete[strings.TrimPrefix(x.Data.CommandPath(), "/")]
	case dgo.ComponentInteraction:
		return i.match(r.components, x.Data.CustomID())
	case dgo.ModalSubmitInteraction:
		return i.match(r.modals, x.Data.CustomID)
	}
	return nil
}

func (i *Interaction) match(patterns []pattern, id string) func(*Interaction) error {
	for _, p := range patterns {
		if vars, ok := p.match(id); ok {
			i.vars = vars
			return p.f
		}
	}
	return nil
}

// unknownTo tells a user that nothing is known of what they used. A component
// is left as it is: one that a running handler waits for may be unknown here.
func unknownTo(i *Interaction) error {
	switch i.Interaction.(type) {
	case dgo.AutocompleteInteraction:
		return i.Choices()
	case dgo.ApplicationCommandInteraction:
		return i.RespondEphemeral("This command isn't known to the bot as it runs now. It may have been changed: try again in a minute.")
	case dgo.ComponentInteraction, dgo.ModalSubmitInteraction:
		return i.RespondEphemeral("The bot doesn't know this any more. Use the command again.")
	}
	return nil
}

// pattern matches custom ids.
type pattern struct {
	text string
	segs []string
	f    func(*Interaction) error
}

// variable returns the name of a segment in braces.
func variable(seg string) (name string, ok bool) {
	if len(seg) > 2 && seg[0] == '{' && seg[len(seg)-1] == '}' {
		return seg[1 : len(seg)-1], true
	}
	return "", false
}

// addPattern adds a pattern, the more particular ones first.
func addPattern(list []pattern, text string, f func(*Interaction) error) []pattern {
	p := pattern{text: text, segs: strings.Split(text, "/"), f: f}
	if text == "" {
		panic(errors.New("botnode: a pattern of custom ids is empty"))
	}
	for _, other := range list {
		if p.compare(other) == 0 {
			panic(fmt.Errorf("botnode: the patterns %q and %q match the same", other.text, text))
		}
	}
	list = append(list, p)
	slices.SortFunc(list, pattern.compare)
	return list
}

// compare orders patterns: a segment that is a variable comes after one that
// isn't. Those that match the same are equal.
func (p pattern) compare(o pattern) int {
	for i := range min(len(p.segs), len(o.segs)) {
		_, a := variable(p.segs[i])
		_, b := variable(o.segs[i])
		switch {
		case a && b:
		case a:
			return 1
		case b:
			return -1
		default:
			if n := strings.Compare(p.segs[i], o.segs[i]); n != 0 {
				return n
			}
		}
	}
	return len(p.segs) - len(o.segs)
}

func (p pattern) match(id string) (vars map[string]string, ok bool) {
	segs := strings.Split(id, "/")
	if len(segs) != len(p.segs) {
		return nil, false
	}
	for i, want := range p.segs {
		name, isVar := variable(want)
		switch {
		case isVar && segs[i] != "":
			if vars == nil {
				vars = make(map[string]string)
			}
			vars[name] = segs[i]
		case isVar || segs[i] != want:
			return nil, false
		}
	}
	return vars, true
}

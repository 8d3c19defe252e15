package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node/lab"
)

// cutCommand splits ":name rest". Text such as ":)" is no command.
func cutCommand(line string) (name, rest string, ok bool) {
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	name, ok = strings.CutPrefix(word, ":")
	if !ok || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") != "" {
		return "", "", false
	}
	return name, strings.TrimSpace(rest), true
}

// command is one of the commands that begin with a colon.
type command struct {
	name, args, help string
	run              func(s *session, ctx context.Context, rest string) error
}

// commands returns all of them; a function, since :help lists what it is in.
func commands() []command {
	return []command{
		{"help", "", "list the commands", (*session).help},
		{"channel", "[NAME]", "write in another channel; without a name, list them", (*session).channel},
		{"slash", "NAME [KEY=VALUE ...]", "run a slash command", (*session).slash},
		{"join", "", "a member joins the guild", mutate("join")},
		{"leave", "", "a member leaves the guild", mutate("leave")},
		{"event", "TYPE JSON", "send the bot any event", (*session).event},
		{"kv", "[PREFIX]", "show the bot's replicated store", (*session).kv},
		{"restart", "", "kill the node as kill -9 does, and start it again", (*session).restart},
		{"quit", "", "end", func(*session, context.Context, string) error { return errQuit }},
	}
}

func (s *session) command(ctx context.Context, name, rest string) error {
	for _, c := range commands() {
		if c.name == name {
			return c.run(s, ctx, rest)
		}
	}
	return fmt.Errorf("there is no command :%s; \":help\" lists those that there are", name)
}

func (s *session) help(context.Context, string) error {
	s.printf("Everything but the commands is a message of a user in #%s.\n", s.current.name)
	for _, c := range commands() {
		s.printf("  %-28s %s\n", strings.TrimSpace(":"+c.name+" "+c.args), c.help)
	}
	return nil
}

func (s *session) channel(_ context.Context, name string) error {
	for _, c := range s.channels {
		switch {
		case name == "":
			s.printf("#%s\n", c.name)
		case strings.TrimPrefix(name, "#") == c.name:
			s.out.Lock()
			s.current = c
			s.out.Unlock()
			return nil
		}
	}
	if name != "" {
		return fmt.Errorf("there is no channel %s; \":channel\" lists those that there are", name)
	}
	return nil
}

func (s *session) slash(_ context.Context, rest string) error {
	words := strings.Fields(rest)
	if len(words) == 0 {
		return errors.New(":slash NAME [KEY=VALUE ...]")
	}
	given := make(map[string]any)
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok || key == "" {
			return fmt.Errorf("%q is not KEY=VALUE", w)
		}
		given[key] = guess(value)
	}
	options, err := lab.CommandOptions(given)
	if err != nil {
		return err
	}
	x, err := s.lab.Discord().Interact(sim.Interact{Channel: s.current.id, Name: words[0], Options: options})
	if err == nil && x.Delivered == 0 {
		err = errors.New("the bot doesn't get the command")
	}
	return err
}

// guess takes a value for what it looks like.
func guess(value string) any {
	if n, err := strconv.ParseInt(value, 10, 53); err == nil {
		return n
	}
	if b, err := strconv.ParseBool(value); err == nil {
		return b
	}
	return value
}

func mutate(kind string) func(*session, context.Context, string) error {
	return func(s *session, _ context.Context, _ string) error { return s.lab.Discord().Mutate(kind, 1) }
}

func (s *session) event(_ context.Context, rest string) error {
	kind, data, _ := strings.Cut(rest, " ")
	if kind == "" || !json.Valid([]byte(data)) {
		return errors.New(":event TYPE JSON, such as: :event GUILD_BAN_ADD {\"guild_id\":\"" + s.guild.String() + "\",\"user\":{\"id\":\"1\"}}")
	}
	n, err := s.lab.Emit(strings.ToUpper(kind), json.RawMessage(data))
	switch {
	case errors.Is(err, sim.ErrUnknown):
		return fmt.Errorf("the event's guild_id is not that of the guild, which is %s", s.guild)
	case err == nil && n == 0:
		return errors.New("the bot doesn't hear that: do its Intents include those of the event?")
	}
	return err
}

func (s *session) kv(_ context.Context, prefix string) error {
	return s.lab.View(func(b *fsm.Bot) {
		for key, item := range b.KVScan(prefix, "") {
			s.printf("%s = %s\n", key, item.Value)
		}
	})
}

func (s *session) restart(ctx context.Context, _ string) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Patience)
	defer cancel()
	addr := ""
	if s.proxy != nil {
		addr = s.proxy.Addr().String() // the same again
	}
	s.closeProxy()
	s.lab.Kill(nodeID)
	if err := s.lab.Restart(ctx, nodeID); err != nil {
		return err
	}
	return s.openProxy(ctx, addr)
}

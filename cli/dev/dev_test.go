package dev

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/botnode/botnode/cli"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter is a bot without a voice: it counts the events of the types that it is
// told of in its store, and fails on one of them.
type counter struct{}

func (counter) Handle(_ context.Context, d shard.Delivery) shard.Outcome {
	if d.Entry.Type == discord.EventGuildBanAdd {
		return shard.Outcome{Err: errors.New("no bans here")}
	}
	return shard.Outcome{Writes: []fsm.KVChange{{Key: "seen/" + d.Entry.Type, Value: d.Entry.Raw[:1]}}}
}

func (counter) Policy(string) shard.HandlerPolicy { return shard.HandlerPolicy{} }

func program() cli.Program {
	var in []fsm.Interest
	for _, t := range []string{
		discord.EventMessageCreate, discord.EventGuildMemberAdd, discord.EventGuildMemberRemove, discord.EventGuildBanAdd,
		discord.EventInteractionCreate,
	} {
		in = append(in, fsm.Interest{Type: t, Handlers: []string{"counter"}})
	}
	return cli.Program{Program: node.Program{
		Intents: discord.IntentsAll &^ discord.IntentGuildMessageReactions, Interests: in, Handlers: counter{},
	}}
}

// transcript runs dev with an input, and returns both outputs.
func transcript(t *testing.T, input string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	err := Run(t.Context(), Options{
		Program: program, Stdin: strings.NewReader(input), Stdout: &out, Stderr: &errs, Patience: 20 * time.Second,
	})
	if err != nil {
		t.Errorf("%v\n%s%s", err, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

func TestTranscript(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ input, want string }{
		"nothing":  {"", ""},
		"messages": {"hello\n\n:)\n:kv\n", "seen/MESSAGE_CREATE = {\n"},
		"members":  {":join\n:leave\n:kv seen/GUILD\n:kv x\n", "seen/GUILD_MEMBER_ADD = {\nseen/GUILD_MEMBER_REMOVE = {\n"},
		"slash":    {":slash ban user=ada days=7 loud=true\n:slash\n:slash x y\n:kv\n", "! :slash NAME [KEY=VALUE ...]\n! \"y\" is not KEY=VALUE\nseen/INTERACTION_CREATE = {\n"},
		"channels": {":channel\n:channel text-2\n:channel nowhere\n", "#text-0\n#text-1\n#text-2\n! there is no channel nowhere; \":channel\" lists those that there are\n"},
		"events": {
			":event\n:event GUILD_MEMBER_ADD {\"guild_id\":\"5\"}\n:event message_reaction_add {}\n:event guild_member_add {\"user\":{\"id\":\"1\"}}\n:kv\n",
			"! :event TYPE JSON, such as: :event GUILD_BAN_ADD {\"guild_id\":\"419430400000000001\",\"user\":{\"id\":\"1\"}}\n" +
				"! the event's guild_id is not that of the guild, which is 419430400000000001\n" +
				"! the bot doesn't hear that: do its Intents include those of the event?\n" +
				"seen/GUILD_MEMBER_ADD = {\n",
		},
		"restart": {"hello\n:restart\n:kv\n", "seen/MESSAGE_CREATE = {\n"},
		"quit":    {":quit\nhello\n:kv\n", ""},
		"unknown": {":jion\n", "! there is no command :jion; \":help\" lists those that there are\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, _ := transcript(t, tt.input); got != tt.want {
				t.Errorf("got:\n%swant:\n%s", got, tt.want)
			}
		})
	}
}

func TestHelpNamesEveryCommand(t *testing.T) {
	t.Parallel()
	got, _ := transcript(t, ":help\n")
	for _, c := range commands() {
		if !strings.Contains(got, "\n  :"+c.name) {
			t.Errorf(":%s isn't in:\n%s", c.name, got)
		}
	}
}

// A handler that fails is told of, and doesn't keep the end waiting for ever.
func TestFailuresAreShown(t *testing.T) {
	t.Parallel()
	_, errs := transcript(t, ":event GUILD_BAN_ADD {\"user\":{\"id\":\"1\"}}\n")
	if !strings.Contains(errs, "no bans here") {
		t.Errorf("stderr: %s", errs)
	}
}

// At a terminal there is a prompt, and an interrupt ends it.
func TestPromptAndInterrupt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in, typed := io.Pipe()
	defer func() { _ = typed.Close() }()
	var out watched
	out.when = map[string]func(){
		"#text-0> ": func() { go func() { _, _ = io.WriteString(typed, ":channel text-1\n") }() },
		"#text-1> ": cancel,
	}
	err := Run(ctx, Options{Program: program, Stdin: in, Stdout: &out, Stderr: io.Discard, Prompt: true, Patience: 20 * time.Second})
	if err != nil {
		t.Error(err)
	}
	if got := out.text.String(); !strings.Contains(got, "connected to a simulated Discord") || !strings.HasSuffix(got, "#text-0> #text-1> ") {
		t.Errorf("%q", got)
	}
}

// watched calls a function at the first write of a text.
type watched struct {
	mu   sync.Mutex
	text strings.Builder
	when map[string]func()
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.when[string(p)]; f != nil {
		delete(w.when, string(p))
		f()
	}
	return w.text.Write(p)
}

package botnode

import (
	"context"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/cli"
	"github.com/botnode/botnode/cli/demo"
	"github.com/botnode/botnode/cli/dev"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/node"
)

// Main runs botnode's command line with the bot's handlers, and ends the
// process with its exit code. With a nil Bot it is the stock binary, which
// has no handlers but those that `start --builtin` names.
func Main(b *Bot) {
	os.Exit(Run(context.Background(), b, os.Args[1:])) //nolint:revive // it stands for main, in a program of three lines
}

// Run is Main for programs that need to go on afterwards: it returns the exit
// code. args are the command line without the program's name.
func Run(ctx context.Context, b *Bot, args []string) int {
	o := cli.Options{
		Version: Version, Args: args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	if b != nil {
		o.Programs = []cli.Program{program(b)}
		o.Extra = append(slices.Clone(b.commands), dev.Command(func() cli.Program { return program(b) }, nil))
	} else {
		// Their nodes run the built-in bot, unless the bot is a client.
		o.Extra = []*cobra.Command{demo.Command(), dev.Command(
			func() cli.Program { return program(pingBot()) },
			func() cli.Program { return cli.Program{Program: node.Program{Intents: discord.IntentsAll}} },
		)}
		o.Builtins = map[string]func() cli.Program{"ping": func() cli.Program { return program(pingBot()) }}
	}
	return cli.Run(ctx, o)
}

// program makes a bot into what the command line starts.
func program(b *Bot) cli.Program {
	rt := newRuntime(b, cli.DefaultBot)
	return cli.Program{Named: rt.named, Settings: b.settingsFrom, Program: node.Program{
		Intents: b.intents(), Interests: b.interests(), Handlers: rt, Attach: rt.attach, Lead: rt.lead,
		Schedules: b.schedules, OnLive: rt.onLive, OnGone: rt.onGone, Close: rt.close,
	}}
}

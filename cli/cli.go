package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/node"
)

// Program is a bot's own code.
type Program struct {
	// Name is the bot's name in the cluster. "" is the name of the only bot in the
	// configuration file, for the only program of a binary, else DefaultBot.
	Name string
	// Named, if set, is told the name once it is settled, before all else.
	Named func(name string)
	// Settings, if set, is given the author's own settings before the node is
	// made: the app: section of the configuration file, with the app: of the bot's
	// section over it. Its error is one of configuration.
	Settings func(app map[string]any) error
	node.Program
}

// DefaultBot is the name of the bot where there is only one.
const DefaultBot = "default"

// Options are what the command line is made of.
type Options struct {
	Name    string // of the program, "botnode" by default
	Version string
	Args    []string // without the program's name
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	// LookupEnv reads the environment; nil is os.LookupEnv.
	LookupEnv func(string) (string, bool)
	// Programs are the bots of this program. Without any, it runs one of
	// Builtins, by --builtin, for each bot of the configuration.
	Programs []Program
	// Builtins are the bots that --builtin names. "none" needs no entry.
	Builtins map[string]func() Program
	// Extra are more commands.
	Extra []*cobra.Command
}

// usageError is a mistake in what was typed or configured: a restart won't
// cure it.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// exitError ends the program with a code of its own and without a message.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// app is one run of the command line.
type app struct {
	o       Options
	out     io.Writer
	errOut  io.Writer
	style   style // of Stdout
	root    *cobra.Command
	signals func() (<-chan os.Signal, func()) // a seam for tests
}

// Run runs the command line and returns the exit code: admin.ExitDone and so on.
func Run(ctx context.Context, o Options) int {
	a := newApp(o)
	cmd, err := a.root.ExecuteContextC(ctx)
	return a.exit(cmd, err)
}

func newApp(o Options) *app {
	if o.Name == "" {
		o.Name = "botnode"
	}
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if o.Stdin == nil {
		o.Stdin = strings.NewReader("")
	}
	if o.Stdout == nil {
		o.Stdout = io.Discard
	}
	if o.Stderr == nil {
		o.Stderr = io.Discard
	}
	if o.Args == nil {
		o.Args = []string{} // cobra would take the process's own for nil
	}
	a := &app{o: o, out: o.Stdout, errOut: o.Stderr, signals: notify}
	a.style = newStyle(o.Stdout, o.LookupEnv)
	a.root = a.command()
	return a
}

// exit reports an error and returns the exit code.
func (a *app) exit(cmd *cobra.Command, err error) int {
	if err == nil {
		return admin.ExitDone
	}
	if own, ok := errors.AsType[exitError](err); ok {
		return own.code
	}
	_, _ = fmt.Fprintf(a.errOut, "%s: %s\n", a.o.Name, err)
	if hint := admin.Hint(err); hint != "" {
		_, _ = fmt.Fprintf(a.errOut, "  hint: %s\n", hint)
	}
	if _, usage := errors.AsType[*usageError](err); !usage {
		return admin.ExitCode(err)
	}
	if admin.Hint(err) == "" && cmd != nil {
		_, _ = fmt.Fprintf(a.errOut, "  see `%s --help`\n", cmd.CommandPath())
	}
	return admin.ExitUsage
}

// command puts all commands together.
func (a *app) command() *cobra.Command {
	root := a.group(a.o.Name, "A Discord bot that survives its machines", nil)
	root.Long = "botnode runs a Discord bot on a cluster of nodes: caches, sessions and shards are replicated, so that any node can go on where another stopped."
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetArgs(a.o.Args)
	root.SetIn(a.o.Stdin)
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	addFlags(root.PersistentFlags(), scopeGlobal)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		return a.environment(cmd.Root().PersistentFlags(), scopeGlobal)
	}
	root.AddCommand(a.startCommand(), a.joinCommand(), a.leaveCommand(), a.statusCommand(), a.waitCommand(),
		a.doctorCommand(), a.versionCommand(), a.nodeCommand(), a.leaderCommand(), a.shardCommand(),
		a.takeoverCommand(), a.cacheCommand(), a.kvCommand(), a.eventsCommand(), a.deadLetterCommand(),
		a.configCommand(), a.clientKeyCommand(), a.joinTokenCommand(), a.adminTokenCommand(), a.botTokenCommand(), a.tlsCommand(), a.snapshotCommand(), a.drainCommand("drain", true), a.drainCommand("undrain", false),
		a.recoverCommand())
	root.AddCommand(a.o.Extra...)
	root.InitDefaultCompletionCmd()
	mistakes(root)
	return root
}

// mistakes makes usage errors of what cobra finds wrong with a command's
// arguments, in commands of an author's and of cobra's own, too.
func mistakes(c *cobra.Command) {
	if args := c.Args; args != nil {
		c.Args = func(cmd *cobra.Command, given []string) error {
			if err := args(cmd, given); err != nil {
				return &usageError{err}
			}
			return nil
		}
	}
	if c.HasSubCommands() && !c.Runnable() {
		c.RunE = func(cmd *cobra.Command, given []string) error {
			if len(given) == 0 {
				return cmd.Help()
			}
			return usagef("unknown command %q for %q", given[0], cmd.CommandPath())
		}
		c.Args = cobra.ArbitraryArgs
	}
	for _, sub := range c.Commands() {
		mistakes(sub)
	}
}

// group is a command that only has others.
func (a *app) group(use, short string, aliases []string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Aliases: aliases, Args: cobra.ArbitraryArgs,
		SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return bare(cmd)
			}
			if near := guess(cmd, args[0]); near != "" {
				return usagef("unknown command %q for %q: did you mean %q?", args[0], cmd.CommandPath(), near)
			}
			return usagef("unknown command %q for %q", args[0], cmd.CommandPath())
		},
	}
	c.AddCommand(subs...)
	return c
}

// guess returns the command that a mistyped one may stand for, or "".
func guess(cmd *cobra.Command, word string) string {
	near := cmd.SuggestionsFor(word)
	if best := nearest(word, near); best != "" || len(near) == 0 {
		return best
	}
	return near[0]
}

// bare runs a group without a subcommand: `nodes` lists, `node` explains itself.
func bare(cmd *cobra.Command) error {
	for _, sub := range cmd.Commands() {
		if sub.Name() == "list" && cmd.CalledAs() != cmd.Name() {
			sub.SetContext(cmd.Context())
			return sub.RunE(sub, nil)
		}
	}
	return cmd.Help()
}

// exactly wants n arguments, and names what is missing.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return usagef("%s takes no arguments: %q is too much", cmd.CommandPath(), args[0])
		}
		return usagef("%s needs %s", cmd.CommandPath(), strings.Join(names, " "))
	}
}

func (a *app) printf(format string, args ...any) { _, _ = fmt.Fprintf(a.out, format, args...) }

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: exactly(),
		Run: func(*cobra.Command, []string) { a.printf("%s %s\n", a.o.Name, a.o.Version) },
	}
}

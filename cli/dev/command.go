package dev

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/cli"
)

// Command is `botnode dev` for the bot that program makes. beside makes what runs
// on the node when clients of its proxy are to be tried; nil stands for program.
func Command(program, beside func() cli.Program) *cobra.Command {
	var addr string
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Talk to the bot at a prompt, without a token or a network",
		Long: `Dev runs the bot on one node, in memory, against a simulated Discord. A line that is typed is a
message that a user writes in a channel; what the bot writes is printed, and so are the requests
other than messages that it makes, and the warnings of the node.

Lines that begin with a colon are commands; ":help" lists them. The end of the input ends it, once
everything has been handled. If the input isn't a terminal there is no prompt:

    printf '!ping\n' | botnode dev

With --proxy the node has a proxy, and a bot in any language can be tried with it: its two URLs and a
key, the same each time, are printed. It goes on after the end of the input, until it is interrupted
or told to :quit. The stock binary runs no bot of its own then.

    botnode dev --proxy`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if addr != "" && beside != nil {
				program = beside
			}
			return Run(ctx, Options{
				Program: program, Stdin: cmd.InOrStdin(), Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(),
				Prompt: isTerminal(cmd.InOrStdin()), Patience: 30 * time.Second, Proxy: addr,
			})
		},
	}
	cmd.Flags().StringVar(&addr, "proxy", "", "serve bots in any language on this `address`, which is a loopback one")
	cmd.Flags().Lookup("proxy").NoOptDefVal = "127.0.0.1:7301"
	return cmd
}

func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Options configure Run. All but Prompt and Proxy are required.
type Options struct {
	// Program makes an instance of the bot, for each start of the node.
	Program func() cli.Program
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	// Prompt asks for each line, for a person.
	Prompt bool
	// Patience bounds how long one line may take to be handled.
	Patience time.Duration
	// Proxy is the address on which bots in any language are served, "" for none.
	Proxy string
}

// Run runs the bot until the input ends, a line says so, or ctx ends.
func Run(ctx context.Context, o Options) error {
	s, err := start(ctx, o)
	if err != nil {
		return fmt.Errorf("dev: %w", err)
	}
	defer s.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.Prompt {
		s.greet()
	}
	if s.proxy != nil {
		s.introduce()
	}
	return s.serve(ctx, lines(ctx, o.Stdin))
}

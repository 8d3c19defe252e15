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

// Command is `botnode dev` for the bot that program makes.
func Command(program func() cli.Program) *cobra.Command {
	return &cobra.Command{
		Use:   "dev",
		Short: "Talk to the bot at a prompt, without a token or a network",
		Long: `Dev runs the bot on one node, in memory, against a simulated Discord. A line that is typed is a
message that a user writes in a channel; what the bot writes is printed, and so are the requests
other than messages that it makes, and the warnings of the node.

Lines that begin with a colon are commands; ":help" lists them. The end of the input ends it, once
everything has been handled. If the input isn't a terminal there is no prompt:

    printf '!ping\n' | botnode dev`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return Run(ctx, Options{
				Program: program, Stdin: cmd.InOrStdin(), Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(),
				Prompt: isTerminal(cmd.InOrStdin()), Patience: 30 * time.Second,
			})
		},
	}
}

func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Options configure Run. All but Prompt are required.
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
	return s.serve(ctx, lines(ctx, o.Stdin))
}

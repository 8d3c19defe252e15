package demo

import (
	"os"
	"os/signal"

	"github.com/spf13/cobra"
)

// Command is `botnode demo`. It shows itself in colours, and lively, on a
// terminal, and in plain text elsewhere or with NO_COLOR.
func Command() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Kill the leader of three nodes under load and see what it costs",
		Long: `Demo starts a simulated Discord and three nodes as real processes in a temporary folder, joins
them, lets users write 200 pings a second, kills the leader with SIGKILL, starts it again, moves a
shard, and shows the ledger: what was sent, answered, lost and duplicated, and how long the bot was
silent. It needs no internet and no token, takes about 12 seconds, and leaves nothing behind.

It exits with 0 only if nothing was lost or duplicated and no session had to be begun anew.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), endSignals...)
			defer stop()
			o := Options{Stdout: cmd.OutOrStdout()}
			if f, ok := o.Stdout.(*os.File); ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
				if width := terminalWidth(f); width > 0 {
					o.Color, o.Width = true, width
				}
			}
			return Run(ctx, o)
		},
	}
}

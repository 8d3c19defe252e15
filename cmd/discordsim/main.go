// Command discordsim is a simulated Discord as a process. It prints the URL of
// its API as its first line, and is driven through the control API under /_sim/.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"

	"github.com/botnode/botnode/discord/sim"
)

func main() { os.Exit(run(os.Args[1:])) }

// run is main with an exit code: 0 done, 1 failed, 2 usage.
func run(args []string) int {
	o, jsonLog, err := options(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "discordsim:", err)
		return 2
	}
	log := zap.NewNop()
	if jsonLog {
		if log, err = zap.NewProduction(); err != nil {
			fmt.Fprintln(os.Stderr, "discordsim:", err)
			return 1
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	srv := sim.New(o)
	if err := srv.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "discordsim:", err)
		return 1
	}
	defer srv.Close()
	fmt.Println(srv.APIURL())
	log.Info("serving", zap.String("api", srv.APIURL()), zap.String("gateway", srv.GatewayURL()),
		zap.Int("guilds", len(srv.GuildIDs())))
	<-ctx.Done()
	s := srv.Ledger().Summary()
	log.Info("stopping", zap.Int("events", s.Events), zap.Int("identifies", s.Identifies), zap.Int("resumes", s.Resumes),
		zap.Int("posted", s.Posted))
	return 0
}

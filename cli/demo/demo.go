package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// ErrLedger is returned when the demo ran to its end and the ledger isn't
// clean: something was lost, duplicated, or needed a new session.
var ErrLedger = errors.New("the ledger is not clean")

// ErrInterrupted is returned when the context ended before the demo did.
var ErrInterrupted = errors.New("interrupted")

// errSlow ends a demo that hangs.
var errSlow = errors.New("the demo took too long")

// Options say what to run and where to show it.
type Options struct {
	// Executable is the botnode program that the nodes run; "" for this one.
	Executable string
	// Stdout is where the demo is shown; nil for os.Stdout.
	Stdout io.Writer
	// Color switches colours and live redrawing on; without it the output is
	// plain text, a line at a time.
	Color bool
	// Width is the terminal's number of columns; 0 for 100.
	Width int
}

func (o *Options) fill() (err error) {
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Width == 0 {
		o.Width = 100
	}
	if o.Executable == "" {
		if o.Executable, err = os.Executable(); err != nil {
			return fmt.Errorf("demo: the program's own file: %w", err)
		}
	}
	return nil
}

// The plan: how much load, and how long each scene has. The whole takes 12 to
// 15 s, and its sparkline, at 100 ms a column, fits 100 columns.
const (
	rate      = 200 // pings a second
	shards    = 3
	guilds    = 9
	calm      = 2500 * time.Millisecond // load before the kill
	down      = 2200 * time.Millisecond // until the killed node is started again
	rejoin    = 1800 * time.Millisecond // until the planned move
	after     = 2000 * time.Millisecond // until the load ends
	aftermath = 500 * time.Millisecond  // in which a move may still show
	grace     = 5 * time.Second         // for answers that are late
	spreading = 4 * time.Second         // for the shards to spread over the nodes
	settled   = 300 * time.Millisecond  // for answers that are too many
	limit     = 60 * time.Second        // for everything
	bucket    = 100 * time.Millisecond
	zoom      = 25 * time.Millisecond
)

// simulated is the Discord of the demo. Its REST limits are off, since Discord
// allows a bot 50 requests a second and 5 messages a channel in 5 s, and its
// identify keys are as many as the shards, so that start-up doesn't take 10 s.
func simulated() *sim.Server {
	return sim.New(sim.Options{
		Guilds: guilds, Shards: shards, MaxConcurrency: shards, GlobalLimit: -1, NoRouteLimits: true,
	})
}

// Run runs the demo. It returns nil only if nothing was lost or duplicated and
// no session had to be begun anew. However it ends, it leaves no process
// behind, and no file but the nodes' logs after a failure.
func Run(ctx context.Context, o Options) (err error) {
	if err := o.fill(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSlow)
	defer cancel()
	began := time.Now()
	srv := simulated()
	if err := srv.Start(); err != nil {
		return err
	}
	defer srv.Close()
	c, err := newCluster(o.Executable, srv.APIURL(), srv.Token())
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { err = ended(c, err) }()

	s := &show{
		srv: srv, c: c,
		screen: &screen{w: o.Stdout, p: palette(o.Color), live: o.Color, width: o.Width, began: began},
	}
	stop := s.animate()
	defer stop()
	if err := s.play(ctx); err != nil {
		return err
	}
	if err := s.screen.failed(); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return s.verdict()
}

// ended cleans up, and adds to a failure where the logs are.
func ended(c *cluster, err error) error {
	interrupted := errors.Is(err, context.Canceled)
	keep := err != nil && !interrupted
	closed := c.close(keep)
	switch {
	case interrupted:
		err = fmt.Errorf("demo: %w", ErrInterrupted)
	case keep:
		err = fmt.Errorf("demo: %w\nthe nodes' logs are kept in %s", err, c.dir)
	}
	return errors.Join(err, closed)
}

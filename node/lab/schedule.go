package lab

import (
	"context"
	"errors"
	"time"

	"github.com/botnode/botnode/admin"
)

// RunSchedule has a schedule of the bot run now, besides its own times. It waits
// until the schedule has begun in the cluster.
func (l *Lab) RunSchedule(ctx context.Context, name string) error {
	for {
		err := errors.New("no node leads")
		if _, n, ok := l.Leader(); ok {
			if err = n.RunSchedule(ctx, l.o.Bot, name); err == nil || !errors.Is(err, admin.ErrRefused) {
				return err
			}
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

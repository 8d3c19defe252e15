package botnode

import (
	"errors"
	"fmt"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/shard"
)

// Every has f run at all multiples of d since midnight UTC of the first day of
// 1970, once in the cluster: each time is an entry of the journal, like an event,
// with an acknowledgement, retries and a store that commits with it. It runs on
// the node that owns the bot's first shard. What was missed while the cluster
// was down is run once, not once for each time. The name identifies the schedule
// and its handler; the least d is a second.
func (b *Bot) Every(name string, d time.Duration, f func(*Context) error, opts ...Option) {
	if d < time.Second {
		panic(fmt.Errorf("botnode: schedule %q: the shortest interval is a second", name))
	}
	b.schedule(name, func(after, until time.Time) (time.Time, bool) {
		at := time.UnixMilli(until.UnixMilli() - until.UnixMilli()%d.Milliseconds())
		return at, at.After(after)
	}, f, opts)
}

// Cron is Every for times that a cron expression of five fields gives, in UTC,
// or in the zone that it names: "CRON_TZ=Europe/Berlin 0 8 * * mon". It panics
// if the expression is none: that shows at once.
func (b *Bot) Cron(name, spec string, f func(*Context) error, opts ...Option) {
	s, err := cron.ParseStandard(spec)
	if err != nil {
		panic(fmt.Errorf("botnode: schedule %q: %w", name, err))
	}
	b.schedule(name, func(after, until time.Time) (last time.Time, found bool) {
		return latest(s, after.UTC(), until.UTC())
	}, f, opts)
}

// latest returns the last time of a schedule in a stretch. The walk begins where
// the stretch is short enough to take no time.
func latest(s cron.Schedule, after, until time.Time) (last time.Time, found bool) {
	for _, back := range []time.Duration{time.Hour, 24 * time.Hour, 31 * 24 * time.Hour, until.Sub(after)} {
		from := until.Add(-back)
		if from.Before(after) {
			from = after
		}
		for at := s.Next(from); !at.IsZero() && !at.After(until); at = s.Next(at) {
			last, found = at, true
		}
		if found || from.Equal(after) {
			break
		}
	}
	return last, found
}

func (b *Bot) schedule(name string, due func(after, until time.Time) (time.Time, bool), f HandlerFunc, opts []Option) {
	if f == nil {
		panic(errors.New("botnode: a schedule needs a function"))
	}
	b.register(name, fsm.EventTick, f, opts)
	b.schedules = append(b.schedules, shard.Schedule{Name: name, Due: due})
}

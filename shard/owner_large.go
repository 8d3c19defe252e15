package shard

import (
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/fsm"
)

// largeRetry is how long anything but an event waits that is too large, such as a READY:
// a program that takes more may be started meanwhile.
const largeRetry = time.Minute

// passOver lets go of an event that is too large to be committed: proposed again and
// again it would hold up all that come after it. The next one says that there is a jump
// before it, which the state records as a gap. It reports false for anything else.
func (o *Owner) passOver() bool {
	f, ok := o.flightEvents()
	if !ok || len(o.buf) == 0 {
		return false
	}
	cmd, _ := f.cmd.(*fsm.Events)
	first := o.buf[0]
	if len(cmd.Evs) != 1 || cmd.Evs[0].S != first.S {
		return false
	}
	o.flight = nil
	o.forget(1)
	if len(o.buf) > 0 {
		o.buf[0].prev, o.buf[0].jump = first.prev, true
	} else if o.conn.prev == first.S { // the next one is still to be read
		o.conn.prev, o.conn.first = first.prev, true
	}
	return true
}

// tooLarge reports a command that no log takes.
func (r *runner) tooLarge(cmd fsm.Command, err error) {
	what := zap.Skip()
	if c, ok := cmd.(*fsm.Events); ok {
		e := &c.Evs[0]
		what = zap.Dict("event", zap.String("type", e.Type), zap.Stringer("guild", e.Guild), zap.Int64("seq", e.S), zap.Int("bytes", len(e.Raw)))
	}
	r.log.Error("what was read from Discord is too large for the log", zap.String("code", "event_too_large"), what, zap.Error(err))
}

package shard

import "github.com/botnode/botnode/fsm"

// lost ends a connection whose session Discord has ended. What was read of it and is
// not committed will not be replayed: it is committed before the session's end is.
func (o *Owner) lost() {
	c := o.conn
	if !c.bound || c.sid == "" {
		o.reset()
		return
	}
	o.lostSID, o.lostEpoch = c.sid, c.epoch
	buf, size, f := o.buf, o.bufBytes, o.flight
	o.reset()
	if c.readying || o.view.SID != c.sid {
		return // its READY is not committed, so nothing of it can be
	}
	o.buf, o.bufBytes = buf, size
	if _, ok := eventsOf(f); ok {
		o.flight = f
	}
}

// finish proposes what is left of a session that Discord has ended, or forgets it
// once it can't be committed any more.
func (o *Owner) finish() {
	_, under := o.flightEvents()
	if len(o.buf) == 0 && !under {
		return
	}
	if o.lostSID != "" && o.view.SID == o.lostSID && o.Mine() && o.view.Epoch == o.lostEpoch {
		o.pump(o.lostSID, o.lostEpoch)
		return
	}
	o.forget(len(o.buf))
	if under {
		o.flight = nil
	}
}

// proposeLost records the end of a session that Discord has ended.
func (o *Owner) proposeLost() {
	if f := o.flight; f != nil && f.moot(o) {
		o.flight = nil
	}
	if o.lostSID == "" {
		return
	}
	if !o.Mine() || o.view.SID != o.lostSID {
		o.lostSID = ""
		return
	}
	if o.flight == nil {
		o.flight = o.propose(&fsm.Lost{Bot: o.Bot, Shard: o.Shard, Epoch: o.view.Epoch, SID: o.lostSID})
	}
}

// moot reports whether f is a Lost that the applied state has overtaken.
func (f *flight) moot(o *Owner) bool {
	lost, ok := f.cmd.(*fsm.Lost)
	return ok && (f.gen != o.view.Generation || lost.Epoch != o.view.Epoch || lost.SID != o.view.SID)
}

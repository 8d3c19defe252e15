package shard

// tellStranded has the leader know, again and again, that this node owns the
// shard and doesn't come to a HELLO. What was refused for good needs no other
// node: that is Discord's word, not the network's.
func (o *Owner) tellStranded(now Time) {
	switch {
	case !o.Mine():
		o.dialled = 0
	case o.dialled > 0 && !o.fresh(now):
		o.dialled = now // a node that isn't fresh dials nothing: the time begins anew
	case o.dialled == 0 && o.conn.phase == Dialing:
		o.dialled = max(now, 1)
	case o.strandedAt() < 0 || now < o.strandedAt():
	default:
		o.do(Stranded{Epoch: o.view.Epoch, Again: o.told >= o.dialled})
		o.told = now
	}
}

func (in TriedAgain) step(o *Owner, now Time) {
	if o.dialled > 0 && in.Epoch == o.view.Epoch && o.conn.phase == Idle {
		o.retryAt = min(o.retryAt, now)
	}
}

// strandedAt returns when the leader is to be told next, negative for never.
func (o *Owner) strandedAt() Time {
	if o.dialled == 0 || o.stopped || o.Timing.Unreached <= 0 {
		return -1
	}
	at := o.dialled + o.Timing.Unreached
	if o.told >= o.dialled {
		at = max(at, o.told+o.Timing.Ask)
	}
	return at
}

package shard

import (
	"github.com/botnode/botnode/fsm"
)

// decideHello writes the connection's first payload when the applied state
// permits it.
func (o *Owner) decideHello(now Time) {
	if !o.Mine() || o.conn.epoch != o.view.Epoch || !o.fresh(now) {
		return
	}
	if o.view.SID == "" {
		o.identify(now)
		return
	}
	if o.view.SID == o.lostSID || o.doubtful() {
		return
	}
	if o.prepare == o.view.Epoch && o.released != o.view.Epoch {
		// The old owner's connection may still read: give it a moment to go.
		if o.granted == 0 {
			o.granted = max(now, 1)
		}
		if now < o.granted+o.Timing.Handoff {
			return
		}
	}
	o.granted = 0
	seq := o.view.C
	o.bind(now, Resuming, o.view.SID, seq)
	o.do(Resume{Conn: o.conn.id, SID: o.view.SID, Seq: seq})
}

// doubtful reports whether another node may own the session by now: it was lost
// right after it was resumed, and no leader has answered since. A node that is
// cut off after a planned move would else take the session from its new owner, and
// that from it, until it isn't fresh any more: some forty times a second.
func (o *Owner) doubtful() bool { return o.doubt > 0 && o.freshUntil <= o.doubt+o.Timing.Fresh }

func (o *Owner) bind(now Time, p Phase, sid string, prev int64) {
	o.conn.since = now
	o.conn.phase, o.conn.bound, o.conn.sid, o.conn.prev, o.conn.first = p, true, sid, prev, p == Resuming
	o.buf, o.bufBytes = nil, 0
}

// identify writes IDENTIFY if a permit for it is applied that answers a
// request of less than T ago, else it asks for one.
func (o *Owner) identify(now Time) {
	v := &o.view
	o.asks = dropBefore(o.asks, now-o.Timing.Permit)
	held := v.HasPermit && v.Permit.Shard == o.Shard && v.Permit.Epoch == v.Epoch
	if held {
		for _, a := range o.asks {
			if a.n == v.Permit.Ask && a.n > o.used {
				o.used = a.n
				o.bind(now, Identifying, "", 0)
				o.conn.after, o.conn.intents = v.Sessions, v.Intents
				o.do(Identify{Conn: o.conn.id, Intents: v.Intents})
				o.clearPermit()
				return
			}
		}
		o.clearPermit() // too old, or spent: it is of no use to anybody
		return
	}
	if n := len(o.asks); n > 0 && now < o.asks[n-1].at+o.Timing.Ask {
		return
	}
	o.askSeq++
	o.asks = append(o.asks, ask{n: o.askSeq, at: now})
	o.do(AskPermit{Key: v.Key, Epoch: v.Epoch, Ask: o.askSeq})
}

func dropBefore(asks []ask, t Time) []ask {
	for len(asks) > 0 && asks[0].at <= t {
		asks = asks[1:]
	}
	return asks
}

// clearPermit gives back the permit that the view shows.
func (o *Owner) clearPermit() {
	if o.clear != nil {
		return
	}
	p := o.view.Permit
	o.clear = o.propose(&fsm.Clear{Bot: o.Bot, Shard: p.Shard, Epoch: p.Epoch, Key: o.view.Key, Ask: p.Ask})
}

// Deadline returns the next instant at which the owner wants a Tick, and
// whether there is one.
func (o *Owner) Deadline(now Time) (Time, bool) {
	next := Time(-1)
	sooner := func(t Time) {
		if t > now && (next < 0 || t < next) {
			next = t
		}
	}
	for _, f := range []*flight{o.flight, o.clear} {
		if f != nil && f.waiting {
			sooner(f.retryAt)
		}
	}
	if at := o.strandedAt(); at >= 0 {
		sooner(at)
	}
	if o.unanswered() {
		sooner(o.conn.since + o.Timing.Answer)
	}
	switch o.conn.phase {
	case Idle:
		sooner(o.retryAt)
	case Hello:
		sooner(o.prepareEnd)
		if o.doubtful() {
			sooner(now + o.Timing.Retry)
		}
		if o.granted > 0 {
			sooner(o.granted + o.Timing.Handoff)
		}
		if n := len(o.asks); n > 0 {
			sooner(o.asks[n-1].at + o.Timing.Ask)
		}
	}
	return next, next >= 0
}

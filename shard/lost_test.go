package shard

import (
	"testing"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// TestOwnerCommitsWhatItReadOfALostSession: Discord won't replay it.
func TestOwnerCommitsWhatItReadOfALostSession(t *testing.T) {
	for name, end := range map[string]func(b *ownerBench) Input{
		"op 9":       func(b *ownerBench) Input { return Invalidated{Conn: b.conn()} },
		"close code": func(b *ownerBench) Input { return Closed{Conn: b.conn(), Verdict: discord.VerdictNewSession} },
	} {
		t.Run(name, func(t *testing.T) {
			begin := func() *ownerBench {
				b := newOwnerBench(t)
				b.live()
				b.want(b.read(11), "Events(10..11)")
				b.want(b.read(12), "")
				b.step(end(b))
				b.now += time.Minute
				b.want(b.step(Tick{}), "")
				return b
			}
			b := begin()
			b.want(b.answer(fsm.Result{Code: fsm.OK, C: 11}), "Events(11..12)")
			b.want(b.step(Answered{ID: b.last().ID, Unknown: true}), "")
			b.now += b.o.Timing.Retry
			b.want(b.step(Tick{}), "Events(11..12)")
			b.want(b.answer(fsm.Result{Code: fsm.Old, C: 12}), "Lost")
			b.want(b.apply(func(v *View) { v.SID, v.C = "", 0 }), "Dial()")

			b = begin() // the state shows what no answer said
			b.want(b.apply(func(v *View) { v.C = 12 }), "Lost")

			b = begin() // it can't follow: what is left is void
			b.want(b.answer(fsm.Result{Code: fsm.Gap, C: 9}), "Lost")

			b = begin() // another owner has the shard
			b.want(b.apply(func(v *View) { v.Epoch, v.Owner = 6, nodeB }), "")
			if b.want(b.answer(fsm.Result{Code: fsm.Fenced, Epoch: 6}), ""); b.o.BufferedEvents() > 0 {
				t.Error("it keeps what it can't commit")
			}

			b = begin() // another session
			b.apply(func(v *View) { v.SID, v.Sessions = "other", 2 })
			if b.o.BufferedEvents() > 0 || b.o.BufferedBytes() > 0 {
				t.Error("it keeps what is of another session")
			}
		})
	}
}

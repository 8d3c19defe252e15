package shard

import (
	"testing"

	"github.com/botnode/botnode/fsm"
)

// TestOwnerPassesOverWhatIsTooLarge: an event that no log takes holds nothing up; the next
// one, read already or not, says that something is missing before it.
func TestOwnerPassesOverWhatIsTooLarge(t *testing.T) {
	large := func(b *ownerBench) string { return b.step(Answered{ID: b.last().ID, TooLarge: true}) }
	jumps := func(b *ownerBench) bool {
		cmd, _ := b.last().Cmd.(*fsm.Events)
		return cmd != nil && cmd.Jump
	}
	b := newOwnerBench(t)
	b.live()
	b.want(b.read(11), "Events(10..11)")
	b.want(b.answer(fsm.Result{C: 11}), "")
	b.apply(func(v *View) { v.C = 11 })
	b.want(b.read(12), "Events(11..12)")
	b.read(13)
	b.want(large(b), "Events(11..13)")
	if !jumps(b) {
		t.Error("the event that was read already says nothing of a jump")
	}
	b.want(b.answer(fsm.Result{C: 13}), "")
	b.apply(func(v *View) { v.C = 13 })
	b.want(b.read(14), "Events(13..14)")
	b.want(large(b), "")
	b.want(b.read(15), "Events(13..15)")
	if !jumps(b) {
		t.Error("the event that was read later says nothing of a jump")
	}
	b.want(b.answer(fsm.Result{C: 15}), "")
	b.apply(func(v *View) { v.C = 15 })
	b.want(b.read(16), "Events(15..16)")
	if jumps(b) {
		t.Error("a jump where there is none")
	}

	// A READY can't be passed over. It isn't proposed in a tight loop either.
	b = newOwnerBench(t)
	b.identify()
	b.want(b.step(ReadyRead{Conn: b.conn(), SID: "t", S: 1}), "Ready")
	b.want(large(b), "")
	b.now += b.o.Timing.Retry
	b.want(b.step(Tick{}), "")
	b.now += largeRetry
	b.want(b.step(Tick{}), "Ready")
}

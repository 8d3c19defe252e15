package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/botnode/botnode/fsm"
)

// TestAnEnrolmentWithoutAnAdmissionIsForgotten has a machine get a certificate and no
// more, as one whose join fails then. A rotation waits for it, but not for ever; and
// when the machine tries again, it gets another certificate.
func TestAnEnrolmentWithoutAnAdmissionIsForgotten(t *testing.T) {
	for _, rotate := range []bool{false, true} {
		t.Run(fmt.Sprintf("rotation=%v", rotate), func(t *testing.T) {
			l, ctx := secureLab(t, 2)
			at := l.Node("node1")
			token, _, err := at.CreateJoinToken(ctx, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			machine, end, err := l.Outside("node3")
			if err != nil {
				t.Fatal(err)
			}
			defer end()
			if err := machine.EnrolOnly(ctx, at.Addr(), token); err != nil {
				t.Fatal(err)
			}
			if rotate {
				if err := at.RotateTLS(ctx); err != nil {
					t.Fatal(err)
				}
				until(ctx, t, "the members hold the next secret", func() (ok bool) {
					at.State(func(s *fsm.State) { ok = holders(s.Trust(), 2) == 2 })
					return ok
				})
			}
			if s := at.TLS(); s.Epoch != 1 || len(s.Members) != 3 {
				t.Errorf("within its time: %+v", s)
			}
			for _, id := range l.Living() {
				l.Node(id).ForgetEnrolmentsAfter(0)
			}
			until(ctx, t, "the machine is forgotten", func() bool { return len(at.TLS().Members) == 2 })
			if rotate {
				until(ctx, t, "the rotation is through", rotated(at, 2))
				if token, _, err = at.CreateJoinToken(ctx, time.Hour); err != nil {
					t.Fatal(err)
				}
			}
			for _, id := range l.Living() {
				l.Node(id).ForgetEnrolmentsAfter(time.Hour)
			}
			if _, err := machine.Join(ctx, at.Addr(), token, nil); err != nil {
				t.Errorf("the machine tries again: %v", err)
			}
			if s := at.TLS(); len(s.Members) != 3 {
				t.Errorf("after the join: %+v", s)
			}
			put(ctx, t, l, "a")
		})
	}
}

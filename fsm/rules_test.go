package fsm

import "testing"

// TestNewKindsWaitForTheirRules: no command of a later number of rules has an
// effect before it is in force, and none is missing in the table.
func TestNewKindsWaitForTheirRules(t *testing.T) {
	for kind, cmd := range samples() {
		b := setup(t)
		was := b.state.Digest()
		res := b.do(cmd)[0]
		switch need := rulesOf[kind]; {
		case need > KnownRules:
			t.Errorf("%d: rules %d, and this version knows %d", kind, need, KnownRules)
		case need > 1 && (res.Code != Refused || b.state.Digest() != was):
			t.Errorf("%d: %v under rules 1", kind, res)
		case need == 0 && kind >= KindCharter:
			t.Errorf("%d came after rules 1, and has none in the table", kind)
		}
		if b.state.Allows(kind) != (rulesOf[kind] <= 1) {
			t.Errorf("%d: Allows is wrong", kind)
		}
	}
}

package node_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/fsm"
)

// TestOlderJoinerIsRefused: a node that doesn't know the rules in force isn't admitted,
// whoever is asked; it would stop, as a member. A version that doesn't say what it knows
// is the oldest.
func TestOlderJoinerIsRefused(t *testing.T) {
	l, ctx := cluster(t, "joe", "mike")
	until(ctx, t, "the rules of this version are in force", func() (yes bool) {
		for _, id := range l.Living() {
			l.Node(id).State(func(s *fsm.State) { yes = s.Rules == fsm.KnownRules })
			if !yes {
				return false
			}
		}
		return true
	})
	must(t, l.WaitSettled(ctx))
	for _, asked := range l.Living() {
		for _, prepare := range []bool{true, false} {
			for _, rules := range []uint64{0, 1, fsm.KnownRules - 1} {
				err := l.Node("mike").AskToJoin(ctx, l.Node(asked).Addr(), "robert", rules, prepare)
				if !errors.Is(err, admin.ErrRefused) || !strings.Contains(err.Error(), "runs an older version") || !strings.Contains(admin.Hint(err), "a newer one") {
					t.Errorf("%s of a joiner that knows rules %d: %v (%s)", asked, rules, err, admin.Hint(err))
				}
			}
			if !prepare {
				continue
			}
			for _, rules := range []uint64{fsm.KnownRules, fsm.KnownRules + 1} {
				if err := l.Node("mike").AskToJoin(ctx, l.Node(asked).Addr(), "robert", rules, true); err != nil {
					t.Errorf("%s of a joiner that knows rules %d: %v", asked, rules, err)
				}
			}
		}
	}
	st, err := l.Node("joe").Status(ctx)
	must(t, err)
	if len(st.Nodes) != 2 {
		t.Errorf("the nodes: %+v", st.Nodes)
	}
}

package node_test

import (
	"errors"
	"testing"

	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/fsm"
)

// TestDecisionsStayInTheirTerm: what a leader has decided is refused once its term is
// over, also if the same node leads the next one: it has heard of nodes that the
// leader before took for silent.
func TestDecisionsStayInTheirTerm(t *testing.T) {
	l, ctx := cluster(t, "joe")
	n := l.Node("joe")
	term := n.Term()
	for decided, want := range map[uint64]error{term - 1: consensus.ErrNotLeader, term: nil, term + 1: consensus.ErrNotLeader} {
		if err := n.Decide(ctx, decided, &fsm.Drain{ID: "joe"}); !errors.Is(err, want) {
			t.Errorf("decided in term %d, proposed in term %d: %v, want %v", decided, term, err, want)
		}
	}
}

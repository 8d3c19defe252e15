package node

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/membership"
)

// rulesCheck is how often a leader looks whether all nodes know newer rules.
const rulesCheck = time.Second

// followRules raises the rules in force once every node knows newer ones, while
// this node leads.
func (n *Node) followRules(ctx context.Context) {
	every(ctx, rulesCheck, func(time.Time) { n.raiseRules(ctx) })
}

// raiseRules brings into force the newest rules that every node of the cluster
// knows, the dead included: a node that is down may come back as the version
// that it was.
func (n *Node) raiseRules(ctx context.Context) {
	// None may come into force between the look at a joiner's rules and its admission.
	n.rulesMu.Lock()
	defer n.rulesMu.Unlock()
	known, ok := n.rulesKnown()
	inForce := uint64(0)
	n.State(func(s *fsm.State) { inForce = s.Rules })
	if !ok || known <= inForce {
		return
	}
	res, err := n.propose(ctx, func(*fsm.State) fsm.Command { return &fsm.Rules{N: known} })
	if err == nil && res.Code == fsm.OK {
		n.log.Info("every node knows newer rules; they are in force", zap.Uint64("rules", known), zap.Uint64("before", inForce))
	}
}

// rulesKnown is the newest rules that all nodes know; false while one of them
// isn't up to say.
func (n *Node) rulesKnown() (uint64, bool) {
	lowest := uint64(fsm.KnownRules)
	for _, s := range n.raft.Load().Servers() {
		if s.ID == n.o.ID {
			continue
		}
		m, ok := n.members.Lookup(s.ID)
		if !ok || m.Status != membership.Alive {
			return 0, false
		}
		lowest = min(lowest, uint64(m.Rules))
	}
	return lowest, true
}

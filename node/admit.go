package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/membership"
)

// admit answers a request to join.
func (n *Node) admit(ctx context.Context, r *consensus.Raft, req clusterRequest) (clusterAnswer, error) {
	if !n.joinMu.TryLock() {
		if n.identity.Joining() != "" {
			return n.refuse(membership.DecideJoinRequest(n.joinState(r, req))), nil
		}
		return clusterAnswer{Refused: "this node is busy with another join", Retryable: true}, nil
	}
	defer n.joinMu.Unlock()
	d := membership.DecideJoinRequest(n.joinState(r, req))
	switch d.Action {
	case membership.Refuse:
		return n.refuse(d), nil
	case membership.ForwardToLeader:
		if req.Forwarded {
			return clusterAnswer{Refused: membership.ErrJoinNoLeader.Error(), Retryable: true}, nil
		}
		req.Forwarded = true
		a, err := n.ask(ctx, d.Addr, req)
		if a.Refused != "" {
			return a, nil
		}
		return a, err
	case membership.BootstrapThenAdmit:
		if err := n.bootstrap(); err != nil {
			return clusterAnswer{}, err
		}
	}
	if err := n.waitEstablished(ctx); err != nil {
		return clusterAnswer{}, err
	}
	n.rulesMu.Lock()
	defer n.rulesMu.Unlock()
	rules := uint64(0)
	n.State(func(s *fsm.State) { rules = s.Rules })
	if req.knows() < rules {
		return refuseOlder(req, rules), nil
	}
	if req.Prepare {
		return clusterAnswer{ClusterID: n.ClusterID()}, nil
	}
	if owner, taken := taken(r.Servers(), req); taken {
		return refuseTaken(req.ID, owner), nil
	}
	if err := n.addServer(ctx, r, req); err != nil {
		return clusterAnswer{}, err
	}
	n.log.Info("admitted node", zap.String("joiner", req.ID), zap.String("addr", req.Addr))
	return clusterAnswer{ClusterID: n.ClusterID(), Index: r.CommitIndex()}, nil
}

func (n *Node) refuse(d membership.Decision) clusterAnswer {
	return clusterAnswer{Refused: d.Reason.Error(), Hint: d.Hint, Retryable: d.Retryable}
}

func (n *Node) joinState(r *consensus.Raft, req clusterRequest) membership.JoinState {
	l := r.Leader()
	_, established := r.Established()
	s := membership.JoinState{
		SelfID: n.o.ID, SelfAddr: n.transport.Addr(), ClusterID: n.ClusterID(),
		Leads: established, JoinerID: req.ID, JoinerAddr: req.Addr,
		JoinerIncarnation: req.Incarnation, JoinerClusterID: req.ClusterID, Joining: n.identity.Joining(),
	}
	if l.Known && l.ID != n.o.ID {
		s.LeaderAddr, _ = n.addrOf(l.ID)
	}
	if m, ok := n.members.Lookup(req.ID); ok && m.Status == membership.Alive {
		s.Twin, s.TwinAddr, s.TwinIncarnation = true, m.ClusterAddr, m.Incarnation
	}
	return s
}

// taken reports whether a joiner that knows no cluster asks under the id of a
// voter at another address: a second process, as a rule, and not that voter
// after the loss of its disk. To let it in would take the voter's vote.
func taken(servers []consensus.Server, req clusterRequest) (addr string, yes bool) {
	for _, s := range servers {
		if s.ID == req.ID && s.Voter && s.Addr != req.Addr && req.ClusterID == "" {
			return s.Addr, true
		}
	}
	return "", false
}

func refuseTaken(id, owner string) clusterAnswer {
	return clusterAnswer{
		Refused: fmt.Sprintf("the id %s belongs to a voter at %s, which is down and may come back", id, owner),
		Hint:    "join under another --id, or `botnode node remove " + id + "` first if that node is gone for good",
	}
}

// unsaidRules is what a joiner knows that doesn't say: it is of a version from before
// it had to, the first of which knew these.
const unsaidRules = 2

// knows returns the newest rules that a joiner knows.
func (r *clusterRequest) knows() uint64 { return cmp.Or(r.Rules, unsaidRules) }

// refuseOlder refuses a joiner that doesn't know the rules in force: it would stop at
// the first entry or snapshot of theirs, as a member that counts for the quorum.
func refuseOlder(req clusterRequest, rules uint64) clusterAnswer {
	return clusterAnswer{
		Refused: fmt.Sprintf("%s runs an older version than the cluster: it knows rules %d, and rules %d are in force", req.ID, req.knows(), rules),
		Hint:    "start " + req.ID + " with the version that the others run, or a newer one (`botnode node list` shows theirs), and join again",
	}
}

// addServer adds a joiner as a non-voter. A server of that id that is in the
// configuration already has lost its log: it must not keep its vote.
func (n *Node) addServer(ctx context.Context, r *consensus.Raft, req clusterRequest) error {
	for _, s := range r.Servers() {
		if s.ID == req.ID {
			if err := r.Remove(ctx, req.ID); err != nil {
				return err
			}
		}
	}
	return r.AddNonvoter(ctx, req.ID, req.Addr)
}

func (n *Node) waitEstablished(ctx context.Context) error {
	for {
		if _, ok := n.raft.Load().Established(); ok {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("this node did not become the leader: %w", context.Cause(ctx))
		}
	}
}

// expel removes a node from the cluster.
func (n *Node) expel(ctx context.Context, r *consensus.Raft, id string) (clusterAnswer, error) {
	member := slices.ContainsFunc(r.Servers(), func(s consensus.Server) bool { return s.ID == id })
	registered := false // it still is if an earlier removal was cut off halfway
	n.machine.View(func(_ uint64, s *fsm.State) {
		_, registered = s.Node(id)
		_, trusted := s.Trust().Member(id)
		registered = registered || trusted
	})
	if !member && !registered {
		return clusterAnswer{Refused: admin.ErrUnknownNode.Error(), Hint: "`botnode node list` shows the nodes"}, nil
	}
	if member {
		if err := r.Remove(ctx, id); err != nil {
			return clusterAnswer{}, err
		}
	}
	_, err := n.propose(ctx, func(*fsm.State) fsm.Command { return &fsm.Forget{ID: id} })
	n.members.Forget(id)
	return clusterAnswer{}, err
}

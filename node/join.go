package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/membership"
	"github.com/botnode/botnode/transport"
)

// clusterRequest is a request from node to node about the cluster itself.
type clusterRequest struct {
	Kind        string `json:"kind"` // join, promote, demote, remove, drain, report, transfer, hash, examine, clock
	ID          string `json:"id,omitempty"`
	Addr        string `json:"addr,omitempty"`
	Incarnation uint64 `json:"incarnation,omitempty"`
	ClusterID   string `json:"cluster_id,omitempty"`
	Forwarded   bool   `json:"forwarded,omitempty"`
	Prepare     bool   `json:"prepare,omitempty"` // of join: decide, and name the cluster, but admit nobody yet
	On          bool   `json:"on,omitempty"`
	Index       uint64 `json:"index,omitempty"` // of hash
	Rules       uint64 `json:"rules,omitempty"` // of join: the newest that the joiner knows; 0 of a version that doesn't say
}

// clusterAnswer answers a clusterRequest. A refusal is an answer, too.
type clusterAnswer struct {
	ClusterID string       `json:"cluster_id,omitempty"`
	Index     uint64       `json:"index,omitempty"` // what a joiner has to have applied
	Refused   string       `json:"refused,omitempty"`
	Hint      string       `json:"hint,omitempty"`
	Retryable bool         `json:"retryable,omitempty"`
	Report    *report      `json:"report,omitempty"`
	Hash      *fsm.Digest  `json:"hash,omitempty"`
	Examined  *examination `json:"examined,omitempty"`
}

func (n *Node) ask(ctx context.Context, addr string, req clusterRequest) (clusterAnswer, error) {
	b, err := json.Marshal(req)
	if err != nil {
		return clusterAnswer{}, err
	}
	res, err := n.transport.Call(ctx, addr, methodCluster, b)
	if err != nil {
		return clusterAnswer{}, err
	}
	var a clusterAnswer
	if err := json.Unmarshal(res, &a); err != nil {
		return a, fmt.Errorf("an answer that can't be read: %w", err)
	}
	if a.Refused != "" {
		err := fmt.Errorf("%w: %s", admin.ErrRefused, a.Refused)
		if a.Retryable {
			err = fmt.Errorf("%w: %s", admin.ErrNotReady, a.Refused)
		}
		return a, admin.WithHint(err, a.Hint)
	}
	return a, nil
}

// askLeader sends a request to the leader, which may be this node.
func (n *Node) askLeader(ctx context.Context, req clusterRequest) (clusterAnswer, error) {
	l := n.raft.Load().Leader()
	if !l.Known {
		return clusterAnswer{}, admin.ErrNoQuorum
	}
	if l.ID == n.o.ID {
		a, err := n.serve(ctx, req)
		if err == nil && a.Refused != "" {
			err = admin.WithHint(fmt.Errorf("%w: %s", admin.ErrRefused, a.Refused), a.Hint)
		}
		return a, err
	}
	addr, ok := n.addrOf(l.ID)
	if !ok {
		addr = l.Addr
	}
	return n.ask(ctx, addr, req)
}

// handleCluster serves methodCluster.
func (n *Node) handleCluster(ctx context.Context, _ transport.Peer, b []byte) ([]byte, error) {
	var req clusterRequest
	if err := json.Unmarshal(b, &req); err != nil {
		return nil, fmt.Errorf("a request that can't be read: %w", err)
	}
	a, err := n.serve(ctx, req)
	if err != nil {
		a = clusterAnswer{Refused: err.Error(), Retryable: true}
	}
	return json.Marshal(a)
}

func (n *Node) serve(ctx context.Context, req clusterRequest) (clusterAnswer, error) {
	r := n.raftOrNil()
	if r == nil {
		return clusterAnswer{}, errNotReady
	}
	switch req.Kind {
	case "report":
		rep := n.report()
		return clusterAnswer{Report: &rep}, nil
	case "hash":
		return n.hashAnswer(req.Index), nil
	case "examine":
		e := n.examine(ctx)
		return clusterAnswer{Examined: &e}, nil
	case "clock":
		return clusterAnswer{Examined: &examination{ClockMS: time.Now().UnixMilli()}}, nil
	case "join":
		return n.admit(ctx, r, req)
	case "promote":
		addr, ok := n.addrOf(req.ID)
		if !ok {
			return clusterAnswer{Refused: admin.ErrUnknownNode.Error()}, nil
		}
		return clusterAnswer{}, r.AddVoter(ctx, req.ID, addr)
	case "demote":
		if !otherVoter(r, req.ID) {
			return clusterAnswer{Refused: "it is the only voter: a cluster needs one", Hint: "promote another node first"}, nil
		}
		return clusterAnswer{}, r.Demote(ctx, req.ID)
	case "remove":
		return n.expel(ctx, r, req.ID)
	case "transfer":
		if req.ID == n.o.ID {
			return clusterAnswer{}, nil // it has become the leader meanwhile
		}
		if !otherVoter(r, n.o.ID) {
			return clusterAnswer{Refused: "no other voter could lead", Hint: "`botnode node list` shows the voters"}, nil
		}
		return clusterAnswer{}, r.TransferLeadership(ctx, req.ID)
	}
	return clusterAnswer{}, fmt.Errorf("a request of unknown kind %q: is a node of another version?", req.Kind)
}

// otherVoter reports whether there is a voter that isn't id.
func otherVoter(r *consensus.Raft, id string) bool {
	return slices.ContainsFunc(r.Servers(), func(s consensus.Server) bool { return s.Voter && s.ID != id })
}

// Join implements admin.Backend.
func (n *Node) Join(ctx context.Context, peer, token string, stage func(string)) (admin.JoinResult, error) {
	begun := time.Now()
	var result admin.JoinResult
	reached := func(name string) {
		result.Stages = append(result.Stages, admin.JoinStage{Stage: name, AtMS: time.Since(begun).Milliseconds()})
		if stage != nil {
			stage(name)
		}
	}
	if err := membership.CheckJoinTarget(n.transport.Addr(), peer); err != nil {
		return result, admin.WithHint(fmt.Errorf("%w: %w", admin.ErrBadRequest, err), "name the cluster address (--cluster-addr) of another node")
	}
	if !n.joinMu.TryLock() {
		return result, fmt.Errorf("%w: this node is busy with another join", admin.ErrNotReady)
	}
	defer n.joinMu.Unlock()
	if n.inCluster() {
		return result, admin.WithHint(fmt.Errorf("%w: %w", admin.ErrRefused, membership.ErrAlreadyMember), "`botnode leave` first")
	}
	had := n.keys != nil && n.keys.Ready()
	if err := n.enrol(ctx, peer, token); err != nil {
		return result, err
	}
	a, err := n.requestJoin(ctx, peer)
	if had && token != "" && errors.Is(err, transport.ErrUntrusted) {
		// It is of a join that failed, and void by now.
		if err = n.enrolAnew(ctx, peer, token); err == nil {
			a, err = n.requestJoin(ctx, peer)
		}
	}
	if err != nil {
		return result, err
	}
	reached("contacted")
	result.ClusterID = a.ClusterID
	// From here on the cluster counts on this node. A caller who has gone must
	// not leave it a member without a vote.
	finish, cancel := context.WithTimeout(n.ctx, joinTimeout)
	defer cancel()
	if err := n.completeJoin(finish, a, reached); err != nil {
		return result, err
	}
	result.TookMS = time.Since(begun).Milliseconds()
	n.log.Info("joined", zap.String("cluster", a.ClusterID), zap.String("peer", peer), zap.Int64("took_ms", result.TookMS))
	return result, nil
}

// requestJoin asks peer first for the cluster's id, so that the leader's first
// connection finds this node in it, and then to be admitted.
func (n *Node) requestJoin(ctx context.Context, peer string) (clusterAnswer, error) {
	req := clusterRequest{
		Kind: "join", ID: n.o.ID, Addr: n.transport.Addr(), Incarnation: n.self.Inc, ClusterID: n.ClusterID(), Prepare: true,
		Rules: fsm.KnownRules,
	}
	if err := n.identity.MarkJoining(peer); err != nil {
		return clusterAnswer{}, fmt.Errorf("%w: %w", admin.ErrRefused, err)
	}
	before := n.ClusterID()
	a, err := n.insist(ctx, peer, req)
	if err != nil {
		return a, err
	}
	n.setClusterID(a.ClusterID)
	req.Prepare = false
	if a, err = n.insist(ctx, peer, req); err != nil {
		n.setClusterID(before)
	}
	return a, err
}

// insist asks peer until it admits or refuses this node.
func (n *Node) insist(ctx context.Context, peer string, req clusterRequest) (clusterAnswer, error) {
	for try := 0; ; try++ {
		once, cancel := context.WithTimeout(ctx, 10*time.Second)
		a, err := n.ask(once, peer, req)
		cancel()
		if err == nil {
			return a, nil
		}
		if errors.Is(err, admin.ErrNotReady) && try < 20 && !errors.Is(ctx.Err(), context.Canceled) {
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-ctx.Done():
			}
		}
		// Nothing of this node is in a configuration unless the answer was lost.
		if !errors.Is(err, transport.ErrUnknownOutcome) {
			err = errors.Join(err, n.identity.ClearJoining())
		}
		var refused *transport.RefusedError
		switch {
		case errors.As(err, &refused):
			err = fmt.Errorf("%w: %w", admin.ErrRefused, err)
		case errors.Is(err, transport.ErrUnreachable):
			err = admin.WithHint(fmt.Errorf("%w: %s: %w", admin.ErrUnreachable, peer, err),
				"check that a node listens there: PEER is the --cluster-addr of a running node")
		}
		return a, err
	}
}

// joinTimeout bounds how long a join takes from its admission on. What is not
// done by then is resumed at the node's next start.
const joinTimeout = time.Minute

// completeJoin makes this node a part of the cluster that has admitted it.
func (n *Node) completeJoin(ctx context.Context, a clusterAnswer, reached func(string)) error {
	if err := n.identity.Adopt(a.ClusterID); err != nil {
		return err
	}
	n.setClusterID(a.ClusterID)
	return n.becomeVoter(ctx, a, reached)
}

// resumeJoin completes a join that was cut off after its admission.
func (n *Node) resumeJoin() {
	n.joinMu.Lock()
	defer n.joinMu.Unlock()
	n.log.Info("resuming an unfinished join")
	err := poll(n.ctx, n.inCluster)
	for err == nil && n.catchUp(n.ctx) != nil {
		err = pause(n.ctx, 100*time.Millisecond) // there may be no leader for a moment
	}
	if err == nil {
		err = n.becomeVoter(n.ctx, clusterAnswer{}, func(string) {})
	}
	if err != nil && n.ctx.Err() == nil {
		n.log.Error("join not completed", zap.String("code", "join_incomplete"), zap.Error(err))
	}
}

// becomeVoter waits until this node is a voter.
func (n *Node) becomeVoter(ctx context.Context, a clusterAnswer, reached func(string)) error {
	r := n.raft.Load()
	if err := poll(ctx, n.inCluster); err != nil {
		return fmt.Errorf("%w: admitted, but the leader has not reached this node yet: %w", admin.ErrNotReady, err)
	}
	n.lookAround() // the others learn of this node by its gossip
	reached("nonvoter")
	if err := r.WaitApplied(ctx, a.Index); err != nil {
		return fmt.Errorf("%w: not caught up yet: %w", admin.ErrNotReady, err)
	}
	reached("caught_up")
	for {
		_, err := n.askLeader(ctx, clusterRequest{Kind: "promote", ID: n.o.ID})
		if err == nil {
			break
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("%w: a non-voter for now: %w", admin.ErrNotReady, err)
		}
	}
	if err := poll(ctx, n.voter); err != nil {
		return err
	}
	reached("voter")
	return n.identity.Voted()
}

func (n *Node) voter() bool {
	for _, s := range n.raft.Load().Servers() {
		if s.ID == n.o.ID {
			return s.Voter
		}
	}
	return false
}

// poll waits until ok returns true.
func poll(ctx context.Context, ok func() bool) error {
	for !ok() {
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for d, or returns why ctx has ended.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

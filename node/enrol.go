package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/membership"
	"github.com/botnode/botnode/transport"
	"github.com/botnode/botnode/trust"
)

// enrolRequest asks for a certificate, with a join token.
type enrolRequest struct {
	Token  string `json:"token"`
	Secret string `json:"secret"`
	ID     string `json:"id"`
	// Cluster is what the machine belongs to already: its certificate has expired.
	Cluster string `json:"cluster,omitempty"`
	CSR     []byte `json:"csr"`
}

// enrolAnswer answers an enrolRequest: a grant, or why there is none.
type enrolAnswer struct {
	Grant     *trust.Grant `json:"grant,omitempty"`
	Refused   string       `json:"refused,omitempty"`
	Hint      string       `json:"hint,omitempty"`
	Retryable bool         `json:"retryable,omitempty"`
}

// enrol gets this node a certificate and the cluster's secret from the node at
// peer, unless it has them.
func (n *Node) enrol(ctx context.Context, peer, token string) error {
	if n.keys == nil {
		if token != "" {
			return admin.WithHint(fmt.Errorf("%w: this node speaks no TLS to other nodes, and a join token needs it", admin.ErrRefused),
				"start it with --cluster-tls, or with an address beyond loopback and without --insecure")
		}
		return nil
	}
	if n.keys.Ready() && time.Now().Before(n.keys.NotAfter()) {
		return nil
	}
	return n.enrolAnew(ctx, peer, token)
}

// enrolAnew gets this node a certificate, whatever it has.
func (n *Node) enrolAnew(ctx context.Context, peer, token string) error {
	if token == "" {
		return admin.WithHint(fmt.Errorf("%w: the nodes of a cluster with TLS need a join token", admin.ErrRefused),
			"`botnode join-token create` on a node of the cluster prints one; give its file with --join-token-file")
	}
	t, err := trust.ParseJoinToken(token)
	if err != nil {
		return fmt.Errorf("%w: %w", admin.ErrBadRequest, err)
	}
	r, err := trust.NewRequest(n.hosts())
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		grant, err := n.askGrant(ctx, peer, t, r)
		if err == nil {
			if err := n.keys.Accept(r, grant); err != nil {
				return err
			}
			n.log.Info("the node has a certificate of the cluster", zap.String("cluster", grant.ClusterID), zap.String("peer", peer))
			return n.useKeys()
		}
		if !errors.Is(err, admin.ErrNotReady) || try > 20 || pause(ctx, 200*time.Millisecond) != nil {
			return err
		}
	}
}

// askGrant shows the token to the node at peer, once that has shown that it is of
// the token's cluster.
func (n *Node) askGrant(ctx context.Context, peer string, t trust.JoinToken, r *trust.Request) (trust.Grant, error) {
	req, err := json.Marshal(enrolRequest{Token: t.ID, Secret: t.Secret, ID: n.o.ID, Cluster: n.ClusterID(), CSR: r.CSR})
	if err != nil {
		return trust.Grant{}, err
	}
	res, err := n.transport.AskAsStranger(ctx, peer, t.Verify, req)
	refused := new(transport.RefusedError)
	switch {
	case errors.As(err, &refused):
		return trust.Grant{}, fmt.Errorf("%w: %w", admin.ErrRefused, err)
	case err != nil:
		return trust.Grant{}, fmt.Errorf("%w: %w", admin.ErrUnreachable, err)
	}
	var a enrolAnswer
	if err := json.Unmarshal(res, &a); err != nil {
		return trust.Grant{}, errors.New("an answer that can't be read") // it may hold secrets
	}
	switch {
	case a.Refused != "" && a.Retryable:
		return trust.Grant{}, admin.WithHint(fmt.Errorf("%w: %s", admin.ErrNotReady, a.Refused), a.Hint)
	case a.Refused != "" || a.Grant == nil:
		return trust.Grant{}, admin.WithHint(fmt.Errorf("%w: %s", admin.ErrRefused, a.Refused), a.Hint)
	}
	return *a.Grant, nil
}

// handleStranger serves an enrolRequest.
func (n *Node) handleStranger(ctx context.Context, from transport.Peer, host string, b []byte) []byte {
	answer := func(a enrolAnswer) []byte {
		out, _ := json.Marshal(a) // plain fields
		return out
	}
	if !n.wrong.May(host, time.Now()) {
		return answer(enrolAnswer{Refused: "too many wrong join tokens from that address", Hint: "wait a minute", Retryable: true})
	}
	var req enrolRequest
	if err := json.Unmarshal(b, &req); err != nil {
		n.wrong.Count(host, time.Now())
		return answer(enrolAnswer{Refused: "a request that can't be read: is a node of another version?"})
	}
	grant, err := n.grant(ctx, req, from.Addr)
	switch {
	case errors.Is(err, errWrongToken):
		n.wrong.Count(host, time.Now())
		n.log.Warn("a machine was refused: its join token is unknown, wrong or has expired",
			zap.String("code", "join_token_refused"), zap.String("joiner", req.ID), zap.String("host", host), zap.String("token", clip(req.Token)))
		return answer(enrolAnswer{Refused: err.Error(), Hint: "`botnode join-token create` makes a new one"})
	case err != nil:
		return answer(enrolAnswer{Refused: err.Error(), Hint: admin.Hint(err), Retryable: !errors.Is(err, admin.ErrRefused)})
	}
	n.log.Info("a machine got a certificate", zap.String("joiner", req.ID), zap.String("host", host),
		zap.String("addr", from.Addr), zap.String("token", req.Token))
	return answer(enrolAnswer{Grant: &grant})
}

// clip shortens what a stranger said, for the log.
func clip(s string) string { return s[:min(len(s), 32)] }

var errWrongToken = errors.New("the join token is unknown, wrong, or has expired")

// grant admits a machine at addr whose join token is good.
func (n *Node) grant(ctx context.Context, req enrolRequest, addr string) (trust.Grant, error) {
	if !membership.ValidID(req.ID) {
		return trust.Grant{}, fmt.Errorf("%w: %w", admin.ErrRefused, membership.ErrBadID)
	}
	if !n.inCluster() {
		return trust.Grant{}, admin.ErrNotInCluster
	}
	if !n.tokenIsGood(req) {
		if err := n.catchUp(ctx); err != nil { // it may be newer than what this node has applied
			return trust.Grant{}, fmt.Errorf("%w: %w", admin.ErrNoQuorum, err)
		}
		if !n.tokenIsGood(req) {
			return trust.Grant{}, errWrongToken
		}
	}
	// Before the certificates of the node that is down are made void: a machine
	// that would not be let in afterwards must not shut that node out.
	up := false
	n.State(func(s *fsm.State) { have, ok := s.Node(req.ID); up = ok && have.Up })
	if up { // Enrol's guard judges in the end
		return trust.Grant{}, fmt.Errorf("%w: a node of that id is up", admin.ErrRefused)
	}
	servers := n.raft.Load().Servers()
	if owner, taken := taken(servers, clusterRequest{ID: req.ID, Addr: addr, ClusterID: req.Cluster}); taken {
		a := refuseTaken(req.ID, owner)
		return trust.Grant{}, admin.WithHint(fmt.Errorf("%w: %s", admin.ErrRefused, a.Refused), a.Hint)
	}
	for {
		g, cmd, err := n.makeGrant(req)
		if err != nil {
			return g, err
		}
		res, err := n.propose(ctx, func(*fsm.State) fsm.Command { return cmd })
		switch {
		case err != nil:
			return g, fmt.Errorf("%w: %w", admin.ErrNoQuorum, err)
		case res.Code == fsm.OK:
			return g, nil
		// Old may be the answer to another machine of that id, which has a
		// certificate by this number: two must not have it.
		case res.Code != fsm.Conflict && res.Code != fsm.Old:
			return g, fmt.Errorf("%w: %s", admin.ErrRefused, res.Msg)
		}
		if err := n.catchUp(ctx); err != nil {
			return g, fmt.Errorf("%w: %w", admin.ErrNoQuorum, err)
		}
	}
}

func (n *Node) tokenIsGood(req enrolRequest) bool {
	var t fsm.JoinToken
	known := false
	n.State(func(s *fsm.State) { t, known = s.Trust().JoinToken(req.Token) })
	return trust.Shown(req.Secret, t.Hash) && known && time.Now().UnixMilli() < t.Expires
}

// makeGrant signs a certificate and the command without which it must not be
// handed out.
func (n *Node) makeGrant(req enrolRequest) (trust.Grant, *fsm.Enrol, error) {
	var t trustView
	var enrolment uint64
	n.State(func(s *fsm.State) { t, enrolment = viewTrust(s.Trust(), n.o.ID), s.Trust().Enrolments+1 })
	a, err := n.authority(t.authority)
	if err != nil {
		return trust.Grant{}, nil, err
	}
	now := time.Now()
	cert, err := a.Sign(req.CSR, trust.Holder{ClusterID: n.ClusterID(), ID: req.ID, Enrolment: enrolment}, now)
	if err != nil {
		return trust.Grant{}, nil, fmt.Errorf("%w: %w", admin.ErrRefused, err)
	}
	secrets, inUse := n.keys.Secrets()
	return trust.Grant{ClusterID: n.ClusterID(), Cert: cert, Roots: t.roots, Secrets: secrets, InUse: inUse},
		&fsm.Enrol{
			Token: req.Token, Node: req.ID, Enrolment: enrolment, Holds: min(secrets[len(secrets)-1].Epoch, max(t.epoch, t.next)),
			Cert: t.authority.Epoch, NotAfter: now.Add(trust.CertificateLife).Unix(), Now: now.UnixMilli(),
		}, nil
}

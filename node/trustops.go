package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/trust"
)

// errNoTLS refuses what needs certificates.
func errNoTLS() error {
	return admin.WithHint(fmt.Errorf("%w: this cluster has no TLS between its nodes", admin.ErrRefused),
		"a cluster has TLS if its first node was started with an address beyond loopback, or with --cluster-tls")
}

// awaitAuthority waits a while for the authority of a cluster that was only just
// founded to be recorded.
func (n *Node) awaitAuthority(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaderTimeout)
	defer cancel()
	recorded := func() (yes bool) {
		n.State(func(s *fsm.State) { yes = s.Trust().Epoch != 0 })
		return yes
	}
	if !recorded() && poll(ctx, recorded) != nil {
		return fmt.Errorf("%w: the cluster's authority isn't recorded yet", admin.ErrNotReady)
	}
	return nil
}

// CreateJoinToken implements admin.Backend.
func (n *Node) CreateJoinToken(ctx context.Context, life time.Duration) (string, admin.JoinToken, error) {
	if n.keys == nil {
		return "", admin.JoinToken{}, errNoTLS()
	}
	if err := n.awaitAuthority(ctx); err != nil {
		return "", admin.JoinToken{}, err
	}
	for {
		var rev uint64
		var authority fsm.Authority
		n.State(func(s *fsm.State) { rev, authority = s.Trust().Rev, s.Trust().Authority() })
		t, now := trust.NewJoinToken(authority.Epoch, authority.Cert), time.Now()
		stored := fsm.JoinToken{ID: t.ID, Hash: t.Hash(), Expires: now.Add(life).UnixMilli()}
		res, err := n.command(ctx, func(*fsm.State) fsm.Command {
			return &fsm.PutJoinToken{Rev: rev, Token: stored, Now: now.UnixMilli()}
		})
		switch {
		case res.Code == fsm.Conflict && ctx.Err() == nil:
			if err := n.catchUp(ctx); err != nil {
				return "", admin.JoinToken{}, fmt.Errorf("%w: %w", admin.ErrNoQuorum, err)
			}
		case err != nil:
			return "", admin.JoinToken{}, err
		default:
			return t.Text(), joinToken(stored, authority.Epoch), nil
		}
	}
}

// joinToken describes a join token, where the authority in use is that of an epoch.
func joinToken(t fsm.JoinToken, inUse uint64) admin.JoinToken {
	of, ok := trust.JoinTokenEpoch(t.ID)
	return admin.JoinToken{ID: t.ID, ExpiresMS: t.Expires, Used: t.Used, Outdated: ok && of < inUse}
}

// JoinTokens implements admin.Backend.
func (n *Node) JoinTokens() []admin.JoinToken {
	out := []admin.JoinToken{}
	n.State(func(s *fsm.State) {
		for _, t := range s.Trust().JoinTokens() {
			out = append(out, joinToken(t, s.Trust().Epoch))
		}
	})
	return out
}

// RevokeJoinToken implements admin.Backend.
func (n *Node) RevokeJoinToken(ctx context.Context, id string) error {
	res, err := n.command(ctx, func(*fsm.State) fsm.Command { return &fsm.DropJoinToken{ID: id} })
	if err == nil && res.Code == fsm.Old {
		return admin.WithHint(fmt.Errorf("%w: join token %q", admin.ErrNotFound, id), "`botnode join-token list` shows the tokens")
	}
	return err
}

// HasKeys reports whether this node has, or is about to get, a certificate of its
// cluster.
func (n *Node) HasKeys() bool { return n.keys != nil }

// Certificate returns this node's certificate with its chain; an error while it
// has none.
func (n *Node) Certificate() (*tls.Certificate, error) {
	if n.keys == nil {
		return nil, trust.ErrNoCertificate
	}
	return n.keys.Certificate()
}

// TLS implements admin.Backend.
func (n *Node) TLS() admin.TLS {
	out := admin.TLS{Members: []admin.TLSMember{}, Authorities: []admin.TLSAuthority{}}
	if n.keys == nil {
		return out
	}
	out.Enabled = true
	n.State(func(s *fsm.State) {
		t := s.Trust()
		out.Epoch, out.Next = t.Epoch, t.Next
		for _, a := range t.Authorities {
			out.Authorities = append(out.Authorities, admin.TLSAuthority{Epoch: a.Epoch, Fingerprint: trust.Fingerprint(a.Cert), Certificate: trust.PEM(a.Cert)})
		}
		for _, id := range t.Members() {
			m, _ := t.Member(id)
			out.Members = append(out.Members, admin.TLSMember{
				ID: id, Holds: m.Holds, Certificate: m.Cert, NotAfter: time.Unix(m.NotAfter, 0).UTC(),
				Behind: t.Next != 0 && (m.Holds < t.Next || t.Epoch == t.Next && m.Cert < t.Next),
			})
		}
	})
	return out
}

// RotateTLS implements admin.Backend.
func (n *Node) RotateTLS(ctx context.Context) error {
	if n.keys == nil {
		return errNoTLS()
	}
	if err := n.catchUp(ctx); err != nil {
		return fmt.Errorf("%w: %w", admin.ErrNoQuorum, err)
	}
	var rev, epoch uint64
	n.State(func(s *fsm.State) { rev, epoch = s.Trust().Rev, s.Trust().Epoch })
	secret, ok := n.keys.Secret(epoch)
	if !ok {
		return fmt.Errorf("%w: this node hasn't the secret in use yet", admin.ErrNotReady)
	}
	next := trust.NewSecret(epoch + 1)
	a, err := trust.NewAuthority(n.ClusterID(), next.Epoch, time.Now())
	if err != nil {
		return err
	}
	sealed, err := a.SealKey(next)
	if err != nil {
		return err
	}
	res, err := n.command(ctx, func(*fsm.State) fsm.Command {
		return &fsm.Rotate{
			Rev: rev, Authority: fsm.Authority{Epoch: next.Epoch, Cert: a.Cert.Raw, Key: sealed},
			Secret: fsm.SealedSecret{Epoch: next.Epoch, Under: epoch, Box: trust.SealNext(secret, next)},
		}
	})
	if res.Code == fsm.Conflict {
		return fmt.Errorf("%w: %s", admin.ErrConflict, res.Msg)
	}
	if err == nil {
		n.log.Info("a rotation of the cluster's keys has begun", zap.Uint64("epoch", next.Epoch))
	}
	return err
}

// BackupKey implements admin.Backend.
func (n *Node) BackupKey() (string, error) {
	if n.keys == nil {
		return "", errNoTLS()
	}
	secret, ok := n.keys.Current()
	if !ok {
		return "", fmt.Errorf("%w: %w", admin.ErrNotInCluster, trust.ErrNoCertificate)
	}
	return secret.BackupKey().Text(), nil
}

// reenrol gets a member whose certificate has expired a new one, with a join
// token: no other node would speak to it.
func (n *Node) reenrol() {
	for n.ctx.Err() == nil {
		err := errors.New("no node to ask: give one with --join")
		for _, peer := range n.o.Join {
			if err = n.enrol(n.ctx, peer, n.o.JoinToken); err == nil {
				return
			}
		}
		n.log.Error("the node's certificate has expired; a join token gets it a new one",
			zap.String("code", "certificate_expired"), zap.Time("not_after", n.keys.NotAfter()), zap.Error(err))
		_ = pause(n.ctx, 10*time.Second)
	}
}

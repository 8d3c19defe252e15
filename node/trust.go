package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/transport"
	"github.com/botnode/botnode/trust"
)

// ErrPlainCluster is returned by New for a directory whose cluster has no TLS,
// where TLS is wanted.
var ErrPlainCluster = errors.New("this directory belongs to a cluster without TLS between its nodes: start it with --insecure, " +
	"or save a snapshot there and restore it into a new cluster that has TLS. If that cluster has TLS, this node's trust.json is gone: " +
	"restore the file, or remove the node from its cluster, empty its --data-dir and join again with a join token")

// ErrKeysGone is returned by New, and given to Options.Fatal, for a directory
// whose cluster has TLS and whose keys are gone: the node would serve the
// cluster's state to anybody.
var ErrKeysGone = errors.New("this directory belongs to a cluster with TLS between its nodes, and this node's trust.json is gone: " +
	"restore the file, or remove the node from its cluster, empty its --data-dir and join again with a join token")

// keysMissing reports that the cluster has TLS and this node has no keys.
func (n *Node) keysMissing() (yes bool) {
	n.State(func(s *fsm.State) { yes = n.keys == nil && s.Trust().Epoch != 0 })
	return yes
}

// openTrust decides whether this node speaks TLS to the others, and opens its
// keys if it does. Beyond loopback it does unless --insecure is given.
func (n *Node) openTrust() error {
	var place trust.Place = trust.Directory(n.o.DataDir)
	if n.o.Memory != nil {
		place = n.o.Memory.trust
	}
	keys, err := trust.OpenKeychain(place, n.o.ID)
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(n.o.ClusterAddr)
	beyond := err == nil && !transport.IsLoopback(host) && !n.o.Insecure
	if !keys.Ready() && !n.o.ClusterTLS && n.o.JoinToken == "" && !beyond {
		return nil
	}
	if !keys.Ready() && n.ClusterID() != "" {
		return ErrPlainCluster
	}
	if n.o.BootstrapExpect > 0 && !keys.Ready() {
		return errors.New("--bootstrap-expect makes clusters without TLS alone: start one node with --bootstrap, and let the others join it with --join-token-file")
	}
	keys.Refuse = n.refuseHolder
	n.keys = keys
	_, n.sealed = keys.Secrets()
	return nil
}

// refuseHolder refuses the certificates of nodes that were removed.
func (n *Node) refuseHolder(h trust.Holder) error {
	if text := n.former(h.ClusterID); text != "" {
		return errors.New(text)
	}
	revoked := false
	n.State(func(s *fsm.State) { revoked = s.Trust().Revoked(h.ID, h.Enrolment) })
	if revoked {
		return fmt.Errorf("node %s was removed from the cluster, or its id was given to another: it can join again with an empty --data-dir and a join token", h.ID)
	}
	return nil
}

// credentials are the node's for the transport; nil without TLS.
func (n *Node) credentials() transport.Credentials {
	if n.keys == nil {
		return nil // not a nil *Keychain in an interface
	}
	return n.keys
}

// hosts are the names and addresses under which clients of the admin API may
// reach this node.
func (n *Node) hosts() []string {
	out := []string{"localhost", "127.0.0.1", "::1"}
	for _, addr := range []string{n.transport.Addr(), n.o.HTTPAddr} {
		host, _, err := net.SplitHostPort(addr)
		if ip := net.ParseIP(host); err == nil && host != "" && (ip == nil || !ip.IsUnspecified()) && !slices.Contains(out, host) {
			out = append(out, host)
		}
	}
	return out
}

// useKeys has gossip use the keys that this node holds.
func (n *Node) useKeys() error {
	if n.keys == nil || !n.keys.Ready() {
		return nil
	}
	secrets, inUse := n.keys.Secrets()
	var keys [][]byte
	for _, s := range slices.Backward(secrets) {
		switch {
		case s.Epoch == inUse:
			keys = slices.Insert(keys, 0, s.GossipKey())
		case n.gossips(s.Epoch):
			keys = append(keys, s.GossipKey())
		}
	}
	return n.members.SetKeys(keys)
}

// gossips reports whether others may still, or already, gossip with the secret
// of an epoch: while a rotation goes on, that before and that after it.
func (n *Node) gossips(epoch uint64) (yes bool) {
	n.State(func(s *fsm.State) {
		t := s.Trust()
		yes = t.Next != 0 && (epoch == t.Next || epoch+1 == t.Next)
	})
	return yes
}

// found makes the keys of the cluster that this node founds.
func (n *Node) found(clusterID string) error {
	if n.keys == nil {
		return nil
	}
	if err := n.keys.Found(clusterID, n.hosts(), time.Now()); err != nil {
		return err
	}
	return n.useKeys()
}

// establishTrust brings a founder's authority into the replicated state.
func (n *Node) establishTrust(ctx context.Context) error {
	if n.keys == nil {
		return nil
	}
	c, pending := n.keys.Founding()
	if !pending {
		return nil
	}
	res, err := n.propose(ctx, func(*fsm.State) fsm.Command {
		return &fsm.Charter{Node: n.o.ID, Authority: fsm.Authority{Epoch: 1, Cert: c.Cert, Key: c.SealedKey}, NotAfter: c.NotAfter}
	})
	switch {
	case err != nil:
		return err
	case res.Code != fsm.OK && res.Code != fsm.Old: // such as rules that aren't in force yet
		return errors.New(res.Msg)
	}
	return n.keys.Founded()
}

// renewCheck is how often a node looks whether its certificate ends soon.
const renewCheck = 10 * time.Minute

// followTrust keeps this node's keys in line with the replicated state: it takes
// the steps of a rotation, and renews its certificate.
func (n *Node) followTrust() {
	if n.keys == nil {
		n.expectNoTrust()
		return
	}
	var seen uint64
	failed := false
	for n.ctx.Err() == nil {
		changed := n.machine.Changed()
		var t trustView
		n.State(func(s *fsm.State) { t = viewTrust(s.Trust(), n.o.ID) })
		wait := renewCheck
		if t.rev != seen || failed || n.certificateEnds() {
			err := n.keepUp(t)
			if failed = err != nil; failed {
				n.log.Warn("the node's keys could not be brought up to date; trying again", zap.String("code", "trust_behind"), zap.Error(err))
				wait = time.Second
			}
			seen = t.rev
		}
		if !n.waitTrust(changed, t.rev, wait) {
			return
		}
	}
}

// expectNoTrust ends a node without keys as it learns, by its log, that its
// cluster has TLS.
func (n *Node) expectNoTrust() {
	for changed := n.machine.Changed(); !n.keysMissing(); changed = n.machine.Changed() {
		if !n.waitTrust(changed, 0, renewCheck) {
			return
		}
	}
	n.log.Error("this node's keys are gone", zap.String("code", "keys_gone"), zap.Error(ErrKeysGone))
	n.o.Fatal(ErrKeysGone)
}

// closeRemoved closes the connections to and from nodes as they are removed:
// nobody asks for a certificate again once a connection stands.
func (n *Node) closeRemoved() {
	if n.keys == nil {
		return
	}
	for {
		changed := n.machine.Changed()
		var rev uint64
		n.State(func(s *fsm.State) { rev = s.Trust().Rev })
		n.transport.CloseRefused(n.keys.Refuses)
		if !n.waitTrust(changed, rev, renewCheck) {
			return
		}
	}
}

// waitTrust waits until the trust has another revision than rev, or for wait.
func (n *Node) waitTrust(changed <-chan struct{}, rev uint64, wait time.Duration) bool {
	return n.waitState(changed, wait, func(s *fsm.State) bool { return s.Trust().Rev == rev })
}

// trustView is what a node needs of the replicated trust.
type trustView struct {
	rev, epoch, next uint64
	roots            [][]byte
	sealed           []trust.SealedSecret
	authority        fsm.Authority // in use
	member           fsm.Member
	known            bool // this node is a member
}

func viewTrust(t *fsm.Trust, id string) trustView {
	v := trustView{rev: t.Rev, epoch: t.Epoch, next: t.Next, authority: t.Authority()}
	for _, a := range t.Authorities {
		v.roots = append(v.roots, a.Cert)
	}
	if len(t.Secret.Box) > 0 {
		v.sealed = []trust.SealedSecret{{Epoch: t.Secret.Epoch, Under: t.Secret.Under, Box: t.Secret.Box}}
	}
	v.member, v.known = t.Member(id)
	return v
}

func (n *Node) certificateEnds() bool {
	return n.keys.Ready() && time.Until(n.keys.NotAfter()) < trust.RenewBefore
}

// keepUp takes what the state has and this node has not, and reports it. A state
// of before this node's enrolment, or of before what its keys follow, is one that
// is being replayed: what it says of certificates holds no more.
func (n *Node) keepUp(t trustView) error {
	if t.epoch == 0 || !n.keys.Ready() || t.rev < n.keys.Rev() || !t.known || t.member.Enrolment != n.keys.Holder().Enrolment {
		return nil
	}
	if err := n.keys.Learn(t.roots, t.sealed, t.epoch, t.rev); err != nil {
		return err
	}
	if err := n.useKeys(); err != nil {
		return err
	}
	signed := n.keys.SignedBy(t.authority.Cert)
	if !signed || n.certificateEnds() {
		if err := n.renew(t); err != nil {
			return err
		}
		signed = true
	}
	if err := n.reportHold(t, signed); err != nil {
		return err
	}
	return n.sealSnapshot(t)
}

// sealSnapshot replaces this node's snapshot once a rotation is through. A quiet
// cluster takes one seldom: it would outlive the secret that opens it, of which a
// node keeps so many.
func (n *Node) sealSnapshot(t trustView) error {
	if t.next != 0 || t.epoch == n.sealed {
		return nil
	}
	if t.epoch > 1 {
		if err := n.raft.Load().Snapshot(n.ctx); err != nil && !errors.Is(err, consensus.ErrNothingToSnapshot) {
			return err
		}
	}
	n.sealed = t.epoch
	return nil
}

// renew makes out a new certificate for this node: whoever holds the secret can
// open the authority's key.
func (n *Node) renew(t trustView) error {
	a, err := n.authority(t.authority)
	if err != nil {
		return err
	}
	r, err := trust.NewRequest(n.hosts())
	if err != nil {
		return err
	}
	cert, err := a.Sign(r.CSR, n.keys.Holder(), time.Now())
	if err != nil {
		return err
	}
	n.log.Info("the node's certificate is renewed", zap.Uint64("epoch", t.authority.Epoch))
	return n.keys.Accept(r, trust.Grant{ClusterID: n.keys.Holder().ClusterID, Cert: cert, Roots: t.roots})
}

// authority opens the key of a replicated authority.
func (n *Node) authority(a fsm.Authority) (*trust.Authority, error) {
	secret, ok := n.keys.Secret(a.Epoch)
	if !ok {
		return nil, fmt.Errorf("the secret of epoch %d: %w", a.Epoch, trust.ErrNoKey)
	}
	return trust.OpenAuthority(secret, a.Cert, a.Key)
}

// reportHold tells the cluster what this node has on its disk.
func (n *Node) reportHold(t trustView, signed bool) error {
	secrets, _ := n.keys.Secrets()
	cmd := &fsm.Hold{
		Node: n.o.ID, Enrolment: n.keys.Holder().Enrolment,
		Holds: min(secrets[len(secrets)-1].Epoch, max(t.epoch, t.next)), NotAfter: n.keys.NotAfter().Unix(),
	}
	if signed {
		cmd.Cert = t.authority.Epoch
	}
	if t.member.Holds >= cmd.Holds && t.member.Cert >= cmd.Cert && t.member.NotAfter >= cmd.NotAfter {
		return nil
	}
	ctx, cancel := context.WithTimeout(n.ctx, opTimeout)
	defer cancel()
	_, err := n.propose(ctx, func(*fsm.State) fsm.Command { return cmd })
	return err
}

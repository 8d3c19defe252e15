package trust

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Place keeps a keychain's bytes.
type Place interface {
	// Read returns os.ErrNotExist where nothing was ever written.
	Read() ([]byte, error)
	// Write makes b durable before it returns.
	Write(b []byte) error
}

// record is what is written. It holds keys in clear: whoever reads it is the
// node. Its file has mode 0600.
type record struct {
	Format    int      `json:"format"`
	ClusterID string   `json:"cluster_id"`
	NodeID    string   `json:"node_id"`
	Secrets   []Secret `json:"secrets"` // by epoch; old ones open old snapshots
	InUse     uint64   `json:"in_use"`  // the epoch of the secret to seal with
	Key       []byte   `json:"key"`     // of the node, SEC 1 DER
	Chain     [][]byte `json:"chain"`   // the node's certificate and its authority's, DER
	Roots     [][]byte `json:"roots"`   // the authorities whose certificates are believed, DER
	// Founding is the authority that this node made with its cluster, until it
	// stands in the replicated state.
	Founding *Charter `json:"founding,omitempty"`
}

// Charter is what a founder brings into the replicated state.
type Charter struct {
	Cert      []byte `json:"cert"`       // DER
	SealedKey []byte `json:"sealed_key"` // under the secret of epoch 1
	NotAfter  int64  `json:"not_after"`  // of the founder's own certificate, Unix seconds
}

const (
	keychainFormat = 1
	// keptSecrets bounds how many versions of the secret a node keeps.
	keptSecrets = 16
)

// Keychain is what one node holds: its key and certificate, the authorities it
// believes, the cluster's secrets. Each change is durable before it holds. It is
// safe for concurrent use; reading doesn't block.
type Keychain struct {
	place Place
	id    string
	// Refuse, if set, is asked about the holder of a certificate that is good
	// otherwise; its error says why the holder is refused. Set before use.
	Refuse func(Holder) error

	mu   sync.Mutex // serializes changes
	live atomic.Pointer[state]
}

// state is what holds now. It is replaced, never changed.
type state struct {
	rec    record
	own    tls.Certificate // Leaf set; zero without a certificate
	holder Holder
	roots  []*x509.Certificate
}

// Errors of a keychain.
var (
	// ErrNoCertificate is returned while the node belongs to no cluster yet.
	ErrNoCertificate = errors.New("this node has no certificate yet: it belongs to no cluster")
	// ErrCorruptKeychain is returned for a file that can't be what was written.
	ErrCorruptKeychain = errors.New("the keys of this node can't be read (trust.json): restore the file, " +
		"or remove the node from its cluster, empty its --data-dir and join again with a join token")
	// ErrOtherNode is returned for the keys of another node.
	ErrOtherNode = errors.New("the keys in this directory belong to another node")
)

// OpenKeychain reads what place holds. A place without anything is a node that
// belongs to no cluster.
func OpenKeychain(place Place, nodeID string) (*Keychain, error) {
	k := &Keychain{place: place, id: nodeID}
	b, err := place.Read()
	if errors.Is(err, os.ErrNotExist) {
		k.live.Store(new(state))
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("trust.json: %w", err)
	}
	var rec record
	if err := json.Unmarshal(b, &rec); err != nil || rec.Format != keychainFormat {
		return nil, ErrCorruptKeychain
	}
	s, err := rec.open()
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrCorruptKeychain, err)
	}
	if rec.NodeID != nodeID {
		return nil, fmt.Errorf("%w (%q, this is %q)", ErrOtherNode, rec.NodeID, nodeID)
	}
	k.live.Store(s)
	return k, nil
}

// open parses what rec holds.
func (rec record) open() (*state, error) {
	s := &state{rec: rec}
	if len(rec.Secrets) == 0 || len(rec.Chain) == 0 {
		return nil, errors.New("incomplete")
	}
	key, err := x509.ParseECPrivateKey(rec.Key)
	if err != nil {
		return nil, errors.New("the node's key") // the error may hold a part of it
	}
	leaf, err := x509.ParseCertificate(rec.Chain[0])
	if err != nil {
		return nil, err
	}
	if s.holder, err = holderOf(leaf); err != nil {
		return nil, err
	}
	if pub, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || !pub.Equal(key.Public()) {
		return nil, errors.New("the node's certificate is of another key")
	}
	s.own = tls.Certificate{Certificate: rec.Chain, PrivateKey: key, Leaf: leaf}
	for _, der := range rec.Roots {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		s.roots = append(s.roots, root)
	}
	return s, nil
}

// change writes what f makes of the record, and then lets it hold.
func (k *Keychain) change(f func(*record) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	rec := k.live.Load().rec
	rec.Format, rec.NodeID = keychainFormat, k.id
	rec.Secrets, rec.Roots, rec.Chain = slices.Clone(rec.Secrets), slices.Clone(rec.Roots), slices.Clone(rec.Chain)
	if err := f(&rec); err != nil {
		return err
	}
	s, err := rec.open()
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	if err := k.place.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("trust.json: %w", err)
	}
	k.live.Store(s)
	return nil
}

// Ready reports whether the node has a certificate.
func (k *Keychain) Ready() bool { return k.live.Load().own.Leaf != nil }

// Holder is whom the node's own certificate is made out to; zero without one.
func (k *Keychain) Holder() Holder { return k.live.Load().holder }

// Certificate returns the node's certificate with its chain.
func (k *Keychain) Certificate() (*tls.Certificate, error) {
	s := k.live.Load()
	if s.own.Leaf == nil {
		return nil, ErrNoCertificate
	}
	return &s.own, nil
}

// NotAfter is the end of the node's certificate; zero without one.
func (k *Keychain) NotAfter() time.Time {
	if leaf := k.live.Load().own.Leaf; leaf != nil {
		return leaf.NotAfter
	}
	return time.Time{}
}

// SignedBy reports whether the node's certificate is of an authority, DER.
func (k *Keychain) SignedBy(authority []byte) bool {
	chain := k.live.Load().rec.Chain
	return len(chain) > 1 && string(chain[1]) == string(authority)
}

// Verify returns the node that a chain is made out to, if an authority that is
// believed signed it and the node isn't refused.
func (k *Keychain) Verify(chain []*x509.Certificate) (string, error) {
	s := k.live.Load()
	if len(chain) == 0 {
		return "", errors.New("the other end shows no certificate: it isn't a node of this cluster")
	}
	h, err := verify(chain[0], s.roots)
	switch {
	case err != nil:
		return "", err
	case k.Refuse != nil:
		err = k.Refuse(h)
	}
	switch {
	case err != nil:
		return "", err
	case h.ClusterID != s.holder.ClusterID:
		return "", fmt.Errorf("the certificate is of cluster %s", h.ClusterID)
	}
	return h.ID, nil
}

// verify checks a leaf against roots. Host names aren't looked at: who answers
// counts, wherever it answers.
func verify(leaf *x509.Certificate, roots []*x509.Certificate) (Holder, error) {
	pool := x509.NewCertPool()
	for _, r := range roots {
		pool.AddCert(r)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			return Holder{}, fmt.Errorf("the certificate isn't valid now (%s to %s): compare the clocks, or let the node join again with a join token",
				leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339))
		}
		return Holder{}, fmt.Errorf("the certificate isn't of this cluster's authority: %w", err)
	}
	return holderOf(leaf)
}

// Secrets returns the cluster's secrets by epoch, and the epoch in use.
func (k *Keychain) Secrets() (all []Secret, inUse uint64) {
	s := k.live.Load()
	return s.rec.Secrets, s.rec.InUse
}

// Secret returns the secret of an epoch.
func (k *Keychain) Secret(epoch uint64) (Secret, bool) {
	for _, s := range k.live.Load().rec.Secrets {
		if s.Epoch == epoch {
			return s, true
		}
	}
	return Secret{}, false
}

// Current returns the secret to seal with; false without one.
func (k *Keychain) Current() (Secret, bool) { return k.Secret(k.live.Load().rec.InUse) }

// BackupKey finds the backup key of an epoch, as NewReader wants it.
func (k *Keychain) BackupKey(epoch uint64) (BackupKey, bool) {
	s, ok := k.Secret(epoch)
	return s.BackupKey(), ok
}

// Roots returns the authorities that are believed, DER.
func (k *Keychain) Roots() [][]byte { return k.live.Load().rec.Roots }

// Founding returns what the founder has still to bring into the state.
func (k *Keychain) Founding() (Charter, bool) {
	if c := k.live.Load().rec.Founding; c != nil {
		return *c, true
	}
	return Charter{}, false
}

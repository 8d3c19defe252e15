package trust

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Found makes the secret and the authority of a new cluster, and this node's
// certificate. Repeated for the same cluster it does nothing: a crash may come
// between this and the cluster's first entry.
func (k *Keychain) Found(clusterID string, hosts []string, now time.Time) error {
	if s := k.live.Load(); s.rec.ClusterID == clusterID {
		return nil
	} else if s.rec.ClusterID != "" {
		return fmt.Errorf("this node has keys of cluster %s", s.rec.ClusterID)
	}
	secret := NewSecret(1)
	a, err := NewAuthority(clusterID, secret.Epoch, now)
	if err != nil {
		return err
	}
	sealed, err := a.SealKey(secret)
	if err != nil {
		return err
	}
	key, request, err := newRequest(hosts)
	if err != nil {
		return err
	}
	cert, err := a.Sign(request, Holder{ClusterID: clusterID, ID: k.id, Enrolment: 1}, now)
	if err != nil {
		return err
	}
	return k.change(func(rec *record) error {
		rec.ClusterID, rec.Secrets, rec.InUse = clusterID, []Secret{secret}, secret.Epoch
		rec.Roots = [][]byte{a.Cert.Raw}
		leaf, err := x509.ParseCertificate(cert)
		if err != nil {
			return err
		}
		rec.Founding = &Charter{Cert: a.Cert.Raw, SealedKey: sealed, NotAfter: leaf.NotAfter.Unix()}
		return rec.hold(key, cert)
	})
}

// hold takes a certificate for key, with the authority that signed it.
func (rec *record) hold(key *ecdsa.PrivateKey, cert []byte) error {
	leaf, err := x509.ParseCertificate(cert)
	if err != nil {
		return fmt.Errorf("the certificate: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	for _, root := range rec.Roots {
		r, err := x509.ParseCertificate(root)
		if err == nil && leaf.CheckSignatureFrom(r) == nil {
			rec.Key, rec.Chain = der, [][]byte{cert, root}
			return nil
		}
	}
	return errors.New("the certificate is of no authority that this node believes")
}

// Founded notes that the founder's charter stands in the replicated state.
func (k *Keychain) Founded() error {
	return k.change(func(rec *record) error {
		rec.Founding = nil
		return nil
	})
}

// Request is a key and a request for a certificate of it, until the answer
// comes. It is kept in memory alone.
type Request struct {
	key *ecdsa.PrivateKey
	CSR []byte // DER
}

// NewRequest makes a key, and a request for a certificate that is good for hosts.
func NewRequest(hosts []string) (*Request, error) {
	key, csr, err := newRequest(hosts)
	return &Request{key: key, CSR: csr}, err
}

// Grant is what a node gets with its certificate.
type Grant struct {
	ClusterID string   `json:"cluster_id"`
	Cert      []byte   `json:"cert"`
	Roots     [][]byte `json:"roots"`
	// Secrets and InUse are set for a node that enrols, and unset for one that
	// renews its certificate.
	Secrets []Secret `json:"secrets,omitempty"`
	InUse   uint64   `json:"in_use,omitempty"`
}

// String hides the secrets from logs.
func (g Grant) String() string { return "grant of cluster " + g.ClusterID }

// GoString hides the secrets from logs.
func (g Grant) GoString() string { return g.String() }

// Accept takes what was granted.
func (k *Keychain) Accept(r *Request, g Grant) error {
	return k.change(func(rec *record) error {
		if rec.ClusterID != "" && rec.ClusterID != g.ClusterID {
			return fmt.Errorf("this node has keys of cluster %s, and was granted those of %s", rec.ClusterID, g.ClusterID)
		}
		rec.ClusterID = g.ClusterID
		for _, root := range g.Roots {
			rec.believe(root)
		}
		for _, s := range g.Secrets {
			rec.keep(s)
		}
		if g.InUse > rec.InUse {
			rec.InUse = g.InUse
		}
		return rec.hold(r.key, g.Cert)
	})
}

func (rec *record) believe(root []byte) {
	if !slices.ContainsFunc(rec.Roots, func(r []byte) bool { return string(r) == string(root) }) {
		rec.Roots = append(rec.Roots, root)
	}
}

func (rec *record) keep(s Secret) {
	if slices.ContainsFunc(rec.Secrets, func(have Secret) bool { return have.Epoch == s.Epoch }) {
		return
	}
	rec.Secrets = append(rec.Secrets, s)
	slices.SortFunc(rec.Secrets, func(a, b Secret) int { return int(a.Epoch) - int(b.Epoch) }) //nolint:gosec // small
	if n := len(rec.Secrets); n > keptSecrets {
		rec.Secrets = rec.Secrets[n-keptSecrets:]
	}
}

// Rename makes the node's certificate one of another cluster, with the same
// authority and secrets: a cluster that lost its majority goes on under a new id.
func (k *Keychain) Rename(clusterID string, a *Authority, now time.Time) error {
	own := k.live.Load().own.Leaf
	if own == nil {
		return ErrNoCertificate
	}
	hosts := slices.Clone(own.DNSNames)
	for _, ip := range own.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	r, err := NewRequest(hosts)
	if err != nil {
		return err
	}
	h := k.Holder()
	h.ClusterID = clusterID
	cert, err := a.Sign(r.CSR, h, now)
	if err != nil {
		return err
	}
	return k.change(func(rec *record) error {
		rec.ClusterID = clusterID
		return rec.hold(r.key, cert)
	})
}

// sealSecret is the purpose for which the next secret is sealed under the one before.
const sealSecret = "next secret"

// SealNext seals a secret under the one before it, for the nodes that hold that.
func SealNext(under, next Secret) []byte {
	return under.Seal(sealSecret, fmt.Sprint(next.Epoch), next.Key[:])
}

// Learn follows the replicated state in a rotation: the authorities that are
// believed from here on, the secrets that it brings, each sealed under the one
// before, and the epoch in use. The node's own authority is believed as long as
// its certificate is of it.
func (k *Keychain) Learn(roots [][]byte, sealed []SealedSecret, inUse uint64) error {
	return k.change(func(rec *record) error {
		for _, s := range sealed {
			if err := rec.unseal(s); err != nil {
				return err
			}
		}
		if !slices.ContainsFunc(rec.Secrets, func(s Secret) bool { return s.Epoch == inUse }) {
			return fmt.Errorf("the secret of epoch %d: %w", inUse, ErrNoKey)
		}
		rec.InUse = inUse
		rec.Roots = slices.Clone(roots)
		if len(rec.Chain) > 1 {
			rec.believe(rec.Chain[1])
		}
		return nil
	})
}

// SealedSecret is a secret as it is replicated.
type SealedSecret struct {
	Epoch, Under uint64
	Box          []byte
}

func (rec *record) unseal(s SealedSecret) error {
	for _, have := range rec.Secrets {
		if have.Epoch == s.Epoch {
			return nil
		}
	}
	for _, under := range rec.Secrets {
		if under.Epoch != s.Under {
			continue
		}
		key, err := under.Unseal(sealSecret, fmt.Sprint(s.Epoch), s.Box)
		if err != nil || len(key) != KeySize {
			return fmt.Errorf("the secret of epoch %d: %w", s.Epoch, ErrSealed)
		}
		rec.keep(Secret{Epoch: s.Epoch, Key: [KeySize]byte(key)})
		return nil
	}
	return fmt.Errorf("the secret of epoch %d is sealed under that of epoch %d: %w", s.Epoch, s.Under, ErrNoKey)
}

package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// How long certificates hold. A node renews its own long before the end; an
// authority lives until `botnode tls rotate` replaces it.
const (
	authorityLife   = 20 * 365 * 24 * time.Hour
	CertificateLife = 90 * 24 * time.Hour
	// RenewBefore is how long before its end a certificate is renewed.
	RenewBefore = 60 * 24 * time.Hour
	// skew is how far nodes' clocks may differ.
	skew = time.Hour
)

// Authority signs the certificates of a cluster's nodes.
type Authority struct {
	Epoch uint64 // of the secret that its key is sealed under
	Cert  *x509.Certificate
	key   *ecdsa.PrivateKey
}

// sealAuthority is the purpose for which an authority's key is sealed.
const sealAuthority = "authority"

// NewAuthority makes the authority of an epoch.
func NewAuthority(clusterID string, epoch uint64, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: fmt.Sprintf("botnode cluster %s, epoch %d", clusterID, epoch)},
		NotBefore:    now.Add(-skew), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &Authority{Epoch: epoch, Cert: cert, key: key}, err
}

// OpenAuthority puts an authority together of what is replicated of it.
func OpenAuthority(s Secret, cert, sealedKey []byte) (*Authority, error) {
	c, err := x509.ParseCertificate(cert)
	if err != nil {
		return nil, fmt.Errorf("the cluster's authority: %w", err)
	}
	der, err := s.Unseal(sealAuthority, Fingerprint(cert), sealedKey)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("the cluster's authority: %w", err)
	}
	return &Authority{Epoch: s.Epoch, Cert: c, key: key}, nil
}

// SealKey seals the authority's key under the secret of its epoch.
func (a *Authority) SealKey(s Secret) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(a.key)
	if err != nil {
		return nil, err
	}
	return s.Seal(sealAuthority, Fingerprint(a.Cert.Raw), der), nil
}

// Fingerprint is the hash by which join tokens name an authority: SHA-256 of
// its certificate, in URL-safe base64.
func Fingerprint(cert []byte) string {
	sum := sha256.Sum256(cert)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// PEM returns a certificate in the form that other programs read.
func PEM(cert []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return n
}

// Holder is whom a node's certificate is made out to.
type Holder struct {
	ClusterID string
	ID        string
	// Enrolment is the number of the admission that the certificate goes back
	// to. It tells a node from an earlier one of its id that was removed.
	Enrolment uint64
}

const holderScheme = "botnode"

func (h Holder) uri() *url.URL {
	return &url.URL{Scheme: holderScheme, Host: h.ClusterID, Path: "/" + h.ID + "/" + strconv.FormatUint(h.Enrolment, 10)}
}

// holderOf reads who a certificate is made out to.
func holderOf(c *x509.Certificate) (Holder, error) {
	for _, u := range c.URIs {
		id, enrolment, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		n, err := strconv.ParseUint(enrolment, 10, 64)
		if u.Scheme == holderScheme && ok && err == nil && id != "" {
			return Holder{ClusterID: u.Host, ID: id, Enrolment: n}, nil
		}
	}
	return Holder{}, errors.New("the certificate names no node")
}

// Sign makes out a certificate for the public key of a request. Nothing of the
// request is believed but the key and the host names, which matter to the admin
// API's clients alone: nodes ask who, not where.
func (a *Authority) Sign(request []byte, h Holder, now time.Time) ([]byte, error) {
	r, err := x509.ParseCertificateRequest(request)
	if err == nil {
		err = r.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("the request for a certificate: %w", err)
	}
	if len(r.DNSNames)+len(r.IPAddresses) > maxHosts {
		return nil, errors.New("the request for a certificate names too many hosts")
	}
	end := now.Add(CertificateLife)
	if end.After(a.Cert.NotAfter) {
		end = a.Cert.NotAfter
	}
	t := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: h.ID},
		NotBefore:    now.Add(-skew), NotAfter: end,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{h.uri()},
		DNSNames:    r.DNSNames, IPAddresses: r.IPAddresses,
		BasicConstraintsValid: true,
	}
	return x509.CreateCertificate(rand.Reader, t, a.Cert, r.PublicKey, a.key)
}

// maxHosts bounds the host names of a certificate.
const maxHosts = 16

// newRequest makes a key and a request for a certificate of it.
func newRequest(hosts []string) (key *ecdsa.PrivateKey, request []byte, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, err
	}
	t := new(x509.CertificateRequest)
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else if h != "" {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	request, err = x509.CreateCertificateRequest(rand.Reader, t, key)
	return key, request, err
}

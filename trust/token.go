package trust

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// JoinToken lets a machine become a node: it shows its secret to the cluster
// that the fingerprint names, and to nobody else.
type JoinToken struct {
	ID          string // names it among others; no secret
	Fingerprint string // of the cluster's authority
	Secret      string
}

const joinTokenPrefix = "bnjoin"

// NewJoinToken makes a token for the cluster of an authority's certificate, which is
// that of an epoch.
func NewJoinToken(epoch uint64, authority []byte) JoinToken {
	id, secret := make([]byte, 4), make([]byte, 32)
	_, _ = rand.Read(id) // never fails
	_, _ = rand.Read(secret)
	return JoinToken{
		ID: fmt.Sprintf("%x-%d", id, epoch), Fingerprint: Fingerprint(authority), Secret: base64.RawURLEncoding.EncodeToString(secret),
	}
}

// JoinTokenEpoch is the epoch of the authority that a join token names, by its id.
// The ids of first builds don't say.
func JoinTokenEpoch(id string) (epoch uint64, ok bool) {
	_, text, _ := strings.Cut(id, "-")
	epoch, err := strconv.ParseUint(text, 10, 64)
	return epoch, err == nil
}

// Text is the form in which a token is handed over.
func (t JoinToken) Text() string {
	return strings.Join([]string{joinTokenPrefix, t.ID, t.Fingerprint, t.Secret}, ".")
}

// String hides the secret from logs.
func (t JoinToken) String() string { return "join token " + t.ID }

// GoString hides the secret from logs.
func (t JoinToken) GoString() string { return t.String() }

// Hash is what the cluster keeps of the secret.
func (t JoinToken) Hash() [32]byte { return sha256.Sum256([]byte(t.Secret)) }

// Shown compares, in constant time, a secret with the hash that the cluster has.
func Shown(secret string, hash [32]byte) bool {
	sum := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(sum[:], hash[:]) == 1
}

// ErrJoinToken is returned for a text that is no join token.
var ErrJoinToken = errors.New("not a join token: `botnode join-token create`, on a node of the cluster, prints one")

// ParseJoinToken reads what Text writes.
func ParseJoinToken(text string) (JoinToken, error) {
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts) != 4 || parts[0] != joinTokenPrefix || parts[1] == "" {
		return JoinToken{}, ErrJoinToken
	}
	t := JoinToken{ID: parts[1], Fingerprint: parts[2], Secret: parts[3]}
	for _, s := range parts[2:] {
		if b, err := base64.RawURLEncoding.DecodeString(s); err != nil || len(b) != 32 {
			return JoinToken{}, ErrJoinToken
		}
	}
	return t, nil
}

// ErrOtherCluster is returned when what answers isn't the cluster that a join
// token was made by.
var ErrOtherCluster = errors.New("the join token is of another cluster or was made before `botnode tls rotate`, or somebody else answers in the cluster's name")

// Verify checks, before the secret is told, that a chain of certificates ends
// with the token's authority.
func (t JoinToken) Verify(chain []*x509.Certificate) error {
	for _, root := range chain {
		if Fingerprint(root.Raw) == t.Fingerprint {
			_, err := verify(chain[0], []*x509.Certificate{root})
			return err
		}
	}
	return ErrOtherCluster
}

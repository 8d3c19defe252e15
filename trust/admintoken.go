package trust

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// AdminToken is what operators and their tools show the admin API.
type AdminToken struct {
	Name   string // of the token in the cluster; no secret
	Secret string
}

const adminTokenPrefix = "bnadmin."

// NewAdminToken makes a token of a name.
func NewAdminToken(name string) AdminToken {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	return AdminToken{Name: name, Secret: base64.RawURLEncoding.EncodeToString(secret)}
}

// Text is the form in which a token is handed over and shown.
func (t AdminToken) Text() string { return adminTokenPrefix + t.Name + "." + t.Secret }

// String hides the secret from logs.
func (t AdminToken) String() string { return "admin token " + t.Name }

// GoString hides the secret from logs.
func (t AdminToken) GoString() string { return t.String() }

// Hash is what the cluster keeps of the secret.
func (t AdminToken) Hash() [32]byte { return sha256.Sum256([]byte(t.Secret)) }

// ParseAdminToken reads what Text writes; ok is false for anything else. Names may
// have dots, secrets have none.
func ParseAdminToken(text string) (t AdminToken, ok bool) {
	rest, ok := strings.CutPrefix(text, adminTokenPrefix)
	i := strings.LastIndexByte(rest, '.')
	if !ok || i < 1 {
		return AdminToken{}, false
	}
	t = AdminToken{Name: rest[:i], Secret: rest[i+1:]}
	b, err := base64.RawURLEncoding.DecodeString(t.Secret)
	return t, err == nil && len(b) == 32
}

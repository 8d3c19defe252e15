package trust

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// KeySize is the size of secrets and of the keys that derive from them, in bytes.
const KeySize = 32

// Secret is one version of the cluster's secret. Each node has it on its disk;
// the replicated state has none but sealed ones.
type Secret struct {
	Epoch uint64        `json:"epoch"` // from 1; a rotation makes the next
	Key   [KeySize]byte `json:"key"`
}

// The purposes of the keys that derive from a secret. Their texts are part of
// what is written to disk: they never change.
const (
	purposeGossip = "botnode gossip"
	purposeSeal   = "botnode seal "
	purposeBackup = "botnode backup"
)

// NewSecret makes the secret of an epoch.
func NewSecret(epoch uint64) Secret {
	s := Secret{Epoch: epoch}
	_, _ = rand.Read(s.Key[:]) // never fails
	return s
}

// derive makes the key for a purpose.
func (s Secret) derive(purpose string) [KeySize]byte {
	return derive(s.Key[:], nil, purpose)
}

func derive(secret, salt []byte, purpose string) (key [KeySize]byte) {
	b, err := hkdf.Key(sha256.New, secret, salt, purpose, KeySize)
	if err != nil {
		panic(err) // only for a key of more than 255 hashes
	}
	copy(key[:], b)
	return key
}

// GossipKey is the key of gossip's datagrams and streams.
func (s Secret) GossipKey() []byte {
	k := s.derive(purposeGossip)
	return k[:]
}

// BackupKey is the key that snapshots and backups are encrypted with. It opens
// nothing else: an operator can keep it in another place than the cluster.
func (s Secret) BackupKey() BackupKey {
	return BackupKey{Epoch: s.Epoch, Key: s.derive(purposeBackup)}
}

// ErrSealed is returned for what a key doesn't open: it was sealed with another,
// for another purpose, or was changed.
var ErrSealed = errors.New("sealed with another key, or damaged")

// Seal encrypts plain for one purpose and one place in the state: what was
// sealed for another can't be put in its stead.
func (s Secret) Seal(purpose, place string, plain []byte) []byte {
	gcm := s.aead(purpose)
	nonce := make([]byte, gcm.NonceSize(), gcm.NonceSize()+len(plain)+gcm.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return gcm.Seal(nonce, nonce, plain, []byte(place))
}

// Unseal is the inverse of Seal.
func (s Secret) Unseal(purpose, place string, box []byte) ([]byte, error) {
	gcm := s.aead(purpose)
	if len(box) < gcm.NonceSize() {
		return nil, fmt.Errorf("%s: %w", purpose, ErrSealed)
	}
	plain, err := gcm.Open(nil, box[:gcm.NonceSize()], box[gcm.NonceSize():], []byte(place))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", purpose, ErrSealed)
	}
	return plain, nil
}

func (s Secret) aead(purpose string) cipher.AEAD {
	key := s.derive(purposeSeal + purpose)
	return newGCM(key)
}

func newGCM(key [KeySize]byte) cipher.AEAD {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // only for a key of another size
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return gcm
}

// String hides the key from logs.
func (s Secret) String() string { return fmt.Sprintf("secret of epoch %d", s.Epoch) }

// GoString hides the key from logs.
func (s Secret) GoString() string { return s.String() }

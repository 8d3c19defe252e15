package membership

import (
	"bytes"
	"errors"
	"fmt"
)

// errNoKeys is returned by the port while gossip has no key yet.
var errNoKeys = errors.New("gossip has no key yet")

// SetKeys sets the keys of gossip, each of 16, 24 or 32 bytes: messages are
// encrypted with the first and may be encrypted with any. For a rotation without
// a break all nodes are given the new key behind the old one, then before it,
// then alone. Options.Encrypt must be set.
func (m *Membership) SetKeys(keys [][]byte) error {
	if !m.o.Encrypt || len(keys) == 0 {
		return errors.New("membership: keys need Options.Encrypt, and there must be one")
	}
	for _, k := range keys {
		if err := m.keys.AddKey(k); err != nil {
			return fmt.Errorf("gossip key: %w", err)
		}
	}
	if err := m.keys.UseKey(keys[0]); err != nil {
		return fmt.Errorf("gossip key: %w", err)
	}
	// From the end: memberlist removes any other key in place, beneath those who
	// are decrypting with the ring at that moment.
	for have := m.keys.GetKeys(); !containsKey(keys, have[len(have)-1]); have = m.keys.GetKeys() {
		if err := m.keys.RemoveKey(have[len(have)-1]); err != nil {
			return fmt.Errorf("gossip key: %w", err)
		}
	}
	return nil
}

func containsKey(keys [][]byte, k []byte) bool {
	for _, have := range keys {
		if bytes.Equal(have, k) {
			return true
		}
	}
	return false
}

package fsm

import (
	"bytes"
	"testing"
)

// TestClientKeysAreFound: a key is found by its hash and its name, after a
// restore as before, and a new one of a name that was revoked has a later At,
// whatever the clock says.
func TestClientKeysAreFound(t *testing.T) {
	b := setup(t)
	b.must(&PutClientKey{Bot: testBot, Key: webKey})
	gone := ClientKey{Name: "gone", Hash: [32]byte{9}, Rights: RightRead, At: 1000}
	b.must(&PutClientKey{Bot: testBot, Key: gone}, &DropClientKey{Bot: testBot, Name: "gone", Hash: gone.Hash})
	m := NewMachine()
	if err := m.Restore(bytes.NewReader(b.snapshot())); err != nil {
		t.Fatal(err)
	}
	check := func(what string, bot *Bot) {
		t.Helper()
		k, ok := bot.ClientKeyOf(webKey.Hash)
		named, known := bot.ClientKeyNamed("web")
		if !ok || !known || k != webKey || named != webKey {
			t.Errorf("%s: %+v %t, %+v %t", what, k, ok, named, known)
		}
		if _, ok := bot.ClientKeyOf(gone.Hash); ok {
			t.Errorf("%s: a key that was revoked is found", what)
		}
		if at := bot.NextClientKeyAt("gone"); at != 1001 {
			t.Errorf("%s: the next key may be of %d", what, at)
		}
	}
	check("before", b.bot())
	m.View(func(_ uint64, s *State) { check("after a restore", s.Bot(testBot)) })
	gone.Hash, gone.At = [32]byte{10}, b.bot().NextClientKeyAt("gone")
	b.must(&PutClientKey{Bot: testBot, Key: gone})
}

package trust

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func found(t *testing.T, cluster string, place Place) *Keychain {
	t.Helper()
	k, err := OpenKeychain(place, "joe")
	if err == nil {
		err = k.Found(cluster, []string{"localhost", "10.0.0.1"}, time.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// enrolled makes a second node of the cluster that k founded.
func enrolled(t *testing.T, k *Keychain, id string, now time.Time) *Keychain {
	t.Helper()
	c, ok := k.Founding()
	if !ok {
		t.Fatal("no charter")
	}
	secret, _ := k.Current()
	a, err := OpenAuthority(secret, c.Cert, c.SealedKey)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRequest([]string{"10.0.0.2"})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Sign(r.CSR, Holder{ClusterID: k.Holder().ClusterID, ID: id, Enrolment: 2}, now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := OpenKeychain(new(Memory), id)
	if err != nil {
		t.Fatal(err)
	}
	secrets, inUse := k.Secrets()
	if err := other.Accept(r, Grant{ClusterID: k.Holder().ClusterID, Cert: cert, Roots: k.Roots(), Secrets: secrets, InUse: inUse}); err != nil {
		t.Fatal(err)
	}
	return other
}

func chain(t *testing.T, k *Keychain) []*x509.Certificate {
	t.Helper()
	own, err := k.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	var out []*x509.Certificate
	for _, der := range own.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func TestWhoIsBelieved(t *testing.T) {
	k, foreign := found(t, "c1", new(Memory)), found(t, "c1", new(Memory))
	now := time.Now()
	bob := enrolled(t, k, "bob", now)
	for what, c := range map[string]struct {
		chain []*x509.Certificate
		id    string
		words string
	}{
		"a member":                       {chain(t, bob), "bob", ""},
		"itself":                         {chain(t, k), "joe", ""},
		"another authority":              {chain(t, foreign), "", "isn't of this cluster's authority"},
		"nothing":                        {nil, "", "shows no certificate"},
		"one that has expired":           {chain(t, enrolled(t, k, "old", now.Add(-2*CertificateLife))), "", "isn't valid now"},
		"one that is to come":            {chain(t, enrolled(t, k, "new", now.Add(3*skew))), "", "isn't valid now"},
		"a clock within the skew":        {chain(t, enrolled(t, k, "eve", now.Add(skew/2))), "eve", ""},
		"the authority itself as a node": {chain(t, bob)[1:], "", "names no node"},
	} {
		id, err := k.Verify(c.chain)
		if id != c.id || (err == nil) != (c.words == "") || err != nil && !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %q, %v; want %q, %q", what, id, err, c.id, c.words)
		}
	}
	k.Refuse = func(h Holder) error {
		if h == (Holder{"c1", "bob", 2}) {
			return errors.New("gone")
		}
		return nil
	}
	if _, err := k.Verify(chain(t, bob)); err == nil {
		t.Error("a refused node is believed")
	}
	if leaf := chain(t, bob)[0]; leaf.VerifyHostname("10.0.0.2") != nil || leaf.VerifyHostname("10.0.0.1") == nil {
		t.Error("the certificate is good for the wrong hosts")
	}
}

func TestKeychainStaysOnDisk(t *testing.T) {
	dir := t.TempDir()
	if k, err := OpenKeychain(Directory(dir), "joe"); err != nil || k.Ready() {
		t.Fatalf("a fresh one: %v", err)
	}
	k := found(t, "c1", Directory(dir))
	if err := k.Found("c1", nil, time.Now()); err != nil {
		t.Errorf("founded again: %v", err)
	}
	if err := k.Found("c2", nil, time.Now()); err == nil {
		t.Error("it founded another cluster")
	}
	path := filepath.Join(dir, FileName)
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	again, err := OpenKeychain(Directory(dir), "joe")
	if err != nil {
		t.Fatal(err)
	}
	if id, err := again.Verify(chain(t, k)); id != "joe" || err != nil {
		t.Errorf("%q, %v", id, err)
	}
	if _, pending := again.Founding(); !pending || again.Founded() != nil {
		t.Error("the charter was forgotten")
	}
	if _, pending := again.Founding(); pending {
		t.Error("the charter wasn't forgotten")
	}
	if _, err := OpenKeychain(Directory(dir), "bob"); !errors.Is(err, ErrOtherNode) {
		t.Errorf("another node's keys: %v", err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{whole[:len(whole)/2], {}, []byte("{}"), bytes.Replace(whole, []byte(`"format": 1`), []byte(`"format": 9`), 1)} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenKeychain(Directory(dir), "joe")
		if !errors.Is(err, ErrCorruptKeychain) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
		after, _ := os.ReadFile(path)
		if !bytes.Equal(after, bad) {
			t.Error("a damaged file was overwritten")
		}
	}
}

func TestJoinTokens(t *testing.T) {
	k, foreign := found(t, "c1", new(Memory)), found(t, "c1", new(Memory))
	token := NewJoinToken(1, k.Roots()[0])
	got, err := ParseJoinToken(" " + token.Text() + "\n")
	if err != nil || got != token {
		t.Errorf("%v, %v", got, err)
	}
	if !Shown(token.Secret, token.Hash()) || Shown(token.Secret+"x", token.Hash()) || Shown("", token.Hash()) {
		t.Error("a secret is compared wrongly")
	}
	if err := got.Verify(chain(t, k)); err != nil {
		t.Error(err)
	}
	if err := got.Verify(chain(t, foreign)); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("another cluster: %v", err)
	}
	// A true root with somebody else's leaf before it.
	if err := got.Verify([]*x509.Certificate{chain(t, foreign)[0], chain(t, k)[1]}); err == nil {
		t.Error("a chain that doesn't hang together is believed")
	}
	if err := got.Verify(nil); err == nil {
		t.Error("nothing is believed")
	}
	for _, text := range []string{"", "x", "bnjoin.a.b.c", strings.TrimSuffix(token.Text(), "A") + "!", token.Text() + ".x", token.Text()[:40]} {
		if _, err := ParseJoinToken(text); !errors.Is(err, ErrJoinToken) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, shown := range []string{fmt.Sprint(token), fmt.Sprintf("%+v %#v", token, token)} {
		if strings.Contains(shown, token.Secret) {
			t.Error("a token shows its secret")
		}
	}
}

func TestSecretsAreHidden(t *testing.T) {
	s := NewSecret(3)
	g := Grant{ClusterID: "c1", Secrets: []Secret{s}}
	raw := fmt.Sprintf("%d", s.Key[:8])
	for _, shown := range []string{fmt.Sprint(s, g, s.BackupKey()), fmt.Sprintf("%+v %+v %#v %#v", s, g, s, g)} {
		if strings.Contains(shown, strings.Trim(raw, "[]")) || strings.Contains(shown, "0x") {
			t.Errorf("shown: %s", shown)
		}
	}
	k := s.BackupKey()
	if got, err := ParseBackupKey(k.Text() + "\n"); err != nil || got != k {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "bnbackup.1.x", strings.Replace(k.Text(), ".3.", ".0.", 1), "a.b.c"} {
		if _, err := ParseBackupKey(bad); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
}

func TestSealing(t *testing.T) {
	a, b := NewSecret(1), NewSecret(1)
	box := a.Seal("p", "here", []byte("plain"))
	if got, err := a.Unseal("p", "here", box); err != nil || string(got) != "plain" {
		t.Errorf("%q, %v", got, err)
	}
	for what, f := range map[string]func() ([]byte, error){
		"another secret":  func() ([]byte, error) { return b.Unseal("p", "here", box) },
		"another purpose": func() ([]byte, error) { return a.Unseal("q", "here", box) },
		"another place":   func() ([]byte, error) { return a.Unseal("p", "there", box) },
		"cut off":         func() ([]byte, error) { return a.Unseal("p", "here", box[:5]) },
		"changed": func() ([]byte, error) {
			return a.Unseal("p", "here", append(bytes.Clone(box[:len(box)-1]), box[len(box)-1]^1))
		},
	} {
		if _, err := f(); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestRotation has two nodes take the steps of a rotation, one of them late.
func TestRotation(t *testing.T) {
	k := found(t, "c1", new(Memory))
	bob := enrolled(t, k, "bob", time.Now())
	old, _ := k.Current()
	next := NewSecret(2)
	a, err := NewAuthority("c1", 2, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	roots := append(k.Roots()[:1:1], a.Cert.Raw)
	sealed := []SealedSecret{{Epoch: 2, Under: 1, Box: SealNext(old, next)}}
	renew := func(k *Keychain) {
		t.Helper()
		r, err := NewRequest(nil)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := a.Sign(r.CSR, k.Holder(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Accept(r, Grant{ClusterID: "c1", Cert: cert, Roots: roots}); err != nil {
			t.Fatal(err)
		}
	}
	each := func(what string) {
		t.Helper()
		if id, err := k.Verify(chain(t, bob)); id != "bob" || err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if id, err := bob.Verify(chain(t, k)); id != "joe" || err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, n := range []*Keychain{k, bob} {
		if err := n.Learn(roots, sealed, 1, 1); err != nil {
			t.Fatal(err)
		}
		each("both authorities")
	}
	renew(k)
	each("one has its new certificate")
	if !k.SignedBy(a.Cert.Raw) || bob.SignedBy(a.Cert.Raw) {
		t.Error("who signed is seen wrongly")
	}
	if err := k.Learn(roots, sealed, 2, 2); err != nil {
		t.Fatal(err)
	}
	renew(bob)
	for _, n := range []*Keychain{k, bob} {
		if err := n.Learn(roots[1:], nil, 2, 3); err != nil {
			t.Fatal(err)
		}
		each("the new authority alone")
		if got := len(n.Roots()); got != 1 {
			t.Errorf("%d authorities are believed", got)
		}
		if s, ok := n.Current(); !ok || s != next {
			t.Error("another secret is in use")
		}
	}
	// What a node that starts with an old snapshot sees again.
	for rev := uint64(1); rev < 3; rev++ {
		if err := k.Learn(roots[:1], nil, 1, rev); err != nil {
			t.Error(err)
		}
	}
	each("a state that was left behind")
	if s, _ := k.Current(); s != next || len(k.Roots()) != 1 || !bytes.Equal(k.Roots()[0], roots[1]) {
		t.Error("an older state took keys back")
	}
	if _, ok := bob.BackupKey(1); !ok {
		t.Error("old backups can't be opened any more")
	}
	stranger := found(t, "c1", new(Memory))
	if err := stranger.Learn(roots, []SealedSecret{{Epoch: 2, Under: 1, Box: SealNext(old, next)}}, 2, 9); !errors.Is(err, ErrSealed) {
		t.Errorf("a stranger learns the secret: %v", err)
	}
	if err := stranger.Learn(roots, []SealedSecret{{Epoch: 9, Under: 8}}, 9, 9); !errors.Is(err, ErrNoKey) {
		t.Errorf("epochs in between are missing: %v", err)
	}
}

// TestStreams encrypts data of any size, written and read in pieces of any size,
// and damages it at any byte.
func TestStreams(t *testing.T) {
	key := NewSecret(1).BackupKey()
	about := []byte("about")
	find := func(epoch uint64) (BackupKey, bool) { return key, epoch == 1 }
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{0, 1, 100, streamChunk - 1, streamChunk, streamChunk + 1, 3 * streamChunk}).Draw(t, "size")
		plain := bytes.Repeat([]byte{7, 1, 200}, size/3+1)[:size]
		var b bytes.Buffer
		w, err := NewWriter(&b, key, about)
		if err != nil {
			t.Fatal(err)
		}
		for left := plain; len(left) > 0; {
			n := rapid.IntRange(1, len(left)).Draw(t, "piece")
			if got, err := w.Write(left[:n]); got != n || err != nil {
				t.Fatal(got, err)
			}
			left = left[n:]
		}
		if err := errors.Join(w.Close(), w.Close()); err != nil {
			t.Fatal(err)
		}
		read := func(b []byte) ([]byte, error) {
			r, err := NewReader(iotestOneByte{bytes.NewReader(b)}, find, about)
			if err != nil {
				return nil, err
			}
			return io.ReadAll(r)
		}
		whole := b.Bytes()
		if got, err := read(whole); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if r, err := NewReader(bytes.NewReader(whole), find, []byte("other")); err == nil {
			if _, err := io.ReadAll(r); err == nil {
				t.Fatal("a stream about something else was taken")
			}
		}
		at := rapid.IntRange(0, len(whole)-1).Draw(t, "at")
		bad := bytes.Clone(whole)
		bad[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := read(bad); err == nil {
			t.Fatalf("byte %d of %d was changed, and nobody noticed", at, len(bad))
		}
		if _, err := read(whole[:at]); err == nil {
			t.Fatalf("cut off at %d of %d, and nobody noticed", at, len(whole))
		}
		if _, err := read(append(bytes.Clone(whole), 0)); !errors.Is(err, ErrDamaged) {
			t.Fatalf("a byte behind the end: %v", err)
		}
	})
}

// iotestOneByte reads at most a few bytes at a time.
type iotestOneByte struct{ r io.Reader }

func (o iotestOneByte) Read(b []byte) (int, error) { return o.r.Read(b[:min(len(b), 1000)]) }

func FuzzStream(f *testing.F) {
	key := NewSecret(1).BackupKey()
	var b bytes.Buffer
	w, _ := NewWriter(&b, key, nil)
	_, _ = w.Write([]byte("plain"))
	_ = w.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := NewReader(bytes.NewReader(data), func(uint64) (BackupKey, bool) { return key, true }, nil)
		if err != nil {
			return
		}
		if got, err := io.ReadAll(r); err == nil && string(got) != "plain" {
			t.Errorf("%q was accepted", got)
		}
	})
}

func FuzzJoinToken(f *testing.F) {
	f.Add(NewJoinToken(1, []byte("x")).Text())
	f.Fuzz(func(t *testing.T, text string) {
		if tok, err := ParseJoinToken(text); err == nil && tok.Text() != strings.TrimSpace(text) {
			t.Errorf("%q is read as %q", text, tok.Text())
		}
	})
}

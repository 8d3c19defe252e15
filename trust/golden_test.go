package trust

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The files of testdata/golden were written by the first version: they are read,
// and not rewritten, as each writing draws other keys and nonces.
func TestGoldenFilesAreRead(t *testing.T) {
	dir := filepath.Join("testdata", "golden")
	if os.Getenv("BOTNODE_WRITE_GOLDEN") != "" {
		writeGolden(t, dir)
	}
	b, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	k, err := OpenKeychain(&Memory{b: b}, "joe")
	if err != nil {
		t.Fatal(err)
	}
	if h := k.Holder(); h != (Holder{ClusterID: "c1", ID: "joe", Enrolment: 1}) {
		t.Errorf("holder %+v", h)
	}
	c, ok := k.Founding()
	secret, have := k.Current()
	if !ok || !have || secret.Epoch != 1 {
		t.Fatal("the charter or the secret is gone")
	}
	if _, err := OpenAuthority(secret, c.Cert, c.SealedKey); err != nil {
		t.Errorf("the authority: %v", err)
	}
	var more struct {
		Box, Next     []byte
		Stream        []byte
		Token, Backup string
		NextSecret    Secret
	}
	if b, err = os.ReadFile(filepath.Join(dir, "sealed.json")); err == nil {
		err = json.Unmarshal(b, &more)
	}
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := secret.Unseal("purpose", "place", more.Box); err != nil || string(plain) != "plain" {
		t.Errorf("box: %q, %v", plain, err)
	}
	if err := k.Learn(k.Roots(), []SealedSecret{{Epoch: 2, Under: 1, Box: more.Next}}, 2, 9); err != nil {
		t.Errorf("the next secret: %v", err)
	}
	if got, _ := k.Secret(2); got != more.NextSecret {
		t.Error("another next secret")
	}
	backup, err := ParseBackupKey(more.Backup)
	if err != nil || backup != secret.BackupKey() {
		t.Errorf("backup key: %v", err)
	}
	r, err := NewReader(bytes.NewReader(more.Stream), k.BackupKey, nil)
	if err == nil {
		b, err = io.ReadAll(r)
	}
	if err != nil || string(b) != "a stream" {
		t.Errorf("stream: %q, %v", b, err)
	}
	if tok, err := ParseJoinToken(more.Token); err != nil || tok.Fingerprint != Fingerprint(c.Cert) {
		t.Errorf("join token: %v", err)
	}
}

// writeGolden makes the files, once for each version of the formats.
func writeGolden(t *testing.T, dir string) {
	t.Helper()
	m := new(Memory)
	k, err := OpenKeychain(m, "joe")
	if err == nil {
		err = k.Found("c1", []string{"localhost"}, time.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := k.Current()
	next := NewSecret(2)
	var stream bytes.Buffer
	w, err := NewWriter(&stream, secret.BackupKey(), nil)
	if err == nil {
		_, err = w.Write([]byte("a stream"))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(map[string]any{
		"Box": secret.Seal("purpose", "place", []byte("plain")), "Next": SealNext(secret, next), "NextSecret": next, "Stream": stream.Bytes(),
		"Token": NewJoinToken(1, k.Roots()[0]).Text(), "Backup": secret.BackupKey().Text(),
	}, "", "  ")
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "sealed.json"), append(b, '\n'), 0o600)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, FileName), m.b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

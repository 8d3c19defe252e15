package certfile

import (
	"crypto/x509"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/botnode/botnode/internal/certfile/certtest"
)

// TestCertificateFollowsItsFiles: a renewed certificate is shown without a
// restart; while the files can't be read, the one before goes on.
func TestCertificateFollowsItsFiles(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := certtest.Write(t, dir, "one", 1)
	c, err := Load(certFile, keyFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c.now = func() time.Time { return now }
	serial := func() int64 {
		t.Helper()
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.Int64()
	}
	later := func() {
		now = now.Add(every)
		for _, file := range []string{certFile, keyFile} { // two writes may be of one moment
			if err := os.Chtimes(file, now, now); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
	}
	certtest.Write(t, dir, "two", 2)
	if got := serial(); got != 1 {
		t.Errorf("the files are looked at too often: %d", got)
	}
	later()
	if got := serial(); got != 2 {
		t.Errorf("after the renewal: %d", got)
	}
	if err := os.WriteFile(keyFile, []byte("half a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	later()
	if got := serial(); got != 2 {
		t.Errorf("between the files: %d", got)
	}
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	later()
	if got := serial(); got != 2 {
		t.Errorf("without a file: %d", got)
	}
	certtest.Write(t, dir, "three", 3)
	later()
	if got := serial(); got != 3 {
		t.Errorf("after the next renewal: %d", got)
	}
	for _, bad := range [][2]string{{certFile, certFile}, {keyFile, keyFile}, {"nowhere", keyFile}, {certFile, "nowhere"}} {
		if _, err := Load(bad[0], bad[1], nil); !errors.Is(err, Err) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

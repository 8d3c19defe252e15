package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/rest"
)

// writeCert writes a certificate for a name, and its key.
func writeCert(t *testing.T, dir, name string, serial int64) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// TestCertificateFollowsItsFiles: a renewed certificate is shown without a
// restart; while the files can't be read, the one before goes on.
func TestCertificateFollowsItsFiles(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writeCert(t, dir, "one", 1)
	c, err := LoadCertificate(certFile, keyFile, nil)
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
		now = now.Add(certEvery)
		for _, file := range []string{certFile, keyFile} { // two writes may be of one moment
			if err := os.Chtimes(file, now, now); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
	}
	writeCert(t, dir, "two", 2)
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
	writeCert(t, dir, "three", 3)
	later()
	if got := serial(); got != 3 {
		t.Errorf("after the next renewal: %d", got)
	}
	for _, bad := range [][2]string{{certFile, certFile}, {keyFile, keyFile}, {"nowhere", keyFile}, {certFile, "nowhere"}} {
		if _, err := LoadCertificate(bad[0], bad[1], nil); !errors.Is(err, ErrCertificate) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// TestTLS: the proxy speaks TLS, HTTP/1.1 alone, and tells its clients so.
func TestTLS(t *testing.T) {
	certFile, keyFile := writeCert(t, t.TempDir(), "proxy.example", 1)
	c, err := LoadCertificate(certFile, keyFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	st := serve(t, newNode(t, "http://127.0.0.1:1/api/v10", rest.Options{}), Options{Listener: c.Listen(ln), TLS: true})
	g := st.do("GET", "/api/v10/gateway", nil)
	if want := "wss://" + ln.Addr().String(); g.status != 200 || g.body["url"] != want {
		t.Errorf("%d %s, want %s", g.status, g.text, want)
	}
	conn, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}) //nolint:gosec // a test's certificate
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if p := conn.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
		t.Errorf("it speaks %q", p)
	}
	if _, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil { //nolint:gosec // what is to be refused
		t.Error("it speaks TLS 1.1")
	}
}

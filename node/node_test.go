package node

import (
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestNewOnATakenPort fails after some things have been acquired: they are
// released, and the error names the flag.
func TestNewOnATakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	o := Options{ID: "joe", DataDir: t.TempDir(), ClusterAddr: l.Addr().String()}
	if n, err := New(o); n != nil || err == nil || !strings.Contains(err.Error(), "--cluster-addr") {
		t.Errorf("%v, %v", n, err)
	}
	o.ClusterAddr = "127.0.0.1:0" // the directory's lock is free again
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Kill(); err != nil {
		t.Error(err)
	}
}

package transport

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The test binary re-executes itself as a peer process when peerEnv is set.
const peerEnv = "BOTNODE_TRANSPORT_TEST_PEER"

func TestMain(m *testing.M) {
	if spec := os.Getenv(peerEnv); spec != "" {
		os.Exit(peerProcess(spec))
	}
	goleak.VerifyTestMain(m)
}

// node starts a transport on loopback and closes it with the test.
func node(t *testing.T, id string, change func(*Options)) *Transport {
	t.Helper()
	tr := listen(t, id, change)
	tr.Start()
	return tr
}

func listen(t *testing.T, id string, change func(*Options)) *Transport {
	t.Helper()
	o := Options{Bind: "127.0.0.1:0", ID: id, Incarnation: 1, ClusterID: func() string { return "c1" }}
	if change != nil {
		change(&o)
	}
	tr, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

func incarnation(n uint64) func(*Options) {
	return func(o *Options) { o.Incarnation = n }
}

// ctx ends with the test or after a time that only a hung test reaches.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func echo(_ context.Context, from Peer, req []byte) ([]byte, error) {
	return append([]byte(from.ID+"#"+strconv.FormatUint(from.Incarnation, 10)+":"), req...), nil
}

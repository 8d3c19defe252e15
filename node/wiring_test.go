package node

import (
	"bytes"
	"errors"
	"net/http"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/shard"
	"github.com/botnode/botnode/trust"
)

// TestSnapshotsAreEncrypted writes a state as raft does, and reads it with the
// same keys, with another cluster's, and without any.
func TestSnapshotsAreEncrypted(t *testing.T) {
	keysOf := func(cluster string) *trust.Keychain {
		k, err := trust.OpenKeychain(new(trust.Memory), "joe")
		if err == nil {
			err = k.Found(cluster, nil, time.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	write := func(m machine) []byte {
		m.Apply(1, fsm.EncodeBatch([][]byte{fsm.Encode(1, &fsm.Init{ClusterID: "looked-for"})}))
		c, err := m.Capture()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if n, err := c.WriteTo(&b); err != nil || n != int64(b.Len()) {
			t.Fatalf("%d of %d bytes, %v", n, b.Len(), err)
		}
		return b.Bytes()
	}
	keys := keysOf("c1")
	sealed, plain := write(machine{fsm.NewMachine(), keys}), write(machine{fsm.NewMachine(), nil})
	if bytes.Contains(sealed, []byte("BNSNAP")) || !bytes.Contains(plain, []byte("BNSNAP")) {
		t.Error("the wrong one of the two is encrypted")
	}
	for what, c := range map[string]struct {
		keys *trust.Keychain
		from []byte
		want error
	}{
		"its own keys":            {keys, sealed, nil},
		"keys, and a plain one":   {keys, plain, nil},
		"neither keys nor cipher": {nil, plain, nil},
		"another cluster's keys":  {keysOf("c2"), sealed, trust.ErrDamaged},
		"no keys":                 {nil, sealed, trust.ErrNoKey},
		"cut off":                 {keys, sealed[:len(sealed)-1], trust.ErrDamaged},
	} {
		m := machine{fsm.NewMachine(), c.keys}
		if err := m.Restore(bytes.NewReader(c.from)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
		id := ""
		m.View(func(_ uint64, s *fsm.State) { id = s.ClusterID })
		if (id == "looked-for") != (c.want == nil) {
			t.Errorf("%s: the state is %q", what, id)
		}
	}
}

// TestNoWritesWithoutALeader: while no leader answers the node, whoever asks for a
// write to Discord, a handler, the program or a client, is refused. It reads on.
func TestNoWritesWithoutALeader(t *testing.T) {
	n := &Node{self: fsm.NodeRef{ID: "joe", Inc: 5}, machine: fsm.NewMachine(), log: zap.NewNop()}
	n.manager = shard.NewManager(shard.Options{Self: n.self, Machine: n.machine})
	rt := &botRuntime{n: n, bot: &Bot{Name: "default", Token: "t", Seed: fsm.Config{API: "http://127.0.0.1:1/api/v10"}}}
	defer func() { _ = rt.close() }()
	trip, api, err := rt.client()
	if err != nil {
		t.Fatal(err)
	}
	for method, refused := range map[string]bool{
		http.MethodGet: false, http.MethodPost: true, http.MethodPut: true, http.MethodPatch: true, http.MethodDelete: true,
	} {
		req, err := http.NewRequestWithContext(t.Context(), method, api+"/channels/1", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := trip.RoundTrip(req)
		if err == nil {
			_ = res.Body.Close()
		}
		if errors.Is(err, shard.ErrNotFresh) != refused {
			t.Errorf("%s: %v", method, err)
		}
	}
}

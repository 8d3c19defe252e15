package fsm

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// trusted is a state in the middle of a rotation.
func trusted(t *testing.T) *bench {
	t.Helper()
	b := setup(t)
	b.must(
		&Rules{N: 2},
		&Charter{Node: "joe", Authority: Authority{Epoch: 1, Cert: []byte("c1"), Key: []byte("k1")}, NotAfter: 10},
		&PutJoinToken{Rev: 1, Token: JoinToken{ID: "t", Hash: [32]byte{1}, Expires: 100}, Now: 1},
		&Enrol{Token: "t", Node: "robert", Enrolment: 2, Holds: 1, Cert: 1, NotAfter: 10, Now: 50},
		&Enrol{Token: "t", Node: "zoe", Enrolment: 3, Holds: 1, Cert: 1, NotAfter: 10, Now: 50},
		&Forget{ID: "zoe"},
		&PutAdminToken{Token: AdminToken{Name: "ops", Hash: [32]byte{1}, Right: AdminAll, At: 5}},
		&SetBotToken{Bot: testBot, Epoch: 1, Box: []byte("box")},
		&Rotate{Rev: 5, Authority: Authority{Epoch: 2, Cert: []byte("c2"), Key: []byte("k2")}, Secret: SealedSecret{Epoch: 2, Under: 1, Box: []byte("b")}},
	)
	return b
}

func TestGoldenTrust(t *testing.T) {
	b := trusted(t)
	var w writer
	b.state.encodeExtensions(&w)
	golden(t, "trust.txt", hex.Dump(w.b))
	r := newBench(t)
	if err := r.Restore(bytes.NewReader(b.snapshot())); err != nil {
		t.Fatal(err)
	}
	if r.state.Digest() != b.state.Digest() || !r.state.Trust().Revoked("zoe", 3) {
		t.Error("trust isn't what it was before the snapshot")
	}
	for n := range w.b { // cut off anywhere
		s := NewState()
		in := &reader{b: w.b[:n]}
		s.decodeExtensions(in)
		var back writer
		if s.encodeExtensions(&back); in.err == nil && !bytes.Equal(back.b, w.b[:n]) { // else it is whole parts
			t.Errorf("%d of %d bytes were taken", n, len(w.b))
		}
	}
	in := &reader{b: []byte{99, 0}}
	if NewState().decodeExtensions(in); in.err == nil {
		t.Error("a part of a newer version was taken")
	}
}

// TestTransplant makes a backup's state one of another cluster.
func TestTransplant(t *testing.T) {
	now, old := trusted(t), setup(t)
	now.must(&StateHash{HashPoint{Index: 7}})
	older := setup(t)
	if older.state.Transplant(now.state); older.state.Rules != now.state.Rules {
		t.Error("rules went back")
	}
	old.must(
		&Rules{N: 2},
		&StateHash{HashPoint{Index: 1_000_000}},
		&Charter{Node: "mike", Authority: Authority{Epoch: 1, Cert: []byte("other")}, NotAfter: 5},
		&PutAdminToken{Token: AdminToken{Name: "theirs", Hash: [32]byte{9}, Right: AdminAll}},
		&SetBotToken{Bot: testBot, Epoch: 1, Box: []byte("theirs")}, &SetBotToken{Bot: "two", Epoch: 1, Box: []byte("theirs")},
	)
	old.state.Transplant(now.state)
	var x, y writer
	now.state.encodeExtensions(&x)
	old.state.encodeExtensions(&y)
	if !bytes.Equal(x.b, y.b) {
		t.Error("the trust isn't the running cluster's")
	}
	old.must(&DropJoinToken{ID: "t"}, &DropAdminToken{Name: "ops", Hash: [32]byte{1}}, &SetBotToken{Bot: testBot, Rev: 1})
	if _, ok := now.state.Trust().JoinToken("t"); !ok || !now.state.AdminTokens().Any() || len(now.state.BotToken(testBot).Box) == 0 {
		t.Error("the two states share a map")
	}
}

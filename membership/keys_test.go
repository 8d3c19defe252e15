package membership

import (
	"bytes"
	"testing"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// TestGossipKeepsKeysApart has nodes with another key, with none, and with one
// that is still to come.
func TestGossipKeepsKeysApart(t *testing.T) {
	a := startWith(t, "a", 1, "127.0.0.1:0", key(1))
	other, plain := startWith(t, "b", 1, "127.0.0.1:0", key(2)), startNode(t, "c", 1, "127.0.0.1:0")
	later := startWith(t, "d", 1, "127.0.0.1:0", [][]byte{}...)
	for _, n := range []*testNode{other, plain, later} {
		if got, err := n.Join([]string{a.t.Addr()}); got != 0 || err == nil {
			t.Errorf("%s: joined %d, %v", n.Self().ID, got, err)
		}
		if got, err := a.Join([]string{n.t.Addr()}); got != 0 || err == nil {
			t.Errorf("to %s: joined %d, %v", n.Self().ID, got, err)
		}
	}
	if len(a.Members()) != 1 {
		t.Errorf("a knows %v", a.Members())
	}
	if err := later.SetKeys([][]byte{key(1)}); err != nil {
		t.Fatal(err)
	}
	if got, err := later.Join([]string{a.t.Addr()}); got != 1 || err != nil {
		t.Errorf("with the key: joined %d, %v", got, err)
	}
	if err := plain.SetKeys([][]byte{key(1)}); err == nil {
		t.Error("keys were set where gossip is in clear")
	}
}

// TestKeysRotateWithoutABreak changes the key of two nodes step by step, with an
// exchange after each.
func TestKeysRotateWithoutABreak(t *testing.T) {
	old, fresh := key(1), key(2)
	a, b := startWith(t, "a", 1, "127.0.0.1:0", old), startWith(t, "b", 1, "127.0.0.1:0", old)
	exchange := func(step string) {
		t.Helper()
		for _, pair := range [][2]*testNode{{a, b}, {b, a}} {
			if got, err := pair[0].Join([]string{pair[1].t.Addr()}); got != 1 || err != nil {
				t.Fatalf("%s: %d, %v", step, got, err)
			}
		}
	}
	exchange("at first")
	for _, step := range [][][]byte{{old, fresh}, {fresh, old}, {fresh}} {
		for _, n := range []*testNode{a, b} {
			if err := n.SetKeys(step); err != nil {
				t.Fatal(err)
			}
			exchange("step")
		}
	}
	late := startWith(t, "c", 1, "127.0.0.1:0", old)
	if got, err := late.Join([]string{a.t.Addr()}); got != 0 || err == nil {
		t.Error("the old key still opens")
	}
}

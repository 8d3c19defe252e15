package fsm

import (
	"bytes"
	"errors"
	"testing"
)

// hashing is a machine with a hash point every ten entries.
func hashing() (*Machine, *[]error) {
	m := NewMachine()
	fatal := new([]error)
	m.HashEvery, m.OnFatal = 10, func(err error) { *fatal = append(*fatal, err) }
	m.state.Rules = 2
	return m, fatal
}

func enter(m *Machine, index uint64, cmd Command) {
	m.Apply(index, EncodeBatch([][]byte{Encode(1, cmd)}))
}

// TestHashPoints: they lie at the first entry at or behind a multiple, also where
// the multiple itself is an entry of raft's own, and after a snapshot in between.
func TestHashPoints(t *testing.T) {
	a, _ := hashing()
	b, _ := hashing()
	for _, index := range []uint64{1, 5, 9, 12, 13, 20, 21, 35} {
		enter(a, index, &Init{ClusterID: "c"})
		enter(b, index, &Init{ClusterID: "c"})
		if index == 9 { // b goes on from a snapshot
			c, err := b.Capture()
			var buf bytes.Buffer
			if err == nil {
				_, err = c.WriteTo(&buf)
			}
			if err != nil {
				t.Fatal(err)
			}
			b, _ = hashing()
			if err := b.Restore(&buf); err != nil {
				t.Fatal(err)
			}
		}
	}
	for index, want := range map[uint64]bool{9: false, 10: false, 12: true, 13: false, 20: true, 35: true} {
		x, okA := a.HashAt(index)
		y, okB := b.HashAt(index)
		if okA != want || okB != want || x != y {
			t.Errorf("entry %d: %v and %v, want %v", index, okA, okB, want)
		}
	}
	if a.NewestHash().Index != 35 {
		t.Errorf("newest: %+v", a.NewestHash())
	}
	for index := uint64(40); index < 1000; index += 10 {
		enter(a, index, &Init{ClusterID: "c"})
	}
	if n := len(a.hashes.points); n != keptHashes {
		t.Errorf("%d points are kept", n)
	}
}

func TestAMachineThatDiffersStops(t *testing.T) {
	same, fatalSame := hashing()
	other, fatalOther := hashing()
	late, fatalLate := hashing()
	enter(same, 10, &Init{ClusterID: "c"})
	enter(other, 10, &Init{ClusterID: "d"})
	point, _ := same.HashAt(10)
	for _, m := range []*Machine{same, other, late} {
		enter(m, 11, &StateHash{point})
	}
	if len(*fatalSame) != 0 || len(*fatalLate) != 0 {
		t.Errorf("one that doesn't differ stopped: %v, %v", *fatalSame, *fatalLate)
	}
	var diverged *DivergedError
	if len(*fatalOther) != 1 || !errors.As((*fatalOther)[0], &diverged) || diverged.Index != 10 || diverged.Agreed != point.Digest {
		t.Fatalf("the one that differs: %v", *fatalOther)
	}
	enter(other, 12, &Init{ClusterID: "d"})
	if other.Index() != 11 {
		t.Error("it went on")
	}
}

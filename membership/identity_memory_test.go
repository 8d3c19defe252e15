package membership

import (
	"errors"
	"testing"
)

// Memory remembers an identity as a directory does, and a clone is cut off from
// what is written later.
func TestIdentityInMemory(t *testing.T) {
	t.Parallel()
	m := new(Memory)
	i, err := OpenMemory(m, "joe")
	if err != nil {
		t.Fatal(err)
	}
	id, _, err := i.Bootstrap()
	if err != nil {
		t.Fatal(err)
	}
	crashed := m.Clone()
	first, err := i.NextIncarnation()
	if err := errors.Join(err, i.Adopt(id), i.Close()); err != nil {
		t.Fatal(err)
	}
	again, err := OpenMemory(m, "joe")
	if err != nil {
		t.Fatal(err)
	}
	if next, err := again.NextIncarnation(); err != nil || next <= first || again.ClusterID() != id {
		t.Errorf("incarnation %d after %d, cluster %q, %v", next, first, again.ClusterID(), err)
	}
	cut, err := OpenMemory(crashed, "joe")
	if err != nil {
		t.Fatal(err)
	}
	if same, done, err := cut.Bootstrap(); err != nil || done || same != id {
		t.Errorf("after a crash between the steps of bootstrap: %q, %v, %v", same, done, err)
	}
	if _, err := OpenMemory(m, "mike"); !errors.Is(err, ErrOtherNode) {
		t.Errorf("another node: %v", err)
	}
	if _, err := OpenMemory(new(Memory), "a b"); !errors.Is(err, ErrBadID) {
		t.Errorf("a bad id: %v", err)
	}
}

package fsm

import (
	"bytes"
	"slices"
	"testing"
)

// TestRenewedSnapshot: the generation, the cluster and its members are in the snapshot itself; what a node has done so far
// is void, and what was stored is there.
func TestRenewedSnapshot(t *testing.T) {
	file := full(t).snapshot()
	for _, keep := range []bool{false, true} {
		s, index, err := ReadSnapshot(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		before := s.Counts()
		if _, res := s.Renew(index, Renewal{ClusterID: "new", Generation: s.Generation}); res.Code == OK {
			t.Error("a generation begins twice")
		}
		c, res := s.Renew(index, Renewal{ClusterID: "new", Generation: 9, Index: index + 100, Members: []string{"joe", "anna"}, KeepSessions: keep})
		if res.Code != OK || c.Generation() != 9 || c.Index() != index+100 || c.Counts() != before {
			t.Fatalf("%+v, generation %d, index %d, %+v, want %+v", res, c.Generation(), c.Index(), c.Counts(), before)
		}
		var b bytes.Buffer
		if _, err := c.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		c.Release()
		m := NewMachine()
		m.Strict = true
		if err := m.Restore(&b); err != nil {
			t.Fatal(err)
		}
		m.View(func(at uint64, s *State) {
			sh, _ := s.Bot(testBot).Shard(shard0)
			if at != index+100 || s.Generation != 9 || s.ClusterID != "new" || !slices.Equal(s.Nodes(), []string{"joe"}) || s.IsUp(joe) {
				t.Errorf("at %d: generation %d, cluster %s, nodes %v", at, s.Generation, s.ClusterID, s.Nodes())
			}
			if !sh.Owner.None() || (sh.SID == "s2") != keep {
				t.Errorf("keep %v: owner %v, session %q", keep, sh.Owner, sh.SID)
			}
		})
		old := EncodeBatch([][]byte{Encode(1, &KVWrite{Bot: testBot, ID: 8, Change: KVChange{Key: "late", Value: []byte("x")}})})
		if rs := m.Apply(index+101, old).([]Result); rs[0].Code != StaleGeneration {
			t.Errorf("a command of the old generation: %+v", rs[0])
		}
	}
}

// TestMachineIsRenewed is the same for a machine that has read a log to its end.
func TestMachineIsRenewed(t *testing.T) {
	b := full(t)
	if res := b.Renew(Renewal{ClusterID: "new", Generation: 2, Index: 500, Members: []string{"joe"}}); res.Code != OK || b.Index() != 500 {
		t.Errorf("%+v at %d", res, b.Index())
	}
	if s := b.state; s.Digest() != s.Recompute() || s.ClusterID != "new" || s.Generation != 2 {
		t.Errorf("cluster %s, generation %d, or a digest that is wrong", s.ClusterID, s.Generation)
	}
}

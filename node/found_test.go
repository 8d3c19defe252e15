package node_test

import "testing"

// TestClusterKnowsItsID from its first entry on: the leader that writes it knows the id
// before it leads.
func TestClusterKnowsItsID(t *testing.T) {
	for range 20 {
		l, ctx := tuned(t, t.TempDir(), nil, "joe")
		until(ctx, t, "a leader", func() bool { _, _, ok := l.Leader(); return ok })
		if got, want := look(l.Node("joe")).cluster, l.Node("joe").ClusterID(); got != want || want == "" {
			t.Fatalf("the state says %q, the node %q", got, want)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

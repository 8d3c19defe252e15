package node_test

import (
	"fmt"
	"testing"
)

// TestAStateOfBeforeTheRotationTakesNoKeysBack starts each node again from a
// snapshot that is older than a rotation. Until the log has been replayed, which
// needs the other nodes, its state is that of before: it must go on by the keys
// on its disk, or nobody would ever speak to it again.
func TestAStateOfBeforeTheRotationTakesNoKeysBack(t *testing.T) {
	l, ctx := secureLab(t, 3)
	put(ctx, t, l, "a")
	for _, id := range l.Living() {
		if err := l.Node(id).TakeSnapshot(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for epoch := uint64(2); epoch <= 3; epoch++ {
		if err := l.Node("node1").RotateTLS(ctx); err != nil {
			t.Fatal(err)
		}
		for _, id := range l.Living() {
			until(ctx, t, fmt.Sprintf("%s at epoch %d", id, epoch), rotated(l.Node(id), epoch))
		}
	}
	for i := range 3 {
		l.Kill(name(i))
		if err := l.Restart(ctx, name(i)); err != nil {
			t.Fatalf("%s: %v", name(i), err)
		}
		put(ctx, t, l, name(i))
	}
}

package node_test

import "testing"

// TestANodeThatHasJustStartedIsBehind starts one of two nodes again after both have
// died: without a quorum it can't know what there is, and doesn't claim to. It can
// once the other is back.
func TestANodeThatHasJustStartedIsBehind(t *testing.T) {
	l, ctx := secureLab(t, 2)
	n := l.Node("node1")
	if !n.CaughtUp() || len(n.BotNames()) != 1 {
		t.Errorf("a node of a cluster that runs: %v, %q", n.CaughtUp(), n.BotNames())
	}
	l.Kill("node1")
	l.Kill("node2")
	if err := l.Restart(ctx, "node1"); err != nil {
		t.Fatal(err)
	}
	n = l.Node("node1")
	if n.CaughtUp() {
		t.Error("alone it claims to know what the cluster has")
	}
	if err := l.Restart(ctx, "node2"); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, "both know", func() bool { return n.CaughtUp() && l.Node("node2").CaughtUp() && len(n.BotNames()) == 1 })
}

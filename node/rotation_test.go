package node_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
)

// TestRotationsUnderDeaths kills one node at each step of a rotation, the leader
// and others in turn, from a snapshot of before it or of its middle.
func TestRotationsUnderDeaths(t *testing.T) {
	l, ctx := secureLab(t, 3)
	epoch := uint64(1)
	for _, victim := range []string{"leader", "follower"} {
		for step, reached := range []func(s *fsm.Trust, next uint64) bool{
			func(s *fsm.Trust, next uint64) bool { return s.Next == next || s.Epoch == next },
			func(s *fsm.Trust, next uint64) bool { return holders(s, next) > 0 || s.Epoch == next },
			func(s *fsm.Trust, next uint64) bool { return s.Epoch == next },
			func(s *fsm.Trust, next uint64) bool { return certified(s, next) > 0 },
			func(s *fsm.Trust, next uint64) bool { return certified(s, next) > 1 },
		} {
			what := fmt.Sprintf("%s at step %d", victim, step)
			next := epoch + 1
			_, n, ok := l.Leader()
			until(ctx, t, "a leader", func() bool { _, n, ok = l.Leader(); return ok })
			if err := n.TakeSnapshot(ctx); err != nil {
				t.Fatal(what, err)
			}
			until(ctx, t, what+" begins", func() bool { return n.RotateTLS(ctx) == nil || n.TLS().Next == next || n.TLS().Epoch == next })
			until(ctx, t, what, func() (ok bool) {
				n.State(func(s *fsm.State) { ok = reached(s.Trust(), next) })
				return ok
			})
			id := n.Self().ID
			if victim == "follower" {
				id = name((slices.Index(l.Nodes(), id) + 1) % 3)
				_ = l.Node(id).TakeSnapshot(ctx) // there may be nothing new
			}
			l.Kill(id)
			if err := l.Restart(ctx, id); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			for _, id := range l.Living() {
				until(ctx, t, what+": the end at "+id, rotated(l.Node(id), next))
			}
			put(ctx, t, l, what)
			epoch = next
		}
	}
}

func holders(s *fsm.Trust, epoch uint64) (n int) {
	for _, id := range s.Members() {
		if m, _ := s.Member(id); m.Holds >= epoch {
			n++
		}
	}
	return n
}

func certified(s *fsm.Trust, epoch uint64) (n int) {
	for _, id := range s.Members() {
		if m, _ := s.Member(id); m.Cert >= epoch {
			n++
		}
	}
	return n
}

// TestARotationWithComersAndGoers has a node down through a rotation, one that
// joins in its middle, and the removal of the one that is down: only then it ends.
// The removed one joins again on an empty disk.
func TestARotationWithComersAndGoers(t *testing.T) {
	l, ctx := secureLab(t, 3)
	old, _, err := l.Node("node1").CreateJoinToken(ctx, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	l.Kill("node3")
	var n *node.Node
	until(ctx, t, "a leader", func() (ok bool) { _, n, ok = l.Leader(); return ok })
	until(ctx, t, "the rotation begins", func() bool { return n.RotateTLS(ctx) == nil })
	if err := l.Add(ctx, "node4"); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, "all but one hold the next secret", func() (ok bool) {
		n.State(func(s *fsm.State) { ok = holders(s.Trust(), 2) == 3 && s.Trust().Epoch == 1 })
		return ok
	})
	put(ctx, t, l, "a")
	until(ctx, t, "the removal", func() bool { return n.RemoveNode(ctx, "node3", true) == nil })
	for _, id := range l.Living() {
		until(ctx, t, "the end at "+id, rotated(l.Node(id), 2))
	}
	if err := l.TryJoin(ctx, "node5", old); err == nil || !strings.Contains(err.Error(), "made before `botnode tls rotate`") {
		t.Errorf("a token of before the rotation: %v", err)
	}
	token, made, err := l.Node("node1").CreateJoinToken(ctx, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range l.Node("node1").JoinTokens() {
		if k.Outdated != (k.ID != made.ID) {
			t.Errorf("made after the rotation is %s alone: %+v", made.ID, k)
		}
	}
	// Gossip takes a moment to find out that its process is dead.
	until(ctx, t, "the removed node joins on an empty disk", func() bool { return l.TryJoin(ctx, "node3", token) == nil })
	put(ctx, t, l, "b")
}

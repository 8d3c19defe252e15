package node_test

import (
	"errors"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
)

// TestAdminTokensHoldOnEveryNode makes and revokes tokens at different nodes.
func TestAdminTokensHoldOnEveryNode(t *testing.T) {
	l, ctx := secureLab(t, 2)
	one, two := l.Node(name(0)), l.Node(name(1))
	if one.HasAdminTokens() {
		t.Error("there are admin tokens before there is one")
	}
	if _, err := one.CreateAdminToken(ctx, "ci", fsm.AdminOperate, 0); !errors.Is(err, admin.ErrRefused) {
		t.Errorf("the first token has the right operator: %v", err)
	}
	ops, err := one.CreateAdminToken(ctx, "ops", fsm.AdminAll, 0)
	if err != nil {
		t.Fatal(err)
	}
	ci, err := two.CreateAdminToken(ctx, "ci", fsm.AdminOperate, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	short, err := two.CreateAdminToken(ctx, "short", fsm.AdminRead, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if err := two.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if err := one.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, "the short one expires", func() bool { return time.Now().UnixMilli() > short.ExpiresMS })
	for _, n := range []*node.Node{one, two} {
		if right, ok := n.AdminRight(ops.Token); !ok || right != fsm.AdminAll || !n.HasAdminTokens() {
			t.Errorf("ops: %v, %t", right, ok)
		}
		if right, ok := n.AdminRight(ci.Token); !ok || right != fsm.AdminOperate {
			t.Errorf("ci: %v, %t", right, ok)
		}
		if _, ok := n.AdminRight(short.Token); ok {
			t.Error("an expired token is good")
		}
		for _, wrong := range []string{"", "ops", "bnadmin.ops.", "bnadmin.none." + ops.Token[len("bnadmin.ops."):], "bnadmin.ci." + ops.Token[len("bnadmin.ops."):]} {
			if _, ok := n.AdminRight(wrong); ok {
				t.Errorf("%q is good", wrong)
			}
		}
		for _, k := range n.AdminTokens() {
			if k.Token != "" {
				t.Errorf("the list shows the token of %s", k.Name)
			}
		}
	}
	if _, err := two.CreateAdminToken(ctx, "ops", fsm.AdminAll, 0); !errors.Is(err, admin.ErrConflict) {
		t.Errorf("a second token of the name: %v", err)
	}
	if err := two.RevokeAdminToken(ctx, "ops"); !errors.Is(err, admin.ErrRefused) {
		t.Errorf("the last token with all rights is revoked: %v", err)
	}
	if err := two.RevokeAdminToken(ctx, "ci"); err != nil {
		t.Fatal(err)
	}
	if err := two.RevokeAdminToken(ctx, "ci"); !errors.Is(err, admin.ErrNotFound) {
		t.Errorf("revoked twice: %v", err)
	}
	until(ctx, t, "it is revoked everywhere", func() bool { _, ok := one.AdminRight(ci.Token); return !ok })
}

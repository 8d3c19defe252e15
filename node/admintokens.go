package node

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/trust"
)

// AdminRight implements admin.Backend.
func (n *Node) AdminRight(text string) (fsm.AdminRight, bool) {
	shown, ok := trust.ParseAdminToken(text)
	if !ok {
		return 0, false
	}
	var t fsm.AdminToken
	known := false
	n.State(func(s *fsm.State) { t, known = s.AdminTokens().Token(shown.Name) })
	good := trust.Shown(shown.Secret, t.Hash) && known && (t.Expires == 0 || time.Now().UnixMilli() < t.Expires)
	return t.Right, good
}

// HasAdminTokens implements admin.Backend.
func (n *Node) HasAdminTokens() (yes bool) {
	n.State(func(s *fsm.State) { yes = s.AdminTokens().Any() })
	return yes
}

// AdminTokens implements admin.Backend.
func (n *Node) AdminTokens() []admin.Token {
	out := []admin.Token{}
	n.State(func(s *fsm.State) {
		for _, t := range s.AdminTokens().List() {
			out = append(out, adminToken(t))
		}
	})
	return out
}

func adminToken(t fsm.AdminToken) admin.Token {
	return admin.Token{Name: t.Name, Right: t.Right.String(), CreatedMS: t.At, ExpiresMS: t.Expires}
}

// CreateAdminToken implements admin.Backend.
func (n *Node) CreateAdminToken(ctx context.Context, name string, right fsm.AdminRight, life time.Duration) (admin.Token, error) {
	t, now := trust.NewAdminToken(name), time.Now()
	stored := fsm.AdminToken{Name: name, Hash: t.Hash(), Right: right, At: now.UnixMilli()}
	if life > 0 {
		stored.Expires = now.Add(life).UnixMilli()
	}
	for {
		known := false
		res, err := n.command(ctx, func(s *fsm.State) fsm.Command {
			_, known = s.AdminTokens().Token(name)
			return &fsm.PutAdminToken{Rev: s.AdminTokens().Rev, Token: stored}
		})
		switch {
		case res.Code == fsm.Conflict && known:
			return admin.Token{}, admin.WithHint(err, "`botnode admin-token revoke "+name+"` first, or choose another name")
		case res.Code == fsm.Conflict && ctx.Err() == nil:
			if err := n.catchUp(ctx); err != nil {
				return admin.Token{}, fmt.Errorf("%w: %w", admin.ErrNoQuorum, err)
			}
		case err != nil:
			return admin.Token{}, err
		default:
			n.log.Info("an admin token was made", zap.String("name", name), zap.Stringer("right", right))
			out := adminToken(stored)
			out.Token = t.Text()
			return out, nil
		}
	}
}

// RevokeAdminToken implements admin.Backend.
func (n *Node) RevokeAdminToken(ctx context.Context, name string) error {
	if err := n.catchUp(ctx); err != nil { // another node may have made it
		return fmt.Errorf("%w: %w", admin.ErrNoQuorum, err)
	}
	res, err := n.command(ctx, func(s *fsm.State) fsm.Command {
		t, _ := s.AdminTokens().Token(name)
		return &fsm.DropAdminToken{Name: name, Hash: t.Hash}
	})
	if err == nil && res.Code == fsm.Old {
		return admin.WithHint(fmt.Errorf("%w: admin token %q", admin.ErrNotFound, name), "`botnode admin-token list` shows the tokens")
	}
	if err == nil {
		n.log.Info("an admin token was revoked", zap.String("name", name))
	}
	return err
}

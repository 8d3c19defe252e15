package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/botnode/botnode/fsm"
)

// Token is a token with which operators and their tools command the cluster.
type Token struct {
	Name      string `json:"name"`
	Right     string `json:"right"` // read, operator or admin
	CreatedMS int64  `json:"created_ms"`
	ExpiresMS int64  `json:"expires_ms"` // Unix milliseconds, 0 for never
	// Token is the token itself. Only the answer that makes it has it.
	Token string `json:"token,omitempty"`
}

// MaxAdminTokenLife bounds the life of a token that expires.
const MaxAdminTokenLife = 10 * 365 * 24 * time.Hour

// adminTokenRequest is the body that asks for a token.
type adminTokenRequest struct {
	Name       string `json:"name"`
	Right      string `json:"right"`
	TTLSeconds int64  `json:"ttl_s,omitempty"` // 0 for a token that doesn't expire
}

func (s *Server) listAdminTokens(q *request) error { return q.json(s.o.Backend.AdminTokens()) }

func (s *Server) createAdminToken(q *request) error {
	var b adminTokenRequest
	if err := q.body(&b); err != nil {
		return err
	}
	if err := checkName(b.Name, "an admin token"); err != nil {
		return err
	}
	right, ok := fsm.ParseAdminRight(b.Right)
	if !ok {
		return WithHint(fmt.Errorf("%w: right %q", ErrBadRequest, b.Right), "the rights are read, operator and admin")
	}
	if b.TTLSeconds < 0 || b.TTLSeconds > int64(MaxAdminTokenLife/time.Second) {
		return WithHint(fmt.Errorf("%w: an admin token can't hold for %d seconds", ErrBadRequest, b.TTLSeconds), "choose a second to ten years, or 0 for no end")
	}
	ctx, cancel := q.command()
	defer cancel()
	t, err := s.o.Backend.CreateAdminToken(ctx, b.Name, right, time.Duration(b.TTLSeconds)*time.Second)
	if err != nil {
		return err
	}
	return q.json(t)
}

func (s *Server) revokeAdminToken(q *request) error {
	ctx, cancel := q.command()
	defer cancel()
	return q.done(s.o.Backend.RevokeAdminToken(ctx, q.PathValue("name")))
}

// AdminTokens lists the admin tokens.
func (c *Client) AdminTokens(ctx context.Context) (out []Token, err error) {
	return out, c.get(ctx, "/admin-tokens", nil, &out)
}

// CreateAdminToken makes an admin token and returns it; it is shown this once. A
// life of 0 is one without end. After ErrUnknownOutcome it may exist, and nobody
// knows it: revoke it, and make another.
func (c *Client) CreateAdminToken(ctx context.Context, name string, right fsm.AdminRight, life time.Duration) (out Token, err error) {
	return out, c.create(ctx, "/admin-tokens", adminTokenRequest{Name: name, Right: right.String(), TTLSeconds: int64(life / time.Second)}, &out)
}

// RevokeAdminToken makes an admin token worthless.
func (c *Client) RevokeAdminToken(ctx context.Context, name string) error {
	return c.command(ctx, http.MethodDelete, "/admin-tokens/"+url.PathEscape(name), nil)
}

package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// JoinToken is a token with which machines become nodes of a cluster with TLS.
type JoinToken struct {
	ID        string `json:"id"`
	ExpiresMS int64  `json:"expires_ms"` // Unix milliseconds
	Used      uint64 `json:"used"`       // nodes that were admitted with it
	// Outdated is set for one that was made before the cluster's keys were rotated:
	// it names the authority of then, and a machine that has it trusts no other.
	Outdated bool `json:"outdated,omitempty"`
	// Token is the token itself. Only the answer that makes it has it.
	Token string `json:"token,omitempty"`
}

// TLS is what the cluster's nodes prove themselves with.
type TLS struct {
	Enabled bool   `json:"enabled"`
	Epoch   uint64 `json:"epoch"` // of the keys in use
	// Next is the epoch of the keys that a rotation brings, 0 while there is none.
	Next        uint64         `json:"next"`
	Authorities []TLSAuthority `json:"authorities"`
	Members     []TLSMember    `json:"members"`
}

// TLSAuthority signs nodes' certificates.
type TLSAuthority struct {
	Epoch       uint64 `json:"epoch"`
	Fingerprint string `json:"fingerprint"` // SHA-256, URL-safe base64
	Certificate string `json:"certificate"` // PEM
}

// TLSMember is a node with a certificate.
type TLSMember struct {
	ID          string    `json:"id"`
	Holds       uint64    `json:"holds"`       // the newest epoch whose keys it holds
	Certificate uint64    `json:"certificate"` // the epoch of its certificate's authority
	NotAfter    time.Time `json:"not_after"`
	// Behind is set while a rotation waits for this node.
	Behind bool `json:"behind,omitempty"`
}

// The life of a join token.
const (
	DefaultJoinTokenLife = time.Hour
	MaxJoinTokenLife     = 30 * 24 * time.Hour
)

type joinTokenRequest struct {
	TTLSeconds int64 `json:"ttl_s"`
}

func (s *Server) createJoinToken(q *request) error {
	var b joinTokenRequest
	if err := q.body(&b); err != nil {
		return err
	}
	life := time.Duration(b.TTLSeconds) * time.Second
	if b.TTLSeconds == 0 {
		life = DefaultJoinTokenLife
	}
	if life < time.Second || life > MaxJoinTokenLife {
		return WithHint(fmt.Errorf("%w: a join token can't hold for %s", ErrBadRequest, life), "choose a second to 30 days")
	}
	ctx, cancel := q.command()
	defer cancel()
	text, t, err := s.o.Backend.CreateJoinToken(ctx, life)
	if err != nil {
		return err
	}
	t.Token = text
	return q.json(t)
}

func (s *Server) listJoinTokens(q *request) error { return q.json(s.o.Backend.JoinTokens()) }

func (s *Server) revokeJoinToken(q *request) error {
	ctx, cancel := q.command()
	defer cancel()
	return q.done(s.o.Backend.RevokeJoinToken(ctx, q.PathValue("id")))
}

func (s *Server) getTLS(q *request) error { return q.json(s.o.Backend.TLS()) }

func (s *Server) rotateTLS(q *request) error {
	ctx, cancel := q.command()
	defer cancel()
	return q.done(s.o.Backend.RotateTLS(ctx))
}

func (s *Server) getBackupKey(q *request) error {
	key, err := s.o.Backend.BackupKey()
	if err != nil {
		return err
	}
	return q.json(backupKey{key})
}

type backupKey struct {
	Key string `json:"key"`
}

// JoinTokens lists the join tokens.
func (c *Client) JoinTokens(ctx context.Context) (out []JoinToken, err error) {
	return out, c.get(ctx, "/join-tokens", nil, &out)
}

// CreateJoinToken makes a join token and returns it; it is shown this once.
func (c *Client) CreateJoinToken(ctx context.Context, life time.Duration) (out JoinToken, err error) {
	return out, c.create(ctx, "/join-tokens", joinTokenRequest{TTLSeconds: int64(life / time.Second)}, &out)
}

// RevokeJoinToken makes a join token worthless. Nodes that joined with it stay.
func (c *Client) RevokeJoinToken(ctx context.Context, id string) error {
	return c.command(ctx, http.MethodDelete, "/join-tokens/"+url.PathEscape(id), nil)
}

// TLS shows the cluster's certificates.
func (c *Client) TLS(ctx context.Context) (out TLS, err error) {
	return out, c.get(ctx, "/tls", nil, &out)
}

// RotateTLS begins the replacement of the cluster's keys; TLS shows its progress.
func (c *Client) RotateTLS(ctx context.Context) error {
	return c.command(ctx, http.MethodPost, "/tls/rotate", nil)
}

// BackupKey returns the key that opens the cluster's backups.
func (c *Client) BackupKey(ctx context.Context) (string, error) {
	var out backupKey
	return out.Key, c.get(ctx, "/tls/backup-key", nil, &out)
}

package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/fsm"
)

// ClientKey is a key that clients of the proxy show in place of the bot's token.
type ClientKey struct {
	Bot       string   `json:"bot"`
	Name      string   `json:"name"`
	Rights    []string `json:"rights"` // events, rest, read
	CreatedMS int64    `json:"created_ms"`
	// Sessions counts the gateway sessions that were opened with it and can go on.
	Sessions int `json:"sessions"`
	// Key is the key itself. Only the answer that makes it has it.
	Key string `json:"key,omitempty"`
}

// DefaultClientRights are those of a key for which none are named.
const DefaultClientRights = fsm.RightEvents | fsm.RightREST

// clientKeyRequest is the body that asks for a key.
type clientKeyRequest struct {
	Name   string   `json:"name"`
	Rights []string `json:"rights,omitempty"`
}

func (s *Server) listClientKeys(q *request) error {
	out := []ClientKey{}
	err := q.view(func(b *fsm.Bot, _ *cache.Cache) {
		sessions := make(map[string]int)
		for _, cs := range b.ClientSessions() {
			sessions[cs.Key]++
		}
		for _, k := range b.ClientKeys() {
			out = append(out, ClientKey{
				Bot: b.Name, Name: k.Name, Rights: strings.Split(k.Rights.String(), ","), CreatedMS: k.At, Sessions: sessions[k.Name],
			})
		}
	})
	if err != nil {
		return err
	}
	return q.json(out)
}

func (s *Server) createClientKey(q *request) error {
	bot, err := q.bot()
	if err != nil {
		return err
	}
	var b clientKeyRequest
	if err := q.body(&b); err != nil {
		return err
	}
	if err := checkName(b.Name, "a client key"); err != nil {
		return err
	}
	rights := DefaultClientRights
	if len(b.Rights) > 0 {
		var ok bool
		if rights, ok = fsm.ParseRights(strings.Join(b.Rights, ",")); !ok {
			return WithHint(fmt.Errorf("%w: rights %s", ErrBadRequest, strings.Join(b.Rights, ",")), "the rights are events, rest and read")
		}
	}
	ctx, cancel := q.command()
	defer cancel()
	key, err := s.o.Backend.CreateClientKey(ctx, bot, b.Name, rights)
	if err != nil {
		return err
	}
	return q.json(ClientKey{Bot: bot, Name: b.Name, Rights: strings.Split(rights.String(), ","), Key: key})
}

func (s *Server) revokeClientKey(q *request) error {
	bot, err := q.bot()
	if err != nil {
		return err
	}
	ctx, cancel := q.command()
	defer cancel()
	return q.done(s.o.Backend.RevokeClientKey(ctx, bot, q.PathValue("name")))
}

// checkName wants a name that can stand in a path, a log and a table.
func checkName(name, of string) error {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if strings.Trim(name, plain) != "" || name == "" || name == "." || name == ".." || len(name) > fsm.MaxClientKeyName {
		return WithHint(fmt.Errorf("%w: %q can't be the name of %s", ErrBadRequest, name, of),
			fmt.Sprintf("a name has 1 to %d of the characters a-z, A-Z, 0-9, -, _ and .", fsm.MaxClientKeyName))
	}
	return nil
}

// ClientKeys lists the bot's client keys.
func (c *Client) ClientKeys(ctx context.Context) (out []ClientKey, err error) {
	return out, c.get(ctx, "/client-keys", nil, &out)
}

// CreateClientKey makes a client key and returns it. It is shown this once.
// Without rights it has those of DefaultClientRights. After ErrUnknownOutcome it
// may exist, and nobody knows it: revoke it, and make another.
func (c *Client) CreateClientKey(ctx context.Context, name string, rights ...string) (out ClientKey, err error) {
	return out, c.create(ctx, "/client-keys", clientKeyRequest{Name: name, Rights: rights}, &out)
}

// RevokeClientKey makes a client key worthless and ends its sessions.
func (c *Client) RevokeClientKey(ctx context.Context, name string) error {
	return c.command(ctx, http.MethodDelete, "/client-keys/"+url.PathEscape(name), nil)
}

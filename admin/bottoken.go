package admin

import (
	"context"
	"net/http"
	"strings"
)

// BotToken says whether the cluster has a bot's Discord token. Nothing shows the
// token itself.
type BotToken struct {
	Bot    string `json:"bot"`
	Sealed bool   `json:"sealed"` // the replicated state has it, encrypted
	// Revision counts the tokens that there were.
	Revision uint64 `json:"revision"`
	Epoch    uint64 `json:"epoch"` // of the cluster's secret that it is encrypted with
	// Uses says which token the node that was asked uses: sealed, own or none;
	// damaged if it can't open the sealed one.
	Uses string `json:"uses"`
	// Differs is set if the node has a token of its own that is another one.
	Differs bool `json:"differs,omitempty"`
}

type botTokenRequest struct {
	Token string `json:"token"`
}

func (s *Server) getBotToken(q *request) error {
	bot, err := q.bot()
	if err != nil {
		return err
	}
	return q.json(s.o.Backend.BotToken(bot))
}

func (s *Server) setBotToken(q *request) error {
	bot, err := q.bot()
	if err != nil {
		return err
	}
	var b botTokenRequest
	if err := q.body(&b); err != nil {
		return err
	}
	ctx, cancel := q.command()
	defer cancel()
	return q.done(s.o.Backend.SetBotToken(ctx, bot, strings.TrimPrefix(strings.TrimSpace(b.Token), "Bot ")))
}

func (s *Server) dropBotToken(q *request) error {
	bot, err := q.bot()
	if err != nil {
		return err
	}
	ctx, cancel := q.command()
	defer cancel()
	return q.done(s.o.Backend.DropBotToken(ctx, bot))
}

// BotToken says whether the cluster has the bot's token.
func (c *Client) BotToken(ctx context.Context) (out BotToken, err error) {
	return out, c.get(ctx, "/bot-token", nil, &out)
}

// SetBotToken gives the cluster the bot's Discord token, encrypted.
func (c *Client) SetBotToken(ctx context.Context, token string) error {
	return c.command(ctx, http.MethodPost, "/bot-token", botTokenRequest{token})
}

// DropBotToken takes the bot's token out of the cluster.
func (c *Client) DropBotToken(ctx context.Context) error {
	return c.command(ctx, http.MethodDelete, "/bot-token", nil)
}

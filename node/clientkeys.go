package node

import (
	"context"
	"fmt"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/jsonscan"
	"github.com/botnode/botnode/proxy"
)

// ServesProxy tells the node of its proxy, for the status: the address that it
// listens on, and how many clients it has.
func (n *Node) ServesProxy(addr string, clients func() int) {
	n.proxy.Store(&proxyInfo{addr, clients})
}

// proxyInfo is what the node knows of its proxy.
type proxyInfo struct {
	addr    string
	clients func() int
}

// CreateClientKey implements admin.Backend.
func (n *Node) CreateClientKey(ctx context.Context, bot, name string, rights fsm.Rights) (string, error) {
	id, err := n.accountID(ctx, bot)
	if err != nil {
		return "", err
	}
	key, hash := proxy.NewKey(id)
	res, err := n.command(ctx, func(s *fsm.State) fsm.Command {
		k := fsm.ClientKey{Name: name, Hash: hash, Rights: rights, At: time.Now().UnixMilli()}
		if b := s.Bot(bot); b != nil {
			k.At = max(k.At, b.NextClientKeyAt(name))
		}
		return &fsm.PutClientKey{Bot: bot, Key: k}
	})
	switch {
	case err != nil && res.Code == fsm.Conflict:
		return "", admin.WithHint(err, "`botnode client-key revoke "+name+"` first, or choose another name")
	case err != nil:
		return "", err
	case res.Code == fsm.Old:
		return "", fmt.Errorf("%w: %s", admin.ErrConflict, res.Msg)
	}
	return key, nil
}

// RevokeClientKey implements admin.Backend.
func (n *Node) RevokeClientKey(ctx context.Context, bot, name string) error {
	known := false
	res, err := n.command(ctx, func(s *fsm.State) fsm.Command {
		cmd := &fsm.DropClientKey{Bot: bot, Name: name}
		if b := s.Bot(bot); b != nil {
			var k fsm.ClientKey
			k, known = b.ClientKeyNamed(name)
			cmd.Hash = k.Hash
		}
		return cmd
	})
	if err == nil && (res.Code == fsm.Old || !known) {
		return admin.WithHint(fmt.Errorf("%w: client key %q", admin.ErrNotFound, name), "`botnode client-key list` shows the keys")
	}
	return err
}

// accountID returns the id of the bot's user: out of the cache, while the bot has
// had no session yet out of the token, and for a token of another form from Discord.
func (n *Node) accountID(ctx context.Context, bot string) (discord.Snowflake, error) {
	var self []byte
	n.State(func(s *fsm.State) {
		if b := s.Bot(bot); b != nil {
			self = b.Cache().Self()
		}
	})
	if id := jsonscan.ID(jsonscan.Get(self, "id")); id != 0 {
		return discord.Snowflake(id), nil
	}
	if id, err := discord.ParseSnowflake(n.userID(bot)); err == nil && id != 0 {
		return id, nil
	}
	rt := n.bots[bot]
	if rt == nil {
		return 0, admin.WithHint(fmt.Errorf("%w: this node's program doesn't have bot %s, whose user isn't known yet", admin.ErrNotReady, bot),
			"ask a node that runs it, or wait until it is connected")
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	var user struct {
		ID discord.Snowflake `json:"id"`
	}
	if err := rt.get(ctx, "/users/@me", &user); err != nil || user.ID == 0 {
		return 0, admin.WithHint(fmt.Errorf("%w: the bot's user isn't known: it has had no session yet, and Discord doesn't say (%w)", admin.ErrNotReady, err),
			"a client key begins with the bot's id; `botnode status` says what keeps the bot from Discord")
	}
	return user.ID, nil
}

package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"

	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/jsonscan"
	"github.com/botnode/botnode/trust"
)

// sealBotToken is the purpose for which a bot's token is sealed; the place is the
// bot's name.
const sealBotToken = "bot token"

// sealedToken is what a bot's sealed token opened to.
type sealedToken struct {
	mu   sync.Mutex // guards what follows
	of   fsm.BotToken
	text string // "" where of isn't, or could not be opened
	err  error  // why it could not
}

// tokenNow returns the bot's token: the sealed one of the state that this node has
// applied, else its own, else "".
func (rt *botRuntime) tokenNow() string {
	if text, _, _ := rt.sealedNow(); text != "" {
		return text
	}
	return rt.bot.Token
}

// sealedNow opens the bot's sealed token, once for each that the state has had.
func (rt *botRuntime) sealedNow() (text string, of fsm.BotToken, err error) {
	if rt.n.keys == nil {
		return "", of, nil
	}
	rt.n.State(func(s *fsm.State) { of = s.BotToken(rt.bot.Name) })
	t := &rt.token
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of.Rev != of.Rev || t.err != nil {
		t.of = of
		t.text, t.err = rt.n.unsealToken(rt.bot.Name, of)
	}
	return t.text, of, t.err
}

// unsealToken opens a sealed token; "" for none.
func (n *Node) unsealToken(bot string, of fsm.BotToken) (string, error) {
	if len(of.Box) == 0 {
		return "", nil
	}
	secret, ok := n.keys.Secret(of.Epoch)
	if !ok {
		return "", fmt.Errorf("the secret of epoch %d: %w", of.Epoch, trust.ErrNoKey)
	}
	plain, err := secret.Unseal(sealBotToken, bot, of.Box)
	return string(plain), err
}

// lacksToken names a bot that this node can't speak to Discord for, "" for none.
func (n *Node) lacksToken() string {
	for _, b := range n.o.Bots {
		if n.bots[b.Name].tokenNow() == "" {
			return b.Name
		}
	}
	return ""
}

// followTokens tells of the sealed tokens that come and go, and keeps them sealed
// under the secret in use.
func (n *Node) followTokens() {
	if n.keys == nil {
		return // nothing is sealed, and nothing could be opened
	}
	seen := make(map[string]tokenSeen)
	var epoch uint64
	for n.ctx.Err() == nil {
		changed := n.machine.Changed()
		failed := false
		for _, b := range n.o.Bots {
			failed = !n.noteToken(b, seen) || failed
		}
		var now uint64
		n.State(func(s *fsm.State) { now = s.Trust().Epoch })
		if now != epoch || failed {
			failed = !n.resealTokens(now) || failed
			epoch = now
		}
		if !failed {
			n.waitTokens(changed, seen, epoch)
		} else if pause(n.ctx, time.Second) != nil {
			return
		}
	}
}

// tokenSeen is what this node has told of a bot's token.
type tokenSeen struct {
	rev  uint64
	said bool // that there is none, or that it can't be opened
}

// waitTokens waits until something about tokens has changed, and looks from time
// to time: who leads may have changed.
func (n *Node) waitTokens(changed <-chan struct{}, seen map[string]tokenSeen, epoch uint64) {
	n.waitState(changed, 10*time.Second, func(s *fsm.State) bool {
		same := s.Trust().Epoch == epoch
		for _, b := range n.o.Bots {
			same = same && s.BotToken(b.Name).Rev == seen[b.Name].rev
		}
		return same
	})
}

// noteToken looks at a bot's token, and says what there is to say. It reports
// whether it could be opened.
func (n *Node) noteToken(b *Bot, seen map[string]tokenSeen) bool {
	rt, was := n.bots[b.Name], seen[b.Name]
	text, of, err := rt.sealedNow()
	log := n.log.With(zap.String("bot", b.Name))
	switch {
	case err != nil:
		if !was.said {
			log.Warn("the bot's sealed token can't be opened yet; trying again", zap.String("code", "bot_token_sealed"), zap.Error(err))
		}
		seen[b.Name] = tokenSeen{was.rev, true}
		return false
	case of.Rev == was.rev:
		if rt.tokenNow() == "" && !was.said {
			log.Warn("this node has no token of the bot and serves none of its shards: `botnode bot-token set` gives the cluster one, "+
				"or set BOTNODE_TOKEN or DISCORD_TOKEN, or give --token-file", zap.String("code", "no_bot_token"))
			seen[b.Name] = tokenSeen{was.rev, true}
		}
		return true
	case text == "":
		log.Info("the bot's sealed token was dropped")
	default:
		log.Info("the bot's sealed token is in use", zap.Uint64("revision", of.Rev), zap.Uint64("epoch", of.Epoch))
		if b.Token != "" && b.Token != text {
			log.Warn("this node's own token of the bot differs from the cluster's, which goes before it: take it away", zap.String("code", "bot_token_differs"))
		}
	}
	seen[b.Name] = tokenSeen{rev: of.Rev}
	rt.noteRefusal(0)
	n.manager.TokenReplaced(b.Name)
	return true
}

// resealTokens seals all tokens anew that aren't sealed under the secret in use,
// if this node leads. It reports whether nothing is left to do for it.
func (n *Node) resealTokens(epoch uint64) bool {
	if n.keys == nil || !n.raft.Load().IsLeader() {
		return true
	}
	done := true
	var old []string
	n.State(func(s *fsm.State) {
		for _, bot := range s.BotTokens() {
			if t := s.BotToken(bot); len(t.Box) > 0 && t.Epoch != epoch {
				old = append(old, bot)
			}
		}
	})
	for _, bot := range old {
		if err := n.reseal(bot, epoch); err != nil {
			n.log.Warn("the bot's token is not sealed under the new secret yet; trying again",
				zap.String("bot", bot), zap.String("code", "bot_token_sealed"), zap.Error(err))
			done = false
		}
	}
	return done
}

func (n *Node) reseal(bot string, epoch uint64) error {
	var of fsm.BotToken
	n.State(func(s *fsm.State) { of = s.BotToken(bot) })
	secret, ok := n.keys.Secret(epoch)
	if !ok {
		return trust.ErrNoKey
	}
	text, err := n.unsealToken(bot, of)
	if err != nil || text == "" {
		return err
	}
	box := secret.Seal(sealBotToken, bot, []byte(text))
	ctx, cancel := context.WithTimeout(n.ctx, opTimeout)
	defer cancel()
	_, err = n.propose(ctx, func(*fsm.State) fsm.Command {
		return &fsm.SetBotToken{Bot: bot, Rev: of.Rev, Epoch: epoch, Box: box} // who was faster has a newer token
	})
	return err
}

// SetBotToken implements admin.Backend.
func (n *Node) SetBotToken(ctx context.Context, bot, token string) error {
	if err := n.checkToken(bot, token); err != nil {
		return err
	}
	return n.changeToken(ctx, bot, func() (uint64, []byte, error) {
		secret, ok := n.keys.Current()
		if !ok {
			return 0, nil, fmt.Errorf("%w: %w", admin.ErrNotReady, trust.ErrNoCertificate)
		}
		return secret.Epoch, secret.Seal(sealBotToken, bot, []byte(token)), nil
	})
}

// DropBotToken implements admin.Backend.
func (n *Node) DropBotToken(ctx context.Context, bot string) error {
	return n.changeToken(ctx, bot, func() (uint64, []byte, error) { return 0, nil, nil })
}

func (n *Node) changeToken(ctx context.Context, bot string, seal func() (epoch uint64, box []byte, err error)) error {
	if n.keys == nil {
		return admin.WithHint(fmt.Errorf("%w: this cluster has no TLS between its nodes, so that a token in its state could be read", admin.ErrRefused),
			"a cluster has TLS if its first node was started with an address beyond loopback, or with --cluster-tls; without, give each node its token by BOTNODE_TOKEN or --token-file")
	}
	if err := n.awaitAuthority(ctx); err != nil {
		return err
	}
	for {
		if err := n.catchUp(ctx); err != nil {
			return fmt.Errorf("%w: %w", admin.ErrNoQuorum, err)
		}
		epoch, box, err := seal()
		if err != nil {
			return err
		}
		res, err := n.command(ctx, func(s *fsm.State) fsm.Command {
			return &fsm.SetBotToken{Bot: bot, Rev: s.BotToken(bot).Rev, Epoch: epoch, Box: box}
		})
		switch {
		case res.Code == fsm.Conflict && pause(ctx, 20*time.Millisecond) == nil: // a rotation, or another at it
		case err != nil:
			return err
		default:
			n.log.Info("the bot's sealed token was changed", zap.String("bot", bot), zap.Bool("dropped", len(box) == 0))
			return nil
		}
	}
}

// maxToken bounds a token's length; Discord's have about 70 bytes.
const maxToken = 512

// checkToken judges a token's form. Errors don't hold it.
func (n *Node) checkToken(bot, token string) error {
	bad := func(why string) error { return fmt.Errorf("%w: the token %s", admin.ErrBadRequest, why) }
	switch {
	case token == "":
		return bad("is empty")
	case len(token) > maxToken:
		return bad("is too long")
	case strings.ContainsFunc(token, func(r rune) bool { return r > unicode.MaxASCII || unicode.IsSpace(r) || unicode.IsControl(r) }):
		return bad("has a blank or another character in it that no token has")
	}
	var self []byte
	n.State(func(s *fsm.State) {
		if b := s.Bot(bot); b != nil {
			self = b.Cache().Self()
		}
	})
	known, says := jsonscan.ID(jsonscan.Get(self, "id")), userOf(token)
	if known != 0 && says != "" && says != fmt.Sprint(known) {
		return admin.WithHint(fmt.Errorf("%w: the token is of another bot account than the one that runs here", admin.ErrRefused),
			"its first part is the id of its account; --bot names the bot that is meant")
	}
	return nil
}

// BotToken implements admin.Backend.
func (n *Node) BotToken(bot string) admin.BotToken {
	var of fsm.BotToken
	n.State(func(s *fsm.State) { of = s.BotToken(bot) })
	out := admin.BotToken{Bot: bot, Sealed: len(of.Box) > 0, Revision: of.Rev, Epoch: of.Epoch, Uses: "none"}
	rt := n.bots[bot]
	if rt == nil {
		return out
	}
	text, _, err := rt.sealedNow()
	out.Differs = text != "" && rt.bot.Token != "" && rt.bot.Token != text
	switch {
	case err != nil && !errors.Is(err, trust.ErrNoKey):
		out.Uses = "damaged"
	case text != "":
		out.Uses = "sealed"
	case rt.bot.Token != "":
		out.Uses = "own"
	}
	return out
}

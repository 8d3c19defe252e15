package dev

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/cli"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/proxy"
)

// clientKey is what a bot in another language shows. It has the form of a real one,
// and is the same each time: whoever can reach the proxy may use it, and it opens
// nothing but a simulated Discord.
func clientKey() string {
	return base64.RawURLEncoding.EncodeToString([]byte(sim.BotID.String())) + ".client.dev"
}

// openProxy serves bots in any language on an address, "" for none.
func (s *session) openProxy(ctx context.Context, addr string) error {
	if addr == "" {
		return nil
	}
	n := s.lab.Node(nodeID)
	res, err := n.ProposeState(ctx, func(*fsm.State) fsm.Command {
		return &fsm.PutClientKey{Bot: cli.DefaultBot, Key: fsm.ClientKey{
			Name: "dev", Hash: proxy.HashKey(clientKey()), Rights: fsm.RightEvents | fsm.RightREST, At: 1,
		}}
	})
	if err == nil && res.Code != fsm.OK {
		err = errors.New(res.Msg)
	}
	if err != nil {
		return fmt.Errorf("making a client key: %w", err)
	}
	ln, err := admin.Listen("--proxy", addr, false)
	switch {
	case errors.Is(err, admin.ErrInsecureBind):
		return admin.WithHint(fmt.Errorf("%w: --proxy %s", proxy.ErrInsecureBind, addr), "listen on 127.0.0.1: everybody knows this proxy's key")
	case err != nil:
		return err
	}
	if s.proxy, err = proxy.New(proxy.Options{Listener: ln, Backend: n, Logger: s.logger()}); err != nil {
		_ = ln.Close()
	}
	return err
}

// closeProxy ends the connections of clients; they come back when there is a proxy
// again.
func (s *session) closeProxy() {
	if s.proxy == nil {
		return
	}
	if err := s.proxy.Close(); err != nil {
		_, _ = fmt.Fprintf(s.o.Stderr, "stopping the proxy: %v\n", err)
	}
	s.proxy = nil
}

// introduce says how a bot in another language reaches the proxy.
func (s *session) introduce() {
	addr := s.proxy.Addr()
	s.printf("PROXY=http://%s   REST below /api/v10, gateway ws://%s\nKEY=%s   in place of the bot's token\n", addr, addr, clientKey())
}

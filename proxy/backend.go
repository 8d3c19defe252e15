package proxy

import (
	"context"
	"errors"
	"net/http"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// ErrLeaving is wrapped by the errors of Backend.Serving that no wait will cure:
// the node is drained, or stops.
var ErrLeaving = errors.New("this node is leaving")

// Backend is the node that the proxy is part of. Its methods are safe for
// concurrent use.
type Backend interface {
	// Self names this process.
	Self() fsm.NodeRef
	// ViewState reads the applied state; f must be quick and keep nothing but what
	// package fsm allows.
	ViewState(f func(s *fsm.State))
	// Sync returns once this node has applied everything that was committed before the
	// call, as a quorum says; an error means that none could be asked in time.
	Sync(ctx context.Context) error
	// Changed is closed after the next change of the state.
	Changed() <-chan struct{}
	// ProposeState proposes a command that is made from the applied state, and returns
	// its answer once it is committed and this node has applied it. Any
	// error means that the outcome is unknown.
	ProposeState(ctx context.Context, build func(*fsm.State) fsm.Command) (fsm.Result, error)
	// Serving returns nil if this node may serve clients, else why it may not: it
	// isn't fresh, it drains or stops (ErrLeaving), or the cluster doesn't count on
	// it.
	Serving() error
	// Speak sends a payload on the gateway connection of the bot's shard with this
	// index, whichever node has it.
	Speak(ctx context.Context, bot string, shard int, op discord.Opcode, d []byte) error
	// REST returns a bot's way to Discord's API, through the limiter, and the
	// API's base URL. The RoundTripper adds the bot's token.
	REST(bot string) (http.RoundTripper, string, error)
}

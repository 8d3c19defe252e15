package proxy

import (
	"context"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// interactionWait is how long an answer to an interaction waits for this node to
// hear of the interaction: the client may have been told by one that is ahead. A
// node that is behind for longer isn't fresh, and says so.
const interactionWait = time.Second

// The most requests that wait so, in all and of an address.
const (
	maxInteractionWaits   = 256
	maxInteractionWaitsOf = 64
)

// maxToken bounds what is taken for an interaction's token at all, in bytes.
const maxToken = 1024

// interactionPath is what a path says of an interaction: its token, and the
// interaction's id (of a callback) or its application's (of its webhook).
type interactionPath struct {
	callback bool
	id       discord.Snowflake
	token    string
}

// parseInteraction reads the path of a request that carries a token of its own.
func parseInteraction(path string) (p interactionPath, ok bool) {
	segs := strings.Split(path, "/") // it begins with a slash
	if len(segs) < 4 {
		return p, false
	}
	token, err := url.PathUnescape(segs[3])
	id, idErr := discord.ParseSnowflake(segs[2])
	if err != nil || idErr != nil || token == "" || len(token) > maxToken {
		return p, false
	}
	return interactionPath{callback: segs[1] == "interactions", id: id, token: token}, true
}

// answering returns in whose name an interaction is answered: its token is all
// that Discord itself asks for, and only who was sent the interaction has it.
func (s *Server) answering(p interactionPath, now time.Time) (c Client, ok bool) {
	s.o.Backend.ViewState(func(st *fsm.State) {
		for _, name := range st.BotNames() {
			b := st.Bot(name)
			in, known := b.Interaction(p.token)
			if !known {
				continue
			}
			want := in.Application
			if p.callback {
				want = in.ID
			}
			if ok = p.id == want && now.UnixMilli() < in.At+fsm.InteractionLife && b.AnyClientKey(fsm.RightREST); ok {
				c = Client{Bot: name, Rights: fsm.RightREST, hash: HashKey("interactions of " + name)}
			}
			return
		}
	})
	return c, ok
}

// awaitInteraction is answering for an interaction that this node may be about to
// hear of.
func (s *Server) awaitInteraction(ctx context.Context, addr netip.Prefix, p interactionPath) (c Client, ok bool) {
	free := s.rest.waits.take(HashKey(addr.String()))
	if free == nil {
		return c, false
	}
	defer free()
	ctx, cancel := context.WithTimeout(ctx, interactionWait)
	defer cancel()
	defer context.AfterFunc(s.rest.ctx, cancel)()
	for {
		changed := s.o.Backend.Changed() // before the look, so that nothing is missed
		if c, ok = s.answering(p, time.Now()); ok {
			return c, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return c, false
		}
	}
}

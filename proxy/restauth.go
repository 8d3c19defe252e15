package proxy

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/botnode/botnode/discord/rest"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/tries"
)

// authenticate returns whose request it is: by the client key that it shows or,
// for a route that carries a token of its own and that libraries call without
// Authorization, by that token if it is that of an interaction which the bot was
// sent, else by the key that its address showed of late.
func (s *Server) authenticate(r *http.Request, path apiPath, route rest.Route) (Client, *apiError) {
	addr, now := tries.NetOf(r.RemoteAddr), time.Now()
	shown := r.Header.Get("Authorization")
	if shown != "" {
		if c, ok := s.client(shown); ok {
			s.vouch(addr, c, now)
			return c, nil
		}
	} else if route.OwnToken() {
		if c, ok, e := s.keyless(r, path, route, addr, now); ok || e != nil {
			return c, e
		}
	}
	if s.o.Backend.Serving() != nil {
		// This node may not know the key yet, as one that has just started: a
		// 401 would have discord.js forget its token.
		return Client{}, errNotFresh
	}
	if wait := s.rest.addresses.fail(addr, now); wait > 0 {
		e := tooMany(wait, "wrong_keys")
		e.hangUp = true
		return Client{}, e
	}
	if shown == "" {
		return Client{}, errUnauthorized
	}
	return s.newClient(r.Context(), shown, addr)
}

// newClient is client for a key that this node doesn't know, and that may be newer
// than what it has applied.
func (s *Server) newClient(ctx context.Context, shown string, addr netip.Prefix) (c Client, e *apiError) {
	known, err := s.surely(ctx, func() (ok bool) { c, ok = s.client(shown); return ok })
	switch {
	case err != nil:
		return Client{}, errNotFresh
	case !known:
		return Client{}, errUnauthorized
	}
	s.vouch(addr, c, time.Now())
	return c, nil
}

// vouch notes that an address has shown a key.
func (s *Server) vouch(addr netip.Prefix, c Client, now time.Time) {
	if c.Rights.Has(fsm.RightREST) {
		s.rest.addresses.vouch(addr, c.hash, now)
	}
}

// refuses says why a client may not send a request of a method, nil if it may: its
// key may have been given more rights than this node has heard of.
func (s *Server) refuses(ctx context.Context, c Client, method string) *apiError {
	if c.allowed(method) {
		return nil
	}
	may, err := s.surely(ctx, func() bool {
		now, known := s.clientOf(c.hash)
		return known && now.allowed(method)
	})
	switch {
	case err != nil:
		return errNotFresh
	case !may:
		return errRights
	}
	return nil
}

// keyless is authenticate for a request whose path carries a token of its own.
func (s *Server) keyless(r *http.Request, path apiPath, route rest.Route, addr netip.Prefix, now time.Time) (c Client, ok bool, e *apiError) {
	in, readable := parseInteraction(path.rest)
	if readable {
		if c, ok = s.answering(in, now); ok {
			return c, true, nil
		}
	}
	if hash, known := s.rest.addresses.vouchedFor(addr, now); known && !ofBrowser(r.Header) {
		if c, ok = s.clientOf(hash); ok {
			if wait := s.rest.addresses.refusedFor(addr, now); wait > 0 {
				return Client{}, false, tooMany(wait, "refused_tokens")
			}
			c.vouched = true
			return c, true, nil
		}
	}
	if readable && route.Interaction {
		c, ok = s.awaitInteraction(r.Context(), addr, in)
	}
	return c, ok, nil
}

// ofBrowser reports whether a web page sent a request: one that runs beside a
// client has its address.
func ofBrowser(h http.Header) bool { return h.Get("Origin") != "" || h.Get("Sec-Fetch-Site") != "" }

// noteVouched counts against an address what Discord refuses of its requests
// without a key: a few thousand of these, and Discord would refuse the node's
// address (topics/rate-limits.mdx, "Invalid Request Limit").
func (s *Server) noteVouched(r *http.Request, c Client, status int) {
	if c.vouched && (status == http.StatusUnauthorized || status == http.StatusForbidden) {
		s.rest.addresses.refuse(tries.NetOf(r.RemoteAddr), time.Now())
	}
}

// allowed says whether a client's rights are enough for a method.
func (c Client) allowed(method string) bool {
	reading := method == http.MethodGet || method == http.MethodHead
	return c.Rights.Has(fsm.RightREST) || reading && c.Rights.Has(fsm.RightRead)
}

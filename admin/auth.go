package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/fsm"
)

// guard lets only requests through whose sender has a right.
//
// Who shows the node's own token, or a token of the cluster, has that one's right.
// Without any token a node answers as long as it has no token of its own and the
// cluster has none either: then whoever reaches its address may do everything, as
// far as no web page made him.
func (s *Server) guard(right fsm.AdminRight, next http.Handler) http.Handler {
	open := sameSite(next)
	if !s.o.Insecure {
		open = sameSite(byAddress(next))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		has, shown, err := s.rightOf(r)
		switch {
		case err != nil:
		case !has.Covers(right):
			err = s.forbidden(right)
		case shown:
			next.ServeHTTP(w, withRight(r, has))
			return
		default:
			open.ServeHTTP(w, withRight(r, has))
			return
		}
		if kindOf(err).status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="botnode"`)
		}
		writeError(w, err)
	})
}

func (*Server) forbidden(right fsm.AdminRight) error {
	return WithHint(fmt.Errorf("%w: it takes the right %s", ErrForbidden, right),
		"`botnode admin-token list` shows what each token may do; somebody with the right admin can make another")
}

// rightOf returns what the sender of a request may do, and whether he has shown a
// token for it.
func (s *Server) rightOf(r *http.Request) (right fsm.AdminRight, shown bool, err error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		if s.o.Token == "" && !s.o.Backend.HasAdminTokens() {
			return fsm.AdminAll, false, nil
		}
		return 0, false, WithHint(ErrUnauthorized, hintToken)
	}
	scheme, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") {
		return 0, false, WithHint(ErrUnauthorized, hintToken)
	}
	// A token of the cluster can't be guessed: whoever has one isn't kept out by
	// others who guess at its address.
	if right, ok := s.o.Backend.AdminRight(token); ok {
		return right, true, nil
	}
	if s.o.Token == "" && !s.o.Backend.HasAdminTokens() {
		return fsm.AdminAll, false, nil // any token is good where none is needed
	}
	now := time.Now()
	if !s.wrong.May(r.RemoteAddr, now) {
		return 0, false, WithHint(ErrTooManyTries, "wait a minute")
	}
	if s.o.Token != "" && sameToken(token, s.o.Token) {
		return fsm.AdminAll, true, nil
	}
	if right, ok := s.newRight(r, token); ok {
		return right, true, nil
	}
	if s.wrong.Count(r.RemoteAddr, now) {
		s.log.Warn("a request to the admin API had a wrong token; others in this minute aren't reported",
			zap.String("code", "admin_token_refused"), zap.String("remote", r.RemoteAddr), zap.String("path", r.URL.Path))
	}
	return 0, false, WithHint(ErrUnauthorized, hintToken)
}

// newRight looks for a token that may be newer than what this node has applied.
func (s *Server) newRight(r *http.Request, token string) (fsm.AdminRight, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), syncTimeout)
	defer cancel()
	if s.o.Backend.Sync(ctx) != nil {
		return 0, false
	}
	return s.o.Backend.AdminRight(token)
}

// syncTimeout bounds how long a token that isn't known is looked for.
const syncTimeout = time.Second

const hintToken = "set BOTNODE_ADMIN_TOKEN to an admin token of the cluster, or to the token that the node was started with"

// sameToken compares digests, so that not even the token's length can be measured.
func sameToken(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// rightKey is the key of a request's right in its context.
type rightKey struct{}

func withRight(r *http.Request, right fsm.AdminRight) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), rightKey{}, right))
}

// needs refuses a request that takes more than its route does.
func (q *request) needs(right fsm.AdminRight) error {
	if has, _ := q.Context().Value(rightKey{}).(fsm.AdminRight); !has.Covers(right) {
		return q.s.forbidden(right)
	}
	return nil
}

// byAddress lets only requests through that name the node by an address, as
// loopback's are: a web page could have its own name point here, and its
// requests would look as if they were of the same site.
func byAddress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		host = strings.Trim(host, "[]")
		if _, err := netip.ParseAddr(host); err != nil && host != "localhost" && host != "" {
			writeError(w, WithHint(ErrUnauthorized, "without a token the node is reached by its address or as localhost alone, not as "+host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// sameSite keeps web pages that the operator's browser shows from commanding a
// node that needs no token: a browser says where a request comes from.
func sameSite(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, WithHint(ErrUnauthorized, "requests of other web sites are refused"))
	}))
	return protection.Handler(next)
}

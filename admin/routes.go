package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// route is one row of the table of routes.
type route struct {
	pattern string
	serve   func(*request) error
}

// routes lists the API, below /v1.
func (s *Server) routes() []route {
	return []route{
		{"GET /status", s.getStatus},
		{"GET /nodes", s.getNodes},
		{"GET /nodes/{id}", s.getNode},
		{"GET /shards", s.getShards},
		{"GET /shards/{id}", s.getShard},
		{"GET /bots", s.getBots},
		{"GET /digest", s.getDigest},
		{"GET /examine", s.getExaminations},
		{"GET /snapshot", s.getSnapshot},
		{"GET /cache/stats", s.getCacheStats},
		{"GET /cache/guilds/{id}", s.getGuild},
		{"GET /cache/guilds/{id}/{kind}", s.getGuildList},
		{"GET /cache/users/{id}", s.getUser},
		{"GET /kv", s.listKV},
		{"GET /kv/{key...}", s.getKV},
		{"PUT /kv/{key...}", s.putKV},
		{"DELETE /kv/{key...}", s.deleteKV},
		{"GET /events", s.getEvents},
		{"GET /config", s.getConfig},
		{"PUT /config", s.putConfig},
		{"GET /dead-letters", s.listDeadLetters},
		{"POST /dead-letters/{pos}/retry", s.retryDeadLetter},
		{"POST /dead-letters/{pos}/drop", s.dropDeadLetter},
		{"DELETE /dead-letters/{pos}", s.dropDeadLetter},
		{"GET /client-keys", s.listClientKeys},
		{"POST /client-keys", s.createClientKey},
		{"DELETE /client-keys/{name}", s.revokeClientKey},
		{"GET /join-tokens", s.listJoinTokens},
		{"POST /join-tokens", s.createJoinToken},
		{"DELETE /join-tokens/{id}", s.revokeJoinToken},
		{"GET /tls", s.getTLS},
		{"POST /tls/rotate", s.rotateTLS},
		{"GET /tls/backup-key", s.getBackupKey},
		{"POST /join", s.join},
		{"POST /leave", s.leave},
		{"POST /nodes/{id}/drain", s.drain(true)},
		{"DELETE /nodes/{id}/drain", s.drain(false)},
		{"POST /nodes/{id}/promote", s.setVoter(true)},
		{"POST /nodes/{id}/demote", s.setVoter(false)},
		{"DELETE /nodes/{id}", s.removeNode},
		{"POST /leader/transfer", s.transferLeader},
		{"POST /shards/{id}/move", s.moveShard},
		{"POST /takeover", s.takeover},
		{"POST /shards/{id}/connect", s.connectShard},
		{"POST /shards/{id}/disconnect", s.disconnectShard},
		{"GET /shards/{id}/state", s.exportState},
		{"POST /shards/{id}/state", s.importState},
		{"POST /restore", s.restore},
	}
}

// handler puts all routes together.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	if s.o.MetricsOnly {
		s.health(mux)
		mux.Handle("GET /metrics", s.o.Metrics)
		return mux
	}
	for _, r := range s.routes() {
		method, path, _ := strings.Cut(r.pattern, " ")
		mux.Handle(method+" /v1"+path, s.guard(serveFunc(s, r.serve)))
	}
	s.health(mux)
	if s.o.Metrics != nil {
		mux.Handle("GET /metrics", s.guard(s.o.Metrics))
	}
	mux.Handle("/v1/", s.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, WithHint(ErrNotFound, "no route of the API is "+r.Method+" "+r.URL.Path))
	})))
	if s.o.Root != nil {
		mux.Handle("/", s.o.Root)
	}
	return mux
}

// health adds what an orchestrator asks, which needs no token.
func (s *Server) health(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", s.livez)
	mux.HandleFunc("GET /readyz", s.readyz)
}

// guard lets only requests with the token through. Digests are compared, so
// that not even the token's length can be measured.
func (s *Server) guard(next http.Handler) http.Handler {
	if s.o.Token == "" {
		if !s.o.Insecure {
			next = byAddress(next)
		}
		return sameSite(next)
	}
	want := sha256.Sum256([]byte(s.o.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(strings.TrimSpace(token)))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="botnode"`)
			writeError(w, WithHint(ErrUnauthorized, "set BOTNODE_ADMIN_TOKEN to the token that the node was started with"))
			return
		}
		next.ServeHTTP(w, r)
	})
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

package admin

import (
	"net/http"
	"strings"

	"github.com/botnode/botnode/fsm"
)

// route is one row of the table of routes.
type route struct {
	pattern string
	right   fsm.AdminRight // that it takes; some requests take more, see needs
	serve   func(*request) error
}

// Route is one row of the API as others see it.
type Route struct {
	Pattern string // a method and a path below /v1
	Right   fsm.AdminRight
}

// Routes lists the API.
func Routes() []Route {
	var out []Route
	for _, r := range new(Server).routes() {
		out = append(out, Route{r.pattern, r.right})
	}
	return out
}

// routes lists the API, below /v1. The right read is for what shows no secret and
// changes nothing; operator for what runs the cluster, and for events, since those
// of interactions have tokens that answer them; admin for what hands out or
// changes a secret, shows all that is stored, or changes for good who is a node.
func (s *Server) routes() []route {
	return []route{
		{"GET /status", fsm.AdminRead, s.getStatus},
		{"GET /nodes", fsm.AdminRead, s.getNodes},
		{"GET /nodes/{id}", fsm.AdminRead, s.getNode},
		{"GET /shards", fsm.AdminRead, s.getShards},
		{"GET /shards/{id}", fsm.AdminRead, s.getShard},
		{"GET /bots", fsm.AdminRead, s.getBots},
		{"GET /digest", fsm.AdminRead, s.getDigest},
		{"GET /examine", fsm.AdminRead, s.getExaminations},
		{"GET /snapshot", fsm.AdminAll, s.getSnapshot},
		{"GET /cache/stats", fsm.AdminRead, s.getCacheStats},
		{"GET /cache/guilds/{id}", fsm.AdminRead, s.getGuild},
		{"GET /cache/guilds/{id}/{kind}", fsm.AdminRead, s.getGuildList},
		{"GET /cache/users/{id}", fsm.AdminRead, s.getUser},
		{"GET /kv", fsm.AdminRead, s.listKV},
		{"GET /kv/{key...}", fsm.AdminRead, s.getKV},
		{"PUT /kv/{key...}", fsm.AdminOperate, s.putKV},
		{"DELETE /kv/{key...}", fsm.AdminOperate, s.deleteKV},
		{"GET /events", fsm.AdminOperate, s.getEvents},
		{"GET /config", fsm.AdminRead, s.getConfig},
		{"PUT /config", fsm.AdminOperate, s.putConfig},
		{"GET /dead-letters", fsm.AdminRead, s.listDeadLetters},
		{"POST /dead-letters/{pos}/retry", fsm.AdminOperate, s.retryDeadLetter},
		{"POST /dead-letters/{pos}/drop", fsm.AdminOperate, s.dropDeadLetter},
		{"DELETE /dead-letters/{pos}", fsm.AdminOperate, s.dropDeadLetter},
		{"GET /client-keys", fsm.AdminRead, s.listClientKeys},
		{"POST /client-keys", fsm.AdminAll, s.createClientKey},
		{"DELETE /client-keys/{name}", fsm.AdminAll, s.revokeClientKey},
		{"GET /join-tokens", fsm.AdminRead, s.listJoinTokens},
		{"POST /join-tokens", fsm.AdminAll, s.createJoinToken},
		{"DELETE /join-tokens/{id}", fsm.AdminAll, s.revokeJoinToken},
		{"GET /admin-tokens", fsm.AdminRead, s.listAdminTokens},
		{"POST /admin-tokens", fsm.AdminAll, s.createAdminToken},
		{"DELETE /admin-tokens/{name}", fsm.AdminAll, s.revokeAdminToken},
		{"GET /bot-token", fsm.AdminRead, s.getBotToken},
		{"POST /bot-token", fsm.AdminAll, s.setBotToken},
		{"DELETE /bot-token", fsm.AdminAll, s.dropBotToken},
		{"GET /tls", fsm.AdminRead, s.getTLS},
		{"POST /tls/rotate", fsm.AdminAll, s.rotateTLS},
		{"GET /tls/backup-key", fsm.AdminAll, s.getBackupKey},
		{"POST /join", fsm.AdminOperate, s.join},
		{"POST /leave", fsm.AdminAll, s.leave},
		{"POST /nodes/{id}/drain", fsm.AdminOperate, s.drain(true)},
		{"DELETE /nodes/{id}/drain", fsm.AdminOperate, s.drain(false)},
		{"POST /nodes/{id}/promote", fsm.AdminOperate, s.setVoter(true)},
		{"POST /nodes/{id}/demote", fsm.AdminOperate, s.setVoter(false)},
		{"DELETE /nodes/{id}", fsm.AdminAll, s.removeNode},
		{"POST /leader/transfer", fsm.AdminOperate, s.transferLeader},
		{"POST /shards/{id}/move", fsm.AdminOperate, s.moveShard},
		{"POST /takeover", fsm.AdminOperate, s.takeover},
		{"POST /shards/{id}/connect", fsm.AdminOperate, s.connectShard},
		{"POST /shards/{id}/disconnect", fsm.AdminOperate, s.disconnectShard},
		{"GET /shards/{id}/state", fsm.AdminOperate, s.exportState},
		{"POST /shards/{id}/state", fsm.AdminOperate, s.importState},
		{"POST /restore", fsm.AdminAll, s.restore},
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
		mux.Handle(method+" /v1"+path, s.guard(r.right, serveFunc(s, r.serve)))
	}
	s.health(mux)
	if s.o.Metrics != nil {
		mux.Handle("GET /metrics", s.guard(fsm.AdminRead, s.o.Metrics))
	}
	mux.Handle("/v1/", s.guard(fsm.AdminRead, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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

package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// ErrClosed is returned by what needs a running Server.
var ErrClosed = errors.New("sim: server is not running")

// Server is one simulated Discord. New makes it, Start serves it, Close ends it.
// All methods may be called from any goroutine.
type Server struct {
	opts   Options
	world  *world
	hub    *hub
	faults *faults
	ledger *Ledger
	rest   *rest
	apps   *apps
	acts   *interactions
	tmpl   templates
	nonces nonces
	loads  runningLoads

	listener net.Listener
	http     *http.Server
	done     chan struct{} // closed when Close begins
	once     sync.Once
	wg       sync.WaitGroup
}

// New makes a Server. It starts nothing.
func New(o Options) *Server {
	s := &Server{opts: o.withDefaults(), faults: &faults{}, done: make(chan struct{})}
	s.world = newWorld(&s.opts)
	s.hub = newHub(&s.opts)
	s.ledger = newLedger(s.opts.KeepSent)
	s.rest = newREST(s)
	s.apps = newApps()
	s.acts = newInteractions()
	s.tmpl.rows = map[ID]*template{}
	s.nonces = nonces{opts: &s.opts, rows: map[string]nonceRow{}}
	return s
}

// Start listens and serves until Close.
func (s *Server) Start() error {
	l := s.opts.Listener
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", s.opts.Addr); err != nil {
			return fmt.Errorf("sim: %w", err)
		}
	}
	s.listener = l
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 30 * time.Second}
	s.wg.Go(func() { _ = s.http.Serve(corkListener{l}) })
	return nil
}

// Close ends all connections and waits for every goroutine. It may be called
// more than once.
func (s *Server) Close() {
	s.once.Do(func() { close(s.done) })
	if s.http == nil {
		return
	}
	s.hub.close()
	// Requests under way are given a moment; sleeping faults wake by done.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	s.wg.Wait()
}

func (s *Server) stopped() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// sleep waits, but not beyond Close.
func (s *Server) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.done:
	}
}

// Addr is the address that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL is the root of the server, which also has the control API under /_sim/.
func (s *Server) URL() string { return "http://" + s.Addr() }

// APIURL is the base of the REST API.
func (s *Server) APIURL() string { return s.URL() + "/api/v10" }

// GatewayURL is what GET /gateway answers.
func (s *Server) GatewayURL() string { return "ws://" + s.Addr() }

// resumeURL differs from GatewayURL, so that the ledger can tell who used it.
func (s *Server) resumeURL() string { return s.GatewayURL() + "/resume" }

func isResumePath(p string) bool { return strings.HasPrefix(p, "/resume") }

// Token is the bot's token that the server began with, without "Bot ".
func (s *Server) Token() string { return s.opts.Token }

// ReplaceToken makes another token the bot's: the one before is refused from here
// on. Whoever is connected is sent away with 4004; sessions can be resumed with
// the new token.
func (s *Server) ReplaceToken(token string) {
	for _, c := range s.hub.replaceToken(token) {
		c.stop(4004)
	}
}

// Ledger is the record of everything that crossed the server.
func (s *Server) Ledger() *Ledger { return s.ledger }

// ServeHTTP serves the gateway, the REST API and the control API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		s.wg.Add(1)
		defer s.wg.Done()
		s.serveGateway(w, r)
	case strings.HasPrefix(r.URL.Path, "/_sim/"):
		s.serveControl(w, r)
	case strings.HasPrefix(r.URL.Path, "/api/"):
		s.rest.ServeHTTP(w, r)
	default:
		http.NotFound(w, r)
	}
}

// emit dispatches an event of a guild; the caller holds the world's lock. It
// returns how many sessions took it.
func (s *Server) emit(g ID, kind string, data raw) int {
	return s.hub.deliver(g, kind, data, nil, false)
}

// guildsOf is the number of guilds of a shard.
func (s *Server) guildsOf(id, n int64) int {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	return s.guildsLocked(id, n)
}

func (s *Server) guildsLocked(id, n int64) int {
	count := 0
	for g := range s.world.byID {
		if int64(g>>22)%n == id {
			count++
		}
	}
	return count
}

// selfUser is the bot's user as it sees itself.
func (s *Server) selfUser() raw {
	return with(botUser, obj{"verified": true, "mfa_enabled": true, "email": nil, "flags": 0, "bio": "", "locale": "en-US"})
}

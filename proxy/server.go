package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Options configure a Server.
type Options struct {
	// Listener is where clients come; the server closes it. It is TLS or not as
	// its owner made it.
	Listener net.Listener
	Backend  Backend
	// PublicURL is the address that clients are told to come to, such as
	// wss://bots.example.org, one for all nodes: resume_gateway_url and the answer
	// of Get Gateway. Empty: the address under which the client reached this node.
	PublicURL string
	// TLS says that Listener is TLS, for the addresses that are told without PublicURL.
	TLS bool
	// Logger may be nil.
	Logger *zap.Logger
}

// Limits of what an unknown peer may ask of the node.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
)

// Server serves clients on one address: WebSocket upgrades are gateway
// connections, /api is REST.
type Server struct {
	o      Options
	log    *zap.Logger
	http   *http.Server
	ctx    context.Context // ends with the server
	cancel context.CancelFunc
	wg     sync.WaitGroup // what the server has to wait for: the accept loop, what serves all connections

	door     door
	attempts attempts
	touches  toucher

	serving sync.WaitGroup // gateway connections

	mu      sync.Mutex // guards what follows
	closing bool
	conns   map[*conn]struct{}
	feeds   map[string]*feed // of bots that clients follow
}

// New starts a server.
func New(o Options) (*Server, error) {
	if o.Listener == nil || o.Backend == nil {
		return nil, errors.New("proxy: a server needs a listener and a backend")
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	s := &Server{o: o, log: o.Logger, conns: make(map[*conn]struct{}), feeds: make(map[string]*feed)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: zap.NewStdLog(o.Logger.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))),
	}
	s.startTouches()
	s.wg.Go(s.watch)
	s.wg.Go(func() { _ = s.http.Serve(o.Listener) }) // ends with Close
	return s, nil
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.o.Listener.Addr() }

// Close tells the clients to come back elsewhere, ends what is under way, and
// waits for it.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	err := s.http.Close() // leaves the gateway's connections open
	s.endConns()
	s.cancel()
	s.wg.Wait()
	return err
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/api/"):
		s.serveREST(w, r)
	default:
		s.serveGateway(w, r)
	}
}

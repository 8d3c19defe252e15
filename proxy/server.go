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

	"github.com/botnode/botnode/internal/httppeers"
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
	// Metrics may be nil.
	Metrics Metrics
	// Logger may be nil.
	Logger *zap.Logger

	times times // the zero value stands for usualTimes
}

// Metrics receives what the proxy measures; its methods must not block.
type Metrics interface {
	// ProxyRequest counts a request: the class of its answer's status, such as
	// "2xx", or "none", and the time to the end of the answer.
	ProxyRequest(code string, took time.Duration)
}

// noMetrics measures nothing.
type noMetrics struct{}

// ProxyRequest implements Metrics.
func (noMetrics) ProxyRequest(string, time.Duration) {}

// ErrInsecureBind refuses a proxy that others reach and whose keys anyone could
// read on the way.
var ErrInsecureBind = errors.New("refusing to serve the proxy beyond loopback without TLS")

// Limits of what an unknown peer may ask of the node.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
	maxPeers       = 12_000          // connections in all
	unreadTimeout  = 2 * time.Second // for the rest of a body that nobody wants
	maxSilent      = 512             // connections that have not sent a whole request yet
	// breakTimeout bounds how long it takes to tell those that wait still.
	breakTimeout = time.Second
)

// Server serves clients on one address: WebSocket upgrades are gateway
// connections, /api is REST.
type Server struct {
	o      Options
	log    *zap.Logger
	http   *http.Server
	peers  *httppeers.Peers
	rest   restState
	ctx    context.Context // ends with the server
	cancel context.CancelFunc
	wg     sync.WaitGroup // what the server has to wait for: the accept loop, what serves all connections

	door     door
	attempts attempts
	touches  toucher
	asker    *asker
	zstd     *zstdStreams

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
	if o.Metrics == nil {
		o.Metrics = noMetrics{}
	}
	if o.times == (times{}) {
		o.times = usualTimes
	}
	s := &Server{
		o: o, log: o.Logger, peers: httppeers.New(maxPeers, maxSilent), rest: newRESTState(), asker: newAsker(),
		conns: make(map[*conn]struct{}), feeds: make(map[string]*feed),
	}
	var err error
	if s.zstd, err = newZstdStreams(); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ConnState: s.peers.State, ConnContext: httppeers.Conn,
		ErrorLog: zap.NewStdLog(o.Logger.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))),
	}
	s.startTouches()
	s.wg.Go(s.watch)
	s.wg.Go(func() { s.asker.run(s.ctx, o.Backend.Sync) })
	s.wg.Go(func() { _ = s.http.Serve(o.Listener) }) // ends with Close
	return s, nil
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.o.Listener.Addr() }

// Clients returns how many clients have a gateway connection here.
func (s *Server) Clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Close tells the clients to come back elsewhere, lets requests finish for a
// moment, ends what is still under way, and waits for it.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	_ = s.o.Listener.Close() // whoever comes back goes elsewhere
	s.endConns()
	s.cancel()
	err := s.shutdown(s.rest.pace.finish)
	s.rest.cancel()
	if err != nil { // some wait for limits still
		err = s.shutdown(breakTimeout)
	}
	if err != nil { // some don't read
		err = s.http.Close()
	}
	s.wg.Wait()
	return err
}

// shutdown lets requests finish for a while.
func (s *Server) shutdown(d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return s.http.Shutdown(ctx)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.peers.Spoke(r.Context())
	if r.ContentLength != 0 {
		// What is left of a body when its answer is out is read without a bound on
		// time otherwise; a connection whose body is not read to its end ends.
		defer func() { _ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadTimeout)) }()
	}
	switch {
	case r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/"):
		s.serveREST(w, r)
	default:
		s.serveGateway(w, r)
	}
}

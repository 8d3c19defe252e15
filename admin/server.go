package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/internal/httppeers"
	"github.com/botnode/botnode/internal/tries"
)

// Limits of the server.
const (
	maxHeader     = 32 << 10
	maxBody       = 1 << 20
	headerTimeout = 5 * time.Second
	bodyTimeout   = 20 * time.Second
	writeTimeout  = 60 * time.Second // of an answer; streams set their own, piece by piece
	streamTimeout = 15 * time.Second // of one piece of a stream
	idleTimeout   = 2 * time.Minute
	maxConns      = 1024 // connections in all, each with one request at a time
	maxSilent     = 64   // of them that have not sent a whole request yet
)

// ServerOptions configure a Server.
type ServerOptions struct {
	// Addr is the host:port to listen on; an empty host is loopback.
	Addr string
	// Listener is used in place of Addr if it is set. The server closes it. It is
	// TLS or not as its owner made it.
	Listener net.Listener
	Backend  Backend
	// Token, if set, is one that gives all rights on this node. Requests must carry
	// it, or one of the cluster's admin tokens, as "Authorization: Bearer". /livez
	// and /readyz never need one.
	Token string
	// Insecure allows to serve beyond loopback without a token.
	Insecure bool
	// Metrics answers /metrics; nil for 404.
	Metrics http.Handler
	// MetricsOnly serves /metrics, /livez and /readyz alone, which need no
	// token then: they show numbers and change nothing.
	MetricsOnly bool
	// Root answers what no route of the API has, the dashboard say; nil for 404.
	Root   http.Handler
	Logger *zap.Logger
}

// Server is a node's HTTP API.
type Server struct {
	o     ServerOptions
	log   *zap.Logger
	ln    net.Listener
	http  *http.Server
	peers *httppeers.Peers
	page  int         // cachePage, or a test's
	wrong tries.Wrong // tokens

	streams    context.Context // done when streams are to end
	endStreams context.CancelFunc
	done       chan struct{} // closed when the serving goroutine has ended
	stop       sync.Once
	started    bool
}

// flag names the flag that sets the address, for errors.
func (o *ServerOptions) flag() string {
	if o.MetricsOnly {
		return "--metrics-addr"
	}
	return "--http-addr"
}

// NewServer binds the address. Nothing is served before Start.
func NewServer(o ServerOptions) (*Server, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	ln := o.Listener
	if ln == nil {
		var err error
		if ln, err = Listen(o.flag(), o.Addr, o.Token != "" || o.Insecure || o.MetricsOnly); err != nil {
			return nil, err
		}
	}
	s := &Server{o: o, log: o.Logger, ln: ln, page: cachePage, peers: httppeers.New(maxConns, maxSilent), done: make(chan struct{})}
	s.streams, s.endStreams = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler: s.counted(s.handler()), ConnState: s.peers.State, ConnContext: httppeers.Conn, MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headerTimeout,
		ReadTimeout: bodyTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog: zap.NewStdLog(o.Logger.Named("http").WithOptions(zap.IncreaseLevel(zap.ErrorLevel))),
	}
	return s, nil
}

// counted notes whose connection has sent a whole request: those that have not make
// room for others.
func (s *Server) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.peers.Spoke(r.Context())
		next.ServeHTTP(w, r)
	})
}

// Listen binds the address that a flag gave. Beyond loopback it does so only if
// open is allowed: whoever reaches the API commands the cluster.
func Listen(flag, addr string, open bool) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %s %q is not host:port", ErrBadRequest, flag, addr)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if !open && !Loopback(host) {
		return nil, WithHint(fmt.Errorf("%w: %s %s", ErrInsecureBind, flag, addr),
			"set BOTNODE_ADMIN_TOKEN, listen on 127.0.0.1, or accept the risk with --insecure")
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, port)) //nolint:noctx // binding doesn't block
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, WithHint(fmt.Errorf("port %s is already in use: %w", port, err), "stop what listens there, or choose another "+flag)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return ln, nil
}

// Loopback reports whether a host is this machine alone.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Addr returns the address that is listened on.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// Start begins to serve.
func (s *Server) Start() {
	s.started = true
	go func() {
		defer close(s.done)
		if err := s.http.Serve(s.ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("admin api ended", zap.String("code", "admin_api"), zap.Error(err))
		}
	}()
}

// Stop ends streams, lets requests finish until ctx ends, and then cuts them
// off, which is no error: they had their time. It is idempotent.
func (s *Server) Stop(ctx context.Context) error {
	var err error
	s.stop.Do(func() {
		s.endStreams()
		if !s.started {
			err = s.ln.Close()
			return
		}
		if err = s.http.Shutdown(ctx); err != nil && ctx.Err() != nil {
			err = s.http.Close()
		}
		<-s.done
	})
	return err
}

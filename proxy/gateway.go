package proxy

import (
	"context"
	"net/http"
	"strconv"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/botnode/botnode/discord"
)

// upgrader accepts any origin: a client shows its key, not a cookie.
var upgrader = websocket.Upgrader{
	ReadBufferSize: 1024, WriteBufferPool: new(sync.Pool),
	CheckOrigin: func(*http.Request) bool { return true },
}

// serveGateway upgrades a connection to the gateway's protocol
// (events/gateway.mdx, "Connecting") and serves it until it ends.
func (s *Server) serveGateway(w http.ResponseWriter, r *http.Request) {
	if !websocket.IsWebSocketUpgrade(r) {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is a gateway: connect with a WebSocket; the REST API is under /api/v10/", http.StatusUpgradeRequired)
		return
	}
	seat := s.door.enter(peer(r.RemoteAddr))
	if seat == nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many connections that have not identified; try again in a while", http.StatusServiceUnavailable)
		return
	}
	if err := s.admits(r.Context()); err != nil {
		s.door.leave(seat)
		w.Header().Set("Retry-After", "1")
		http.Error(w, "this node can't serve now: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	version, packer, refusal := s.query(r)
	cork := &corkWriter{ResponseWriter: w}
	ws, err := upgrader.Upgrade(cork, r, nil)
	if err != nil {
		s.door.leave(seat)
		return
	}
	c := &conn{
		s: s, ws: ws, cork: cork.conn, pack: packer, version: version, self: s.gatewayURL(r), addr: seat.addr, seat: seat, log: s.log,
		inbox: make(chan input, 8), results: make(chan func()), ends: make(chan *ending, 4),
		done: make(chan struct{}), gone: make(chan struct{}), over: refusal,
	}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	if !s.enlist(c) {
		_ = ws.Close()
		c.cancel()
		s.door.leave(seat)
		return
	}
	defer s.delist(c)
	s.door.seated(seat, func() { c.stop(&ending{quiet: true}) })
	c.run()
}

// enlist makes a connection one that Close waits for; false once the server ends.
func (s *Server) enlist(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.conns[c] = struct{}{}
	s.serving.Add(1)
	return true
}

func (s *Server) delist(c *conn) {
	s.door.leave(c.seat)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.serving.Done()
}

// query reads what a client asks of a connection. What can't be had is refused
// by a close frame, which libraries show.
func (s *Server) query(r *http.Request) (version int, p packer, refusal *ending) {
	q := r.URL.Query()
	version = 10
	if v := q.Get("v"); v != "" {
		version, _ = strconv.Atoi(v)
	}
	p, err := s.newPacker(q.Get("compress"))
	switch {
	case err != nil:
		return version, &plainPacker{}, closing(discord.CloseDecodeError, err.Error())
	case version != 9 && version != 10:
		return version, &plainPacker{}, closing(discord.CloseInvalidAPIVersion, "this gateway speaks v=10 and v=9")
	case q.Get("encoding") != "" && q.Get("encoding") != "json":
		return version, &plainPacker{}, closing(discord.CloseDecodeError, "this gateway speaks encoding=json only")
	}
	return version, p, nil
}

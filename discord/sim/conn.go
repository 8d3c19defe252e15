package sim

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// out is one thing that a connection's writer sends.
type out struct {
	event  event
	frame  []byte // sent as it is instead of the event, if set
	binary bool
	replay bool
}

// conn is one gateway connection: a reader, which is the goroutine of its HTTP
// request, and a writer, which alone writes to the socket.
type conn struct {
	srv      *Server
	ws       *websocket.Conn
	net      *corkConn
	remote   string
	viaURL   bool // came by the resume URL
	version  int
	squeeze  *compressor
	payload  bool // compress:true in IDENTIFY
	wake     chan struct{}
	finished chan struct{} // closed when the writer has ended

	mu     sync.Mutex // guards what follows
	room   sync.Cond  // signalled when the queue was taken, and at the end
	q      []out
	ending bool
	code   int // close code to send at the end; 0 is none
	dead   bool
	killer *time.Timer

	sess atomic.Pointer[session]
	// sent are the times of the payloads of the last minute; only the reader uses it.
	sent []time.Time
}

// dropTCP as a close code means that no close frame is sent.
const dropTCP = 0

// upgrader accepts any origin: there is nothing here to protect.
var upgrader = websocket.Upgrader{
	ReadBufferSize: 4096, WriteBufferSize: 4096,
	CheckOrigin: func(*http.Request) bool { return true },
}

// serveGateway is the WebSocket endpoint.
func (s *Server) serveGateway(w http.ResponseWriter, r *http.Request) {
	if s.faults.inOutage() {
		http.Error(w, "upstream connect error", http.StatusServiceUnavailable)
		return
	}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	q := r.URL.Query()
	c := &conn{
		srv: s, ws: ws, remote: r.RemoteAddr, viaURL: isResumePath(r.URL.Path),
		wake: make(chan struct{}, 1), finished: make(chan struct{}),
	}
	c.net, _ = ws.NetConn().(*corkConn)
	c.room.L = &c.mu
	if c.net == nil || !s.hub.add(c) {
		_ = ws.Close()
		return
	}
	defer s.hub.remove(c)
	ok := false
	c.squeeze, ok = newCompressor(q.Get("compress"))
	c.version, _ = strconv.Atoi(q.Get("v"))
	s.wg.Add(1)
	go c.write()
	switch enc := q.Get("encoding"); {
	case q.Get("v") != "" && c.version < 6 || c.version > 10:
		c.stop(4012)
	case !ok, enc != "" && enc != "json":
		c.stop(4002)
	}
	c.read()
	<-c.finished
	c.mu.Lock()
	if c.killer != nil {
		c.killer.Stop()
	}
	c.mu.Unlock()
	_ = c.net.Close()
}

// enqueue hands something to the writer. It never blocks: it is called under the
// locks of world and session.
func (c *conn) enqueue(o out) {
	c.mu.Lock()
	if !c.ending {
		c.q = append(c.q, o)
	}
	c.mu.Unlock()
	c.nudge()
}

func (c *conn) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// op queues a message that isn't a dispatch.
func (c *conn) op(op int, d string) {
	c.enqueue(out{frame: []byte(`{"t":null,"s":null,"op":` + strconv.Itoa(op) + `,"d":` + d + `}`)})
}

// stop ends the connection after what is queued: with a close frame if code
// isn't dropTCP. A client that doesn't read is cut after a second.
func (c *conn) stop(code int) {
	c.mu.Lock()
	if !c.ending {
		c.ending, c.code = true, code
		c.killer = time.AfterFunc(time.Second, c.net.cut)
	}
	c.room.Broadcast()
	c.mu.Unlock()
	c.nudge()
}

// cut drops the connection now, with what is queued.
func (c *conn) cut() {
	c.mu.Lock()
	c.ending, c.code, c.q = true, dropTCP, nil
	c.room.Broadcast()
	c.mu.Unlock()
	c.net.cut()
	c.nudge()
}

// waitRoom blocks until fewer than n things are queued; false at the end.
func (c *conn) waitRoom(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.q) >= n && !c.ending && !c.dead {
		c.room.Wait()
	}
	return !c.ending && !c.dead
}

// alive arms the deadline for the next heartbeat.
func (c *conn) alive() {
	o := &c.srv.opts
	_ = c.ws.SetReadDeadline(time.Now().Add(o.HeartbeatInterval + o.HeartbeatTolerance))
}

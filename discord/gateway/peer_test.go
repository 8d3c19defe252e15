package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/botnode/botnode/discord"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testToken = "MTk4NjIyNDgzNDcxOTI1MjQ4.secret"

// peer is Discord's side of one connection, over a pipe without buffers. What it
// sends is queued, so that a client that does not read stops only the queue.
type peer struct {
	t    *testing.T
	ws   *websocket.Conn
	def  *deflater // nil for plain
	url  string
	out  chan []byte
	done sync.WaitGroup

	in  chan sent // closed with the connection; bounded far above any test
	end error     // why, readable once in is closed
}

// sent is a payload that the client sent.
type sent struct {
	Op  discord.Opcode  `json:"op"`
	D   json.RawMessage `json:"d"`
	raw string
	at  time.Time
}

// hijacked lets a pipe be upgraded without an HTTP server.
type hijacked struct {
	nc net.Conn
	rw *bufio.ReadWriter
}

func (h hijacked) Header() http.Header         { return http.Header{} }
func (h hijacked) WriteHeader(int)             {}
func (h hijacked) Write(p []byte) (int, error) { return h.nc.Write(p) }
func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.nc, h.rw, nil
}

func (p *peer) accept(nc net.Conn) error {
	rw := bufio.NewReadWriter(bufio.NewReader(nc), bufio.NewWriter(nc))
	req, err := http.ReadRequest(rw.Reader)
	if err != nil {
		return err
	}
	p.url = req.URL.String()
	p.ws, err = (&websocket.Upgrader{}).Upgrade(hijacked{nc, rw}, req, nil)
	return err
}

// serve reads and writes until the connection ends.
func (p *peer) serve() {
	p.ws.SetCloseHandler(func(int, string) error { return nil })
	p.done.Go(func() {
		for b := range p.out {
			kind := websocket.TextMessage
			if p.def != nil {
				kind = websocket.BinaryMessage
			}
			_ = p.ws.WriteMessage(kind, b) // a client that is gone is no fault
		}
	})
	p.done.Go(func() {
		defer close(p.in)
		for {
			_, b, err := p.ws.ReadMessage()
			if err != nil {
				p.end = err
				return
			}
			s := sent{raw: string(b), at: time.Now()}
			if err := json.Unmarshal(b, &s); err != nil {
				p.t.Errorf("the client sent %q", b)
			}
			p.in <- s
		}
	})
}

// send queues a payload, compressed if the connection is.
func (p *peer) send(payload string) { p.sendRaw([]byte(payload)) }

func (p *peer) sendRaw(b []byte) {
	if p.def != nil {
		b = p.def.message(p.t, b)
	}
	p.out <- b
}

func (p *peer) event(s int, name string) {
	p.send(fmt.Sprintf(`{"op":0,"s":%d,"t":%q,"d":{"n":%d}}`, s, name, s))
}

// expect is the next payload, which must have the opcode.
func (p *peer) expect(op discord.Opcode) sent {
	p.t.Helper()
	s, ok := <-p.in
	if !ok || s.Op != op {
		p.t.Fatalf("got %v %s (open: %v), want %v", s.Op, s.D, ok, op)
	}
	return s
}

// ended waits for the end and is the close code that the client sent, 0 for none.
func (p *peer) ended() int {
	for range p.in {
	}
	var ce *websocket.CloseError
	if errors.As(p.end, &ce) && ce.Code != websocket.CloseAbnormalClosure {
		return ce.Code
	}
	return 0
}

func (p *peer) close(code int) {
	msg := websocket.FormatCloseMessage(code, "a reason")
	_ = p.ws.WriteControl(websocket.CloseMessage, msg, time.Now().Add(time.Second))
}

func (p *peer) stop() {
	_ = p.ws.Close()
	close(p.out)
	p.done.Wait()
}

// recorder is a Sink that remembers.
type recorder struct {
	mu     sync.Mutex
	lines  []string
	closed []Closure

	hello      func()         // called in Hello
	onDispatch func(Dispatch) // called in Dispatch
}

func (r *recorder) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *recorder) Hello(d time.Duration) {
	r.add("hello %v", d)
	if r.hello != nil {
		r.hello()
	}
}

func (r *recorder) Dispatch(e Dispatch) {
	r.add("%d %s %s", e.Seq, e.Type, e.Data)
	if r.onDispatch != nil {
		r.onDispatch(e)
	}
}
func (r *recorder) InvalidSession(ok bool)         { r.add("invalid %v", ok) }
func (r *recorder) Reconnect()                     { r.add("reconnect") }
func (r *recorder) Latency(time.Duration)          {}
func (r *recorder) Op(op discord.Opcode, d []byte) { r.add("op %d %s", int(op), d) }
func (r *recorder) Closed(c Closure)               { r.add("closed"); r.closed = append(r.closed, c) }
func (r *recorder) closure(t *testing.T) (c Closure) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.closed) != 1 || r.lines[len(r.lines)-1] != "closed" {
		t.Fatalf("closed %d times, reports %q", len(r.closed), r.lines)
	}
	return r.closed[0]
}

func (r *recorder) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.lines...)
}

// session is a client with its peer.
type session struct {
	*Conn
	peer *peer
	sink *recorder
	done chan struct{} // closed when Run has returned
}

// dialled runs test inside a bubble of fake time, on a connection that runs.
func dialled(t *testing.T, o Options, test func(s *session)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := dialPipe(t, o)
		go func() {
			defer close(s.done)
			s.Run()
		}()
		defer func() {
			s.Drop()
			s.peer.stop()
			<-s.done
		}()
		test(s)
	})
}

func dialPipe(t *testing.T, o Options) *session {
	t.Helper()
	client, server := net.Pipe()
	p := &peer{t: t, out: make(chan []byte, 5000), in: make(chan sent, 5000)}
	if o.Compression != None {
		p.def = newDeflater(t, o.Compression)
	}
	s := &session{peer: p, sink: &recorder{}, done: make(chan struct{})}
	o.URL, o.Token = "ws://127.0.0.1:1", testToken
	if o.Sink == nil {
		o.Sink = s.sink
	}
	o.Jitter = func() float64 { return 0.5 }
	o.NetDial = func(context.Context, string, string) (net.Conn, error) { return client, nil }
	accepted := make(chan error, 1)
	go func() { accepted <- p.accept(server) }()
	c, err := Dial(t.Context(), o)
	if err := errors.Join(err, <-accepted); err != nil {
		t.Fatal(err)
	}
	p.serve()
	s.Conn = c
	return s
}

// live brings the session to Live through RESUME.
func (s *session) live() {
	s.peer.send(`{"op":10,"d":{"heartbeat_interval":40000}}`)
	s.Resume("sid", 5)
	s.peer.expect(discord.OpResume)
	s.peer.event(6, discord.EventResumed)
	synctest.Wait()
}

// answer acknowledges every heartbeat from now on and drops what else was sent.
func (p *peer) answer() (beats func() []sent) {
	var mu sync.Mutex
	var all []sent
	p.done.Go(func() {
		for s := range p.in {
			if s.Op == discord.OpHeartbeat {
				p.out <- p.ackFrame()
			}
			mu.Lock()
			all = append(all, s)
			mu.Unlock()
		}
	})
	return func() []sent {
		mu.Lock()
		defer mu.Unlock()
		return append([]sent(nil), all...)
	}
}

func (p *peer) ackFrame() []byte {
	if p.def != nil {
		panic("answer is for plain connections")
	}
	return []byte(`{"op":11}`)
}

package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"

	"github.com/botnode/botnode/discord"
)

// Errors of Send. Nothing was sent, or, with ErrClosed, perhaps it was.
var (
	// ErrClosed means that the connection ended before the payload was written.
	ErrClosed = errors.New("gateway connection closed")
	// ErrPayloadTooLarge means more than MaxPayload bytes, which would cost the
	// connection a 4002.
	ErrPayloadTooLarge = errors.New("gateway payload above 4096 bytes")
	// ErrPayload means that the data is not JSON.
	ErrPayload = errors.New("gateway payload is not JSON")
	// ErrOpcode means an opcode that only the connection itself may send.
	ErrOpcode = errors.New("gateway opcode is not for sending")
)

// Conn is one connection to the gateway, from the handshake to its Closed report.
//
// Two goroutines serve it. The reader (that of Run) reads, steps the machine and
// calls the Sink. The writer owns the timer and every write, so that a heartbeat
// waits neither for the Sink nor for more than one write in progress.
type Conn struct {
	opts  Options
	token secret
	log   *zap.Logger
	ws    *websocket.Conn
	rx    *receiver
	start time.Time

	mu        sync.Mutex // guards what follows; held for a step, never across I/O or a call
	machine   *Machine
	paused    time.Duration // ended pauses
	sinkSince time.Duration // start of the pause in progress, never if there is none
	armed     time.Duration // when the writer's timer will fire
	urgent    urgent

	kick  chan struct{} // capacity 1: there is something urgent, or an earlier deadline
	sends chan *request // taken by the writer when the limit allows
	over  chan struct{} // closed when nothing more will be written
	wrote sync.WaitGroup
}

// urgent is what the writer does before anything else.
type urgent struct {
	beat   bool
	orders [][]byte
	close  bool
}

// Dial makes the TCP, TLS and WebSocket connection. ctx bounds the handshake only.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	addr, err := o.address()
	if err != nil {
		return nil, err
	}
	inf, err := newInflater(o.Compression, int(o.MaxMessage))
	if err != nil {
		return nil, err
	}
	ws, err := handshake(ctx, o, addr)
	if err != nil {
		inf.close()
		return nil, err
	}
	c := &Conn{
		opts: o, token: secret(o.Token), log: o.Logger, ws: ws, start: time.Now(),
		rx: newReceiver(ws, inf, o.MaxMessage),
		machine: NewMachine(Config{
			HelloTimeout: o.HelloTimeout, ReadyTimeout: o.ReadyTimeout,
			ResumedTimeout: o.ResumedTimeout, CloseTimeout: o.CloseTimeout,
			Jitter: o.Jitter(),
		}),
		sinkSince: never,
		kick:      make(chan struct{}, 1),
		sends:     make(chan *request),
		over:      make(chan struct{}),
	}
	c.opts.Token = ""
	return c, nil
}

func handshake(ctx context.Context, o Options, addr string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.HandshakeTimeout)
	defer cancel()
	var stop func() bool
	d := websocket.Dialer{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: o.TLS,
		ReadBufferSize: 64 << 10, WriteBufferSize: MaxPayload + 64,
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := o.NetDial(ctx, network, addr)
			if err == nil {
				// The dialer itself looks at the deadline, not at a cancel.
				stop = context.AfterFunc(ctx, func() { _ = nc.Close() })
			}
			return nc, err
		},
	}
	ws, resp, err := d.DialContext(ctx, addr, http.Header{"User-Agent": {o.UserAgent}})
	if stop != nil && !stop() && err == nil {
		_ = ws.NetConn().Close()
		err = ctx.Err()
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, fmt.Errorf("gateway handshake: %w", ctx.Err())
	case resp != nil:
		return nil, fmt.Errorf("gateway handshake: http status %d: %w", resp.StatusCode, err)
	default:
		return nil, fmt.Errorf("gateway handshake: %w", err)
	}
	// The default handler echoes the code that was received. An echoed 1000 or
	// 1001 would end the session.
	ws.SetCloseHandler(func(int, string) error { return nil })
	ws.SetReadLimit(o.MaxMessage)
	return ws, nil
}

// Run serves the connection until it ends. It returns after Closed was reported
// and both goroutines have ended. It is called once.
func (c *Conn) Run() {
	stop := make(chan struct{})
	c.wrote.Go(func() { c.write(stop) })
	// The reason comes first, before the writer finds its socket closed.
	c.apply(Input{Kind: InFail, Closure: c.read()}, nil)
	close(stop)
	close(c.over)
	c.wrote.Wait()
	c.rx.close()
	c.apply(Input{Kind: InEnded}, nil)
}

// Resume orders op 6. It has an effect once, after Hello or in wait for it; after
// an InvalidSession once more.
func (c *Conn) Resume(sid string, seq int64) {
	c.order(InResume, discord.OpResume, resumeData{Token: string(c.token), SessionID: sid, Seq: seq})
}

// Identify orders op 2, under the same conditions as Resume. The caller holds
// the permit for it.
func (c *Conn) Identify(p Identify) {
	c.order(InIdentify, discord.OpIdentify, identifyData(string(c.token), p))
}

func (c *Conn) order(kind InputKind, op discord.Opcode, data any) {
	b, err := encodeOrder(op, data)
	if err != nil {
		// Discord would answer 4002, today and at every retry.
		c.apply(Input{Kind: InFail, Closure: Closure{
			Cause: CauseOrder, Err: err, Verdict: discord.VerdictFatal,
		}}, nil)
		return
	}
	c.apply(Input{Kind: kind, Order: b}, nil)
}

// Drop ends TCP without a close frame, so that the session lives. It can be
// called at any time, from any goroutine, repeatedly, and does not wait.
func (c *Conn) Drop() { c.apply(Input{Kind: InDrop}, nil) }

// CloseSession closes with 1000, which ends the session for good. Events that
// arrive after it are not reported.
func (c *Conn) CloseSession() { c.apply(Input{Kind: InCloseSession}, nil) }

// State is the present state, for status pages.
func (c *Conn) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.machine.State()
}

// endTCP ends the connection without a word: no close frame, and under TLS no
// alert either, since writing one could block.
func (c *Conn) endTCP() {
	nc := c.ws.NetConn()
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	_ = nc.Close()
}

func (c *Conn) now() time.Duration { return time.Since(c.start) }

// moment reads the clock. c.mu is held.
func (c *Conn) moment(now time.Duration) Moment {
	paused := c.paused
	if c.sinkSince != never && now > c.sinkSince {
		paused += now - c.sinkSince
	}
	return Moment{Now: now, Paused: paused}
}

// apply steps the machine and does what it asks for. f is the frame that the
// input came from, if any. Reports come only from inputs of the reader, so the
// Sink is only ever called on the reader's goroutine.
func (c *Conn) apply(in Input, f *frame) {
	c.mu.Lock()
	at := c.moment(c.now())
	before := c.machine.State()
	outs := c.machine.Step(at, in)
	var first Output
	var rest []Output
	if len(outs) > 0 {
		first = outs[0]
		rest = append(rest, outs[1:]...)
	}
	wake := c.absorb(outs)
	// The writer also waits for Live, to take sends, and for earlier deadlines.
	if c.machine.State() != before || c.machine.NextDeadline(at.Paused) < c.armed {
		wake = true
	}
	reports := f != nil || in.Kind == InEnded
	if reports {
		c.sinkSince = at.Now
	}
	c.mu.Unlock()
	if wake {
		c.wake()
	}
	c.perform(first, in, f)
	for _, o := range rest {
		c.perform(o, in, f)
	}
	if reports {
		c.mu.Lock()
		c.paused += c.now() - c.sinkSince
		c.sinkSince = never
		c.mu.Unlock()
	}
}

// absorb moves the writer's outputs to where it finds them, in the same step, so
// that two goroutines cannot swap their order. c.mu is held.
func (c *Conn) absorb(outs []Output) (wake bool) {
	for i := range outs {
		switch outs[i].Do {
		case DoBeat:
			c.urgent.beat = true
		case DoResume, DoIdentify:
			b, _ := outs[i].Order.([]byte)
			c.urgent.orders = append(c.urgent.orders, b)
		case DoClose:
			c.urgent.close = true
		default:
			continue
		}
		wake = true
	}
	return wake
}

func (c *Conn) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// perform does one output. c.mu is not held.
func (c *Conn) perform(o Output, in Input, f *frame) {
	switch o.Do {
	case DoDispatch:
		c.opts.Sink.Dispatch(Dispatch{
			Seq: f.seq, Type: in.Type, Data: c.rx.arena.copy(f.data), Deep: f.deep,
		})
	case DoHello:
		c.opts.Sink.Hello(o.Duration)
	case DoInvalid:
		c.opts.Sink.InvalidSession(o.Resumable)
	case DoReconnect:
		c.opts.Sink.Reconnect()
	case DoLatency:
		c.opts.Sink.Latency(o.Duration)
	case DoOther:
		if s, ok := c.opts.Sink.(OpSink); ok {
			s.Op(f.op, f.data)
		}
	case DoClosed:
		c.opts.Sink.Closed(o.Closure)
	case DoDrop:
		c.endTCP()
	case DoIgnore:
		c.log.Debug("gateway input ignored", zap.Int("kind", int(in.Kind)))
	}
}

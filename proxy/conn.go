package proxy

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"

	"github.com/botnode/botnode/discord"
)

// Times of a connection.
const (
	heartbeatInterval = 41250 * time.Millisecond
	// firstDeadline is how long a connection may say nothing at all, and
	// beatDeadline how long it may go without a heartbeat after one.
	firstDeadline = 45 * time.Second
	beatDeadline  = heartbeatInterval * 3 / 2
	// writeTimeout bounds a write: whoever doesn't read for so long is dropped.
	writeTimeout = 30 * time.Second
	// closeTimeout is how long a client may take to answer a close frame.
	closeTimeout = time.Second
	// actTimeout bounds what needs the cluster's consent.
	actTimeout = 15 * time.Second
)

// conn is one gateway connection. A reader takes its payloads apart; everything
// else is its loop's, which alone writes. What takes time runs beside the loop and
// hands its outcome to it.
type conn struct {
	s       *Server
	ws      *websocket.Conn
	cork    *corkConn
	pack    packer
	version int
	self    string // the address that the client used, for resume_gateway_url
	addr    string // the client's, for limits
	seat    *seat
	log     *zap.Logger

	inbox   chan input
	results chan func()
	ends    chan *ending  // from outside; what doesn't fit is said again
	done    chan struct{} // closed when the loop has ended
	gone    chan struct{} // closed when the reader has ended
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup // what runs beside the loop

	// The loop's own.
	phase   phase
	sess    *session
	burst   *burst
	asked   requests
	held    []frame         // commands that came before the session was there
	answers []*memberAnswer // requests for members that are being answered
	cmds    chan command    // to the worker that speaks to Discord; nil until it is needed
	over    *ending
	until   *time.Timer
	head    []byte // scratch
}

// phase is where a connection is on its way.
type phase uint8

const (
	waiting phase = iota // for IDENTIFY or RESUME
	opening              // the cluster is asked
	sending              // READY and the guilds
	live                 // events, of a resumed session first those that were missed
)

// input is what the reader hands on: a payload, or the reason for which it ended.
type input struct {
	frame frame
	end   *ending
}

// always is a channel that is ready.
var always = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// run serves the connection until it ends. It returns when all that belongs to
// it has ended.
func (c *conn) run() {
	go c.read() // ends before hangUp does
	c.loop()
	close(c.done)
	c.cancel()
	c.hangUp()
	c.wg.Wait()
	c.pack.close()
	c.forget()
}

func (c *conn) loop() {
	defer c.recovered()
	c.until = time.NewTimer(c.s.o.times.identify)
	defer c.until.Stop()
	c.payload(discord.OpHello, fmt.Sprintf(`{"heartbeat_interval":%d,"_trace":["botnode"]}`, heartbeatInterval.Milliseconds()))
	for c.over == nil {
		wake := c.advance()
		if c.over != nil {
			return
		}
		select {
		case in := <-c.inbox:
			if in.end != nil {
				c.end(in.end)
			} else {
				c.handle(in.frame)
			}
		case f := <-c.results:
			f()
		case e := <-c.ends:
			c.end(e)
		case <-c.until.C:
			if c.phase == waiting {
				c.end(closing(discord.CloseSessionTimedOut, "no IDENTIFY or RESUME came in time"))
			}
		case <-wake:
		}
	}
}

// recovered turns a panic into an end of this connection alone.
func (c *conn) recovered() {
	if p := recover(); p != nil {
		c.log.Error("a gateway client's connection panicked", zap.String("code", "proxy_panic"),
			zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
		c.over = dropped("internal error; connect again")
	}
}

// stop ends the connection from outside its loop. The first reason counts.
func (c *conn) stop(e *ending) {
	select {
	case c.ends <- e:
	default:
	}
}

// end ends the connection, or its session alone.
func (c *conn) end(e *ending) {
	switch {
	case c.over != nil, e.of != nil && (c.sess == nil || e.of != &c.sess.follower), e.settled && !c.settled():
	case e.retract:
		c.forget()
		c.payload(discord.OpInvalidSession, "false")
	default:
		c.over = e
	}
}

// settled reports whether the client has been sent READY or RESUMED.
func (c *conn) settled() bool {
	return c.sess != nil && (c.phase == sending || c.phase == live && !c.sess.replay)
}

// forget lets go of the session. The state keeps it as long as it has time.
func (c *conn) forget() {
	c.phase, c.burst, c.asked, c.held, c.answers = waiting, nil, nil, nil, nil
	if c.sess != nil {
		c.sess.feed.remove(&c.sess.follower)
		c.s.leave(c.sess.feed)
		c.sess = nil
		c.until.Reset(c.s.o.times.identify)
	}
}

// beside runs f beside the loop, and then what f returns in the loop.
func (c *conn) beside(f func(ctx context.Context) func()) {
	c.wg.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, actTimeout)
		defer cancel()
		then := func() { c.end(dropped("internal error; connect again")) }
		defer func() {
			if p := recover(); p != nil {
				c.log.Error("a gateway client's request panicked", zap.String("code", "proxy_panic"),
					zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			}
			select {
			case c.results <- then:
			case <-c.done:
			}
		}()
		then = f(ctx)
	})
}

// handle answers a payload.
func (c *conn) handle(f frame) {
	switch f.op {
	case discord.OpHeartbeat:
		c.beat(f.d)
	case discord.OpIdentify, discord.OpResume:
		switch {
		case c.phase != waiting:
			c.end(closing(discord.CloseAlreadyAuthenticated, "there is a session on this connection already"))
		case f.op == discord.OpIdentify:
			c.identify(f.d)
		default:
			c.resume(f.d)
		}
	case discord.OpPresenceUpdate, discord.OpVoiceStateUpdate, discord.OpRequestGuildMembers,
		opGuildSubscriptions, discord.OpRequestSoundboardSounds, discord.OpRequestChannelInfo:
		switch {
		case c.phase == opening:
			c.held = append(c.held, f) // a client may send 120 of them
			return
		case c.sess == nil:
			c.end(closing(discord.CloseNotAuthenticated, "IDENTIFY or RESUME comes first"))
			return
		}
		c.command(f)
	default:
		c.end(closing(discord.CloseUnknownOpcode, "this opcode is none that a client may send"))
	}
}

// beat answers a heartbeat and keeps the session alive.
func (c *conn) beat(d []byte) {
	c.payload(discord.OpHeartbeatACK, "null")
	if c.sess != nil {
		c.vouch(c.sess.client)
		c.s.touches.add(c.sess.touched(d, time.Now()))
	}
}

// advance sends a part of what there is to send, and returns a channel to wait
// for before it is called again.
func (c *conn) advance() <-chan struct{} {
	switch c.phase {
	case sending:
		c.sendGuilds()
		return always
	case live:
		more := c.sendMembers()
		if wake := c.sendEvents(); !more {
			return wake
		}
		return always
	case waiting, opening:
	}
	return nil
}

// payload sends a payload that is no dispatch.
func (c *conn) payload(op discord.Opcode, d string) {
	c.write(nil, &body{d: appendPayload(nil, op, d), closed: true})
}

// dispatch sends an event under a number.
func (c *conn) dispatch(event string, s int64, b *body) {
	c.head = appendHead(c.head[:0], event, s)
	c.write(c.head, b)
}

func (c *conn) write(head []byte, b *body) {
	if c.over != nil && c.over.quiet {
		return
	}
	p, err := c.pack.pack(head, b)
	if err != nil {
		c.log.Error("an event could not be compressed", zap.String("code", "proxy_compress"), zap.Error(err))
		c.end(dropped("internal error; connect again"))
		return
	}
	kind := websocket.TextMessage
	if c.pack.binary() {
		kind = websocket.BinaryMessage
	}
	if err := c.ws.WriteMessage(kind, p); err != nil {
		c.lost()
	}
}

// lost ends a connection whose socket takes nothing more.
func (c *conn) lost() { c.over = &ending{quiet: true} }

// batch sends what f sends in as few pieces as it takes; what f has sent goes out
// even if it panics, and what is sent after it isn't collected.
func (c *conn) batch(f func()) {
	c.cork.cork()
	defer func() {
		if c.cork.flush() != nil {
			c.lost()
		}
	}()
	f()
}

// hangUp tells the client why, waits a moment for its answer, and ends TCP.
func (c *conn) hangUp() {
	e := c.over
	if !e.quiet {
		c.cork.hurry(closeTimeout)
		deadline := time.Now().Add(closeTimeout)
		_ = c.ws.SetReadDeadline(deadline) // the reader waits for the client's answer
		if e.first != nil {
			c.write(nil, &body{d: e.first, closed: true})
		}
		_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(int(e.code), e.reason), deadline)
		select {
		case <-c.gone:
		case <-time.After(closeTimeout):
		}
	}
	_ = c.ws.Close()
	<-c.gone
	c.endSession(e)
}

package sim

import (
	"encoding/json"
	"errors"
	"net"
	"time"

	"github.com/gorilla/websocket"
)

// payload is what a client sends.
type payload struct {
	Op *int            `json:"op"`
	D  json.RawMessage `json:"d"`
}

// maxPayload is the largest payload a client may send (events/gateway.mdx, "Sending Events").
const maxPayload = 4096

// read is the reader: it lives until the connection ends, however it ends.
func (c *conn) read() {
	c.ws.SetReadLimit(1 << 20)
	c.ws.SetPingHandler(func(string) error { return nil })
	c.ws.SetCloseHandler(func(int, string) error { return nil })
	c.alive()
	for {
		_, msg, err := c.ws.ReadMessage()
		if err != nil {
			c.lost(err)
			return
		}
		if c.srv.faults.deaf() {
			c.alive()
			continue
		}
		if c.isEnding() {
			continue
		}
		if code := c.handle(msg); code != 0 {
			c.fail(code)
		}
	}
}

// fail closes with a code, and ends the session if the code says so.
func (c *conn) fail(code int) {
	if s := c.sess.Load(); endsSession[code] && s != nil {
		c.srv.hub.end(s)
	}
	c.stop(code)
}

// lost is told why reading ended. Only the client's own 1000 and 1001 end the
// session (events/gateway.mdx, "Initiating a Disconnect").
func (c *conn) lost(err error) {
	var timeout net.Error
	s := c.sess.Load()
	switch {
	case websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway):
		if s != nil {
			c.srv.hub.end(s)
		}
		c.stop(dropTCP)
	case errors.As(err, &timeout) && timeout.Timeout():
		c.stop(c.srv.opts.HeartbeatCode)
	default:
		c.stop(dropTCP)
	}
	if s != nil {
		s.detach(c)
		s.log.note("disconnected", c.remote)
	}
}

// handle does what a payload asks and returns the code to close with, or 0.
func (c *conn) handle(msg []byte) int {
	if c.flooded() {
		return 4008
	}
	var p payload
	if len(msg) > maxPayload || json.Unmarshal(msg, &p) != nil || p.Op == nil {
		return 4002
	}
	switch *p.Op {
	case opHeartbeat:
		return c.heartbeat(p.D)
	case opIdentify:
		return c.identify(p.D)
	case opResume:
		return c.resume(p.D)
	case opPresence, opVoice, opMembers, opSounds, opChannels:
		if c.sess.Load() == nil {
			return 4003
		}
		return c.command(*p.Op, p.D)
	}
	return 4001
}

// flooded counts the payloads of the last minute (events/gateway.mdx, "Rate Limiting").
func (c *conn) flooded() bool {
	limit := c.srv.opts.CommandLimit
	if limit < 0 {
		return false
	}
	now := time.Now()
	for len(c.sent) > 0 && now.Sub(c.sent[0]) > time.Minute {
		c.sent = c.sent[1:]
	}
	c.sent = append(c.sent, now)
	return len(c.sent) > limit
}

func (c *conn) heartbeat(d json.RawMessage) int {
	var seq *int64
	if len(d) > 0 && json.Unmarshal(d, &seq) != nil {
		return 4002
	}
	c.alive()
	if s := c.sess.Load(); s != nil {
		s.log.beat(seq)
		if seq != nil {
			s.beat(*seq)
		}
	}
	if !c.srv.faults.mute() {
		c.op(opAck, "null")
	}
	return 0
}

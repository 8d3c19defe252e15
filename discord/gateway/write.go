package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
	"github.com/tidwall/gjson"
	"go.uber.org/zap"

	"github.com/botnode/botnode/discord"
)

// late is how much later than asked the timer may fire before the difference
// counts as a pause: the process was stopped or starved, and what it did not
// read may lie in the socket. As much again is granted to read it.
const late = time.Second

// request is one payload that waits for the writer.
type request struct {
	payload []byte
	done    chan error // capacity 1
}

// Send writes a payload of the owner, such as op 3, 4, 8 or 31. It waits until
// the session is live and the rate limit has room, in the order of the calls, and
// returns when the payload was handed to TCP. nil data is null.
func (c *Conn) Send(ctx context.Context, op discord.Opcode, data []byte) error {
	switch op {
	case discord.OpHeartbeat, discord.OpIdentify, discord.OpResume, discord.OpDispatch:
		return fmt.Errorf("%w: %v", ErrOpcode, op)
	}
	payload, err := encode(op, data)
	if err != nil {
		return err
	}
	r := &request{payload: payload, done: make(chan error, 1)}
	select {
	case c.sends <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.over:
		return ErrClosed
	}
	// The writer has it; a write ends within WriteTimeout.
	return <-r.done
}

// write serves the writer until stop. It alone writes to the socket, and it
// alone lets time pass for the machine.
func (c *Conn) write(stop <-chan struct{}) {
	var lim limiter
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := c.writeUrgent(&lim); err != nil {
			c.fail(err)
		}
		deadline, live := c.arm(&lim)
		now := c.now()
		var sends chan *request
		if live {
			if w := lim.wait(now); w == 0 {
				sends = c.sends
			} else {
				deadline = min(deadline, now+w)
			}
		}
		deadline = max(deadline, now)
		timer.Reset(deadline - now)
		select {
		case <-stop:
			return
		case <-c.kick:
		case r := <-sends:
			lim.took(c.now())
			err := c.put(r.payload)
			r.done <- err
			if err != nil {
				c.fail(err)
			}
		case <-timer.C:
			c.tick(deadline)
		}
	}
}

// arm notes the deadline that the writer is going to wait for.
func (c *Conn) arm(lim *limiter) (deadline time.Duration, live bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lim.reserve(c.machine.Interval())
	at := c.moment(c.now())
	deadline = c.machine.NextDeadline(at.Paused)
	if at.Paused > c.paused {
		// A pause is in progress: a deadline of reading time that is nearly
		// reached would stay nearly reached, and the timer would spin.
		deadline = max(deadline, at.Now+grain)
	}
	c.armed = deadline
	return deadline, c.machine.State() == Live
}

// grain is the least time between two looks at the deadlines during a pause.
const grain = 20 * time.Millisecond

// tick lets time pass for the machine.
func (c *Conn) tick(asked time.Duration) {
	if over := c.now() - asked; over > late {
		c.mu.Lock()
		if c.sinkSince == never { // or the pause in progress counts it already
			c.paused += over + late
		}
		c.mu.Unlock()
		c.log.Warn("gateway timer late", zap.String("code", "gateway_timer_late"), zap.Duration("by", over))
	}
	c.apply(Input{Kind: InTick}, nil)
}

// writeUrgent writes what may not wait: the heartbeat, then orders, then the
// close frame.
func (c *Conn) writeUrgent(lim *limiter) error {
	c.mu.Lock()
	u := c.urgent
	c.urgent = urgent{}
	c.mu.Unlock()
	if u.beat {
		if err := c.put(c.heartbeat()); err != nil {
			return err
		}
	}
	for _, b := range u.orders {
		lim.took(c.now())
		if err := c.put(b); err != nil {
			return err
		}
	}
	if u.close {
		msg := websocket.FormatCloseMessage(int(discord.CloseNormal), "")
		return c.ws.WriteControl(websocket.CloseMessage, msg, time.Now().Add(c.opts.CloseTimeout))
	}
	return nil
}

func (c *Conn) put(payload []byte) error {
	if err := c.ws.SetWriteDeadline(time.Now().Add(c.opts.WriteTimeout)); err != nil {
		return err
	}
	return c.ws.WriteMessage(websocket.TextMessage, payload)
}

func (c *Conn) fail(err error) {
	c.apply(Input{Kind: InWriteFailed, Closure: Closure{Cause: CauseWrite, Err: err}}, nil)
}

// heartbeat is op 1 with the committed sequence number, read as late as possible.
func (c *Conn) heartbeat() []byte {
	seq, ok := c.opts.Seq()
	if !ok {
		return []byte(`{"op":1,"d":null}`)
	}
	b := append(make([]byte, 0, 40), `{"op":1,"d":`...)
	return append(strconv.AppendInt(b, seq, 10), '}')
}

// encode makes a payload, and refuses what Discord would close the connection for.
func encode(op discord.Opcode, data []byte) ([]byte, error) {
	if data == nil {
		data = null
	}
	if len(data) > MaxPayload {
		return nil, fmt.Errorf("%w: %v with %d bytes", ErrPayloadTooLarge, op, len(data))
	}
	if !gjson.ValidBytes(data) {
		return nil, fmt.Errorf("%w: %v", ErrPayload, op)
	}
	b := append(make([]byte, 0, len(data)+24), `{"op":`...)
	b = strconv.AppendInt(b, int64(op), 10)
	b = append(append(append(b, `,"d":`...), data...), '}')
	if len(b) > MaxPayload {
		return nil, fmt.Errorf("%w: %v with %d bytes", ErrPayloadTooLarge, op, len(b))
	}
	return b, nil
}

// encodeOrder is encode for IDENTIFY and RESUME. Its errors hold no token.
func encodeOrder(op discord.Opcode, data any) ([]byte, error) {
	b, err := json.Marshal(data)
	if err != nil {
		// Only the presence can be at fault, and its bytes are the owner's.
		return nil, fmt.Errorf("%w: %v", ErrPayload, op)
	}
	return encode(op, b)
}

type resumeData struct {
	Token     string `json:"token"`
	SessionID string `json:"session_id"`
	Seq       int64  `json:"seq"`
}

type identify struct {
	Token          string          `json:"token"`
	Properties     Properties      `json:"properties"`
	Intents        discord.Intents `json:"intents"`
	Shard          *[2]int         `json:"shard,omitempty"`
	LargeThreshold int             `json:"large_threshold,omitempty"`
	Presence       json.RawMessage `json:"presence,omitempty"`
}

func identifyData(token string, p Identify) identify {
	d := identify{
		Token: token, Properties: p.Properties, Intents: p.Intents,
		LargeThreshold: p.LargeThreshold, Presence: p.Presence,
	}
	if p.Shard[1] > 0 {
		d.Shard = &p.Shard
	}
	if d.Properties.OS == "" {
		d.Properties.OS = runtime.GOOS
	}
	if d.Properties.Browser == "" {
		d.Properties.Browser = "botnode"
	}
	if d.Properties.Device == "" {
		d.Properties.Device = "botnode"
	}
	return d
}

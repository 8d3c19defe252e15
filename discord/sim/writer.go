package sim

import (
	"strconv"
	"time"

	"github.com/gorilla/websocket"
)

// write is the writer: it takes the whole queue, writes it as one batch and
// flushes. It ends when the connection does.
func (c *conn) write() {
	defer c.srv.wg.Done()
	defer close(c.finished)
	c.greet()
	var batch []out
	var scratch []byte
	for range c.wake {
		var end bool
		var code int
		batch, end, code = c.take(batch)
		if d := c.srv.faults.writeDelay(); d > 0 && len(batch) > 0 {
			c.srv.sleep(d)
		}
		var err error
		if scratch, err = c.writeBatch(batch, scratch); err != nil {
			c.bury()
			_ = c.net.Close()
			return
		}
		if end {
			if code != dropTCP {
				msg := websocket.FormatCloseMessage(code, closeReason[code])
				_ = c.ws.WriteControl(websocket.CloseMessage, msg, time.Now().Add(time.Second))
				// Closing now could reset the connection before the client has read
				// the frame; the reader waits for the client's end, the killer for both.
				c.net.closeWrite()
				c.bury()
				return
			}
			c.bury()
			_ = c.net.Close()
			return
		}
	}
}

// greet sends HELLO, or the op 7 that a fault wants instead of it.
func (c *conn) greet() {
	if c.srv.faults.noHello() {
		c.op(opReconnect, "null")
		return
	}
	ms := strconv.FormatInt(c.srv.opts.HeartbeatInterval.Milliseconds(), 10)
	c.op(opHello, `{"heartbeat_interval":`+ms+`,"_trace":["[\"sim\"]"]}`)
}

// take swaps the queue for the emptied batch.
func (c *conn) take(batch []out) ([]out, bool, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(batch)
	batch, c.q = c.q, batch[:0]
	c.room.Broadcast()
	return batch, c.ending, c.code
}

// bury marks the connection dead and takes it from its session.
func (c *conn) bury() {
	c.mu.Lock()
	c.dead, c.ending, c.q = true, true, nil
	c.room.Broadcast()
	c.mu.Unlock()
	if s := c.sess.Load(); s != nil {
		s.detach(c)
	}
}

func (c *conn) isEnding() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending
}

func (c *conn) writeBatch(batch []out, scratch []byte) ([]byte, error) {
	if len(batch) == 0 {
		return scratch, nil
	}
	c.net.cork()
	for i := range batch {
		o := &batch[i]
		scratch = scratch[:0]
		if o.frame != nil {
			scratch = append(scratch, o.frame...)
		} else {
			scratch = o.event.append(scratch)
		}
		if err := c.writeMessage(scratch, o.binary); err != nil {
			return scratch, err
		}
	}
	err := c.net.uncork()
	if s := c.sess.Load(); err == nil && s != nil {
		s.log.wrote(batch, time.Now())
	}
	return scratch, err
}

// payloadMin is the size from which payload compression compresses.
const payloadMin = 1024

func (c *conn) writeMessage(p []byte, binary bool) error {
	switch {
	case binary:
		return c.ws.WriteMessage(websocket.BinaryMessage, p)
	case c.squeeze != nil:
		z, err := c.squeeze.message(p)
		if err != nil {
			return err
		}
		return c.ws.WriteMessage(websocket.BinaryMessage, z)
	case len(p) >= payloadMin && c.wantsPayload():
		return c.ws.WriteMessage(websocket.BinaryMessage, payloadZlib(p))
	}
	return c.ws.WriteMessage(websocket.TextMessage, p)
}

func (c *conn) wantsPayload() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.payload
}

// append renders the dispatch in the order of fields that Discord uses.
func (e *event) append(b []byte) []byte {
	b = append(b, `{"t":"`...)
	b = append(b, e.kind...)
	b = append(b, `","s":`...)
	b = strconv.AppendInt(b, e.s, 10)
	b = append(b, `,"op":0,"d":`...)
	b = append(b, e.data...)
	return append(b, '}')
}

package proxy

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/gorilla/websocket"

	"github.com/botnode/botnode/discord"
)

// maxSends is how many payloads a client may send in sendWindow
// (events/gateway.mdx, "Rate Limiting").
const (
	maxSends   = 120
	sendWindow = 60 * time.Second
)

// sends counts what a client has sent.
type sends struct {
	since time.Time
	n     int
}

// another reports whether the client may send one more.
func (s *sends) another(now time.Time) bool {
	if now.Sub(s.since) >= sendWindow {
		s.since, s.n = now, 0
	}
	s.n++
	return s.n <= maxSends
}

// read takes payloads off the socket until it ends. While the loop is behind,
// it doesn't read.
func (c *conn) read() {
	defer close(c.gone)
	_ = c.ws.SetReadDeadline(time.Now().Add(firstDeadline)) // never fails
	var count sends
	buf := make([]byte, 0, 512)
	for {
		p, err := c.readFrame(buf)
		in := input{}
		switch {
		case err != nil:
			in.end = readEnding(err)
		case !count.another(time.Now()):
			in.end = closing(discord.CloseRateLimited, "more than 120 payloads in 60 seconds")
		default:
			f, err := parseFrame(p)
			if err != nil {
				in.end = closing(discord.CloseDecodeError, "a payload is a JSON object with op and d, of 4096 bytes at most")
			}
			f.d = append([]byte(nil), f.d...) // buf is read into again
			in.frame = f
		}
		if in.end == nil && in.frame.op == discord.OpHeartbeat {
			_ = c.ws.SetReadDeadline(time.Now().Add(beatDeadline))
		}
		select {
		case c.inbox <- in:
		case <-c.done:
			if err != nil {
				return
			}
			continue // until the client's close frame, or the deadline that the loop has set
		}
		if in.end != nil {
			c.drain(err)
			return
		}
	}
}

// drain waits for the end of the socket.
func (c *conn) drain(err error) {
	<-c.done
	for err == nil {
		_, err = c.readFrame(nil)
	}
}

// readFrame reads a message, as much of it as may be one.
func (c *conn) readFrame(buf []byte) ([]byte, error) {
	_, r, err := c.ws.NextReader()
	if err != nil {
		return nil, err
	}
	buf = buf[:0]
	for {
		if len(buf) > maxFrame {
			return buf, nil // no payload: its length says so
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// readEnding says what the end of reading means.
func readEnding(err error) *ending {
	var frame *websocket.CloseError
	var timeout net.Error
	switch {
	case errors.As(err, &frame):
		return &ending{quiet: true, code: discord.CloseCode(frame.Code)}
	case errors.As(err, &timeout) && timeout.Timeout():
		return dropped("no heartbeat came in time")
	}
	return &ending{quiet: true}
}

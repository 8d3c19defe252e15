package gateway

import (
	"errors"
	"io"
	"slices"

	"github.com/gorilla/websocket"

	"github.com/botnode/botnode/discord"
)

// receiver reads gateway messages into buffers that it reuses.
type receiver struct {
	ws    *websocket.Conn
	inf   inflater
	limit int64
	buf   []byte
	arena arena
}

func newReceiver(ws *websocket.Conn, inf inflater, limit int64) *receiver {
	return &receiver{ws: ws, inf: inf, limit: limit}
}

func (r *receiver) close() { r.inf.close() }

// next is the next gateway message, valid until the call after.
func (r *receiver) next() ([]byte, error) {
	for {
		kind, src, err := r.ws.NextReader()
		if err != nil {
			return nil, err
		}
		p, err := r.whole(src)
		if err != nil {
			return nil, err
		}
		// Compressed messages are binary; a text in between is what it says.
		if kind == websocket.BinaryMessage {
			if p, err = r.inf.inflate(p); err != nil {
				return nil, err
			}
		}
		if len(p) > 0 {
			return p, nil
		}
	}
}

// whole reads one WebSocket message. The buffer grows by what has arrived, never
// by what a header announces.
func (r *receiver) whole(src io.Reader) ([]byte, error) {
	r.buf = recycle(r.buf)
	for {
		if len(r.buf) == cap(r.buf) {
			r.buf = slices.Grow(r.buf, max(4096, len(r.buf)))
		}
		n, err := src.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		if int64(len(r.buf)) > r.limit {
			return nil, ErrTooBig
		}
		if errors.Is(err, io.EOF) {
			return r.buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// read serves the reader until the connection ends, and says why it did.
func (c *Conn) read() Closure {
	for {
		msg, err := c.rx.next()
		if err != nil {
			return readClosure(err)
		}
		f, err := parseFrame(msg)
		if err != nil {
			return Closure{Cause: CauseMalformed, Err: err}
		}
		c.apply(f.in, &f)
	}
}

// readClosure judges why nothing more can be read.
func readClosure(err error) Closure {
	var ce *websocket.CloseError
	switch {
	case errors.Is(err, ErrTooBig), errors.Is(err, websocket.ErrReadLimit):
		return Closure{Cause: CauseTooBig, Err: err}
	case errors.Is(err, ErrStream):
		return Closure{Cause: CauseBadStream, Err: err}
	case errors.As(err, &ce) && ce.Code != websocket.CloseAbnormalClosure:
		code := discord.CloseCode(ce.Code)
		return Closure{Code: code, Cause: CauseCloseFrame, Err: err, Verdict: code.Verdict()}
	}
	return Closure{Cause: CauseLost, Err: err}
}

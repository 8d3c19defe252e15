package transport

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Method names what an rpc asks for. Numbers are given out by whoever wires the
// node, and must not change between versions.
type Method uint8

// maxConcurrent bounds the running concurrent handlers of one connection. When
// it is reached the connection isn't read, which holds the caller back.
const maxConcurrent = 4096

// readBuffer is large enough for dozens of small requests in one read.
const readBuffer = 64 << 10

// handler is what serves a method: exactly one of the two is set.
type handler struct {
	concurrent func(ctx context.Context, from Peer, req []byte) ([]byte, error)
	ordered    func(from Peer, req []byte, reply func([]byte, error))
}

// Handle serves m with h, each request on a goroutine of its own. The context
// ends with the connection, with the transport, and with the caller's patience.
// The request belongs to h; what h returns must not be changed afterwards.
func (t *Transport) Handle(m Method, h func(ctx context.Context, from Peer, req []byte) ([]byte, error)) {
	t.handlers[m].Store(&handler{concurrent: h})
}

// HandleOrdered serves m with h, which is called on the connection's reader
// goroutine, in the order of arrival. h must not block: while it runs, nothing
// else is read from that peer. It, or any goroutine later, answers by calling
// reply; calls after the first do nothing. The request belongs to h.
func (t *Transport) HandleOrdered(m Method, h func(from Peer, req []byte, reply func([]byte, error))) {
	t.handlers[m].Store(&handler{ordered: h})
}

// serverConn is the accepting side of an rpc connection.
type serverConn struct {
	t     *Transport
	conn  *Conn
	w     *frameWriter
	ctx   context.Context
	slots chan struct{}
}

// serveRPC reads requests until the connection ends. It runs on the goroutine
// that did the handshake.
func (t *Transport) serveRPC(conn *Conn) {
	ctx, cancel := context.WithCancel(t.ctx)
	s := &serverConn{t: t, conn: conn, w: newFrameWriter(conn), ctx: ctx, slots: make(chan struct{}, maxConcurrent)}
	end := func(err error) {
		s.w.fail(err)
		cancel()
		_ = conn.Close()
	}
	if !t.spawn(func() { end(s.w.run()) }) {
		end(ErrClosed)
		return
	}
	err := s.readLoop()
	end(err)
	if !errors.Is(err, io.EOF) && t.ctx.Err() == nil {
		t.log.Debug("rpc connection ended", zap.String("peer", conn.peer.ID), zap.Error(err))
	}
}

func (s *serverConn) readLoop() error {
	r := bufio.NewReaderSize(s.conn, readBuffer)
	for {
		f, payload, err := readFrame(r)
		if err != nil {
			return err
		}
		switch f.typ {
		case framePing:
			err = s.w.answer(frameHeader{typ: framePong, id: f.id}, nil)
		case frameRequest:
			err = s.serve(f, payload)
		default:
			err = errors.New("unexpected frame from a caller")
		}
		if err != nil {
			return err
		}
	}
}

// serve starts the handler of one request.
func (s *serverConn) serve(f frameHeader, req []byte) error {
	h := s.t.handlers[f.method].Load()
	res := &response{s: s, f: f}
	switch {
	case h == nil:
		res.reply(nil, &RemoteError{Code: CodeUnknownMethod, Message: "this node doesn't serve the method: is it of an older version?"})
	case h.ordered != nil:
		h.ordered(s.conn.peer, req, res.reply)
	default:
		select {
		case s.slots <- struct{}{}:
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
		if !s.t.spawn(func() { s.runConcurrent(h, res, req) }) {
			return ErrClosed
		}
	}
	return nil
}

func (s *serverConn) runConcurrent(h *handler, res *response, req []byte) {
	defer func() { <-s.slots }()
	ctx := s.ctx
	if res.f.aux > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(res.f.aux)*time.Millisecond)
		defer cancel()
	}
	data, err := h.concurrent(ctx, s.conn.peer, req)
	if err != nil && s.ctx.Err() != nil {
		return // cut short by our own end: to the caller the outcome is unknown, not failed
	}
	res.reply(data, err)
}

// response is the answer that a request waits for.
type response struct {
	s    *serverConn
	f    frameHeader
	done atomic.Bool
}

// reply sends the answer once. It never blocks; when the peer doesn't read its
// answers the connection is given up.
func (r *response) reply(data []byte, err error) {
	if r.done.Swap(true) {
		return
	}
	h := frameHeader{typ: frameResponse, method: r.f.method, id: r.f.id}
	if err == nil && len(data) > MaxMessage {
		err = &RemoteError{Code: CodeTooLarge, Message: "the answer exceeds the message limit"}
	}
	if err != nil {
		h.typ = frameError
		data = appendRemoteError(nil, err)
	}
	if err := r.s.w.answer(h, data); errors.Is(err, ErrTooLarge) {
		r.s.w.fail(err)
		_ = r.s.conn.Close()
	}
}

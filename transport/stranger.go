package transport

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// A stranger is a process that has no certificate yet and asks for one. It may
// send one request over TLS, before which it has judged who answers; nothing but
// Options.OnStranger sees it.
const (
	maxStrangerMessage = 64 << 10
	maxStrangers       = 16 // at a time
	maxStrangersOfHost = 4  // of them: one host that says nothing keeps nobody else out
	strangerTimeout    = 15 * time.Second
)

// AskAsStranger sends one request to the node at addr, over TLS and without a
// certificate of one's own. verify judges the other end's chain before anything
// is told.
func (t *Transport) AskAsStranger(ctx context.Context, addr string, verify func([]*x509.Certificate) error, req []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, strangerTimeout)
	defer cancel()
	stop := context.AfterFunc(t.ctx, cancel)
	defer stop()
	raw, err := t.opts.Network.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer func() { _ = raw.Close() }()
	cut := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer cut()
	c, err := dialTLS(ctx, raw, addr, baseTLS(), verify)
	if err != nil {
		return nil, fmt.Errorf("handshake with %s: %w", addr, err)
	}
	if _, err := c.Write(t.header(kindStranger, "").append(nil)); err != nil {
		return nil, err
	}
	h, err := readHeader(c)
	if err != nil {
		return nil, asRefusal(addr, err)
	}
	if h.kind != answerOK {
		return nil, &RefusedError{Reason: h.kind.reason(), Addr: addr, Message: h.note}
	}
	if err := writeMessage(c, req); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	res, err := readMessage(c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	return res, nil
}

// serveStranger answers one request and hangs up.
func (t *Transport) serveStranger(c *Conn) {
	defer func() { _ = c.Close() }()
	host := remoteHost(c)
	if !t.strange.enter(host, maxStrangersOfHost) {
		return
	}
	defer t.strange.leave(host)
	defer t.strangers.Add(-1)
	if t.strangers.Add(1) > maxStrangers {
		return
	}
	ctx, cancel := context.WithTimeout(t.ctx, strangerTimeout)
	defer cancel()
	if c.SetDeadline(time.Now().Add(strangerTimeout)) != nil {
		return
	}
	req, err := readMessage(c)
	if err != nil {
		return
	}
	_ = writeMessage(c, t.opts.OnStranger(ctx, c.Peer(), host, req))
}

// remoteHost is the address of the other end without its port.
func remoteHost(c net.Conn) string {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return c.RemoteAddr().String()
	}
	return host
}

var errStrangerMessage = errors.New("a message that is too large")

func writeMessage(w io.Writer, b []byte) error {
	if len(b) > maxStrangerMessage {
		return errStrangerMessage
	}
	out := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b))) //nolint:gosec // bounded above
	_, err := w.Write(append(out, b...))
	return err
}

func readMessage(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxStrangerMessage {
		return nil, errStrangerMessage
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

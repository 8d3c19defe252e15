package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// dial connects to addr and does the dialling side's handshake. Every error means that nothing but the hello was sent.
func (t *Transport) dial(ctx context.Context, addr string, k kind) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	stop := context.AfterFunc(t.ctx, cancel)
	defer stop()
	raw, err := t.reach(ctx, addr)
	if err != nil {
		return nil, err
	}
	if !t.track(raw) {
		_ = raw.Close()
		return nil, ErrClosed
	}
	conn, err := t.greet(ctx, raw, addr, k)
	t.noteDialled(addr, err)
	if err != nil {
		t.untrack(raw)
		_ = raw.Close()
		return nil, fmt.Errorf("handshake with %s: %w", addr, err)
	}
	return conn, nil
}

// knockEvery is how often a connection is asked for that nothing answers.
const knockEvery = 250 * time.Millisecond

// reach connects to addr. While nothing answers it asks again every so often: the
// kernel would ask again after a second, then after two, and a node that is to be
// reached again would wait for that. Whichever attempt has an answer first decides.
func (t *Transport) reach(ctx context.Context, addr string) (net.Conn, error) {
	type answer struct {
		conn net.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan answer)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	knock := func() {
		c, err := t.opts.Network.DialContext(ctx, "tcp", addr)
		select {
		case answers <- answer{c, err}:
		case <-ctx.Done():
			if err == nil {
				_ = c.Close()
			}
		}
	}
	wg.Go(knock)
	again := time.NewTicker(knockEvery)
	defer again.Stop()
	for {
		select {
		case a := <-answers:
			return a.conn, a.err
		case <-again.C:
			wg.Go(knock)
		case <-ctx.Done():
			return nil, fmt.Errorf("dial tcp %s: %w", addr, ctx.Err())
		}
	}
}

// greet says hello and reads the answer.
func (t *Transport) greet(ctx context.Context, raw net.Conn, addr string, k kind) (*Conn, error) {
	deadline, _ := ctx.Deadline()
	if err := raw.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	wrapped, proven, err := t.wrapClient(ctx, raw, addr)
	if err != nil {
		stop()
		return nil, err
	}
	hello := t.header(k, "")
	if _, err := wrapped.Write(hello.append(nil)); err != nil {
		stop()
		return nil, err
	}
	h, err := readHeader(wrapped)
	if !stop() && err == nil {
		err = context.Cause(ctx) // the deadline of a good connection is spoilt
	}
	if err != nil {
		return nil, asRefusal(addr, err)
	}
	release, err := t.checkAnswer(h, addr, proven)
	if err != nil {
		return nil, err
	}
	conn := t.newConn(wrapped, raw, Peer{ID: h.id, Incarnation: h.incarnation, Addr: h.addr}, release)
	if err := raw.SetDeadline(time.Time{}); err != nil {
		release()
		return nil, err
	}
	return conn, nil
}

// asRefusal names what answered in a foreign tongue.
func asRefusal(addr string, err error) error {
	if errors.Is(err, errMagic) || errors.Is(err, errTLS) {
		return &RefusedError{Reason: ErrNotPeer, Addr: addr, Message: err.Error()}
	}
	return err
}

// checkAnswer turns a refusal into an error and registers the peer.
func (t *Transport) checkAnswer(h header, addr, proven string) (func(), error) {
	switch {
	case h.kind != answerOK && h.kind >= answerOK:
		if h.version != protocolVersion {
			h.note = fmt.Sprintf("it speaks version %d, this node %d: upgrade the older one", h.version, protocolVersion)
		}
		return nil, &RefusedError{Reason: h.kind.reason(), Addr: addr, Message: h.note}
	case h.kind != answerOK || h.version != protocolVersion:
		return nil, &RefusedError{Reason: ErrNotPeer, Addr: addr, Message: "the answer isn't one"}
	case t.opts.Credentials != nil && h.id != proven:
		return nil, &RefusedError{Reason: ErrUntrusted, Addr: addr, Message: fmt.Sprintf("the certificate is of node %s, the answer of %s", proven, h.id)}
	}
	p := Peer{ID: h.id, Incarnation: h.incarnation, Addr: h.addr}
	// A peer that we reached ourselves is alive: force, but never back in time.
	release, known, v := t.peers.admit(p, true)
	if v == stale {
		return nil, &RefusedError{Reason: ErrStaleIncarnation, Addr: addr,
			Message: fmt.Sprintf("%q runs at %s with incarnation %d, here is %d", p.ID, known.Addr, known.Incarnation, p.Incarnation)}
	}
	return release, nil
}

// Probe connects to addr, learns who answers, and hangs up.
func (t *Transport) Probe(ctx context.Context, addr string) (Peer, error) {
	c, err := t.dial(ctx, addr, kindRPC)
	if err != nil {
		return Peer{}, err
	}
	p := c.Peer()
	return p, c.Close()
}

// sleep waits for d and reports false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

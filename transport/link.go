package transport

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// LinkState is what is known of a watched peer.
type LinkState int

const (
	// Up means that the peer's process answers.
	Up LinkState = iota + 1
	// Dead means that the process which was Up is gone for certain: its link
	// ended and either the redial was refused, so nobody listens where that
	// process did as long as it lived, or a newer incarnation answered.
	Dead
	// Lost means that nothing is heard and nothing is known: a hung process, a
	// cut cable, a firewall. It may be followed by Up of the same incarnation.
	Lost
)

// String names the state.
func (s LinkState) String() string {
	return [...]string{"unknown", "up", "dead", "lost"}[s]
}

// LinkEvent reports a change of a watched peer. Peer.Incarnation is 0 in a Lost
// of a peer that was never Up. Every Dead names an incarnation that was Up.
type LinkEvent struct {
	Peer  Peer
	State LinkState
	At    time.Time // when the cause was seen: for Dead, the end of the link
	Err   error     // the cause, nil for Up
}

// linkTiming are the intervals of a link. Death doesn't depend on them.
type linkTiming struct {
	ping       time.Duration // how often an idle link is asked for a sign of life
	silence    time.Duration // after which a link is Lost
	cut        time.Duration // silence after which the connection is given up and dialled anew
	backoffMin time.Duration
	backoffMax time.Duration
}

var defaultTiming = linkTiming{
	ping: 200 * time.Millisecond, silence: 600 * time.Millisecond, cut: 5 * time.Second,
	backoffMin: 10 * time.Millisecond, backoffMax: 250 * time.Millisecond,
}

// link watches one address.
type link struct {
	t      *Transport
	addr   string
	id     string
	cancel context.CancelFunc
	called chan struct{} // capacity 1: the peer has called us

	// Below is owned by the link's goroutine.
	peer   Peer      // last seen Up
	state  LinkState // last reported, 0 at first
	remote string    // socket address of the last connection
	ended  time.Time // when it ended
}

// Watch keeps a link to the node id at addr, across its restarts, until
// Unwatch. Watching an address again under another id replaces the first.
func (t *Transport) Watch(addr, id string) {
	ctx, cancel := context.WithCancel(t.ctx)
	l := &link{t: t, addr: addr, id: id, cancel: cancel, called: make(chan struct{}, 1), peer: Peer{ID: id, Addr: addr}}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.links[addr]
	if t.closing || (old != nil && old.id == id) {
		cancel()
		return
	}
	if old != nil {
		old.cancel()
	}
	t.links[addr] = l
	t.wg.Go(func() { l.run(ctx) })
}

// Unwatch ends the watch of addr. An event that is already being delivered may
// still arrive.
func (t *Transport) Unwatch(addr string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.links[addr]; l != nil {
		l.cancel()
		delete(t.links, addr)
	}
}

// run dials and monitors in turn.
func (l *link) run(ctx context.Context) {
	defer l.cancel()
	wait, resets := l.t.timing.backoffMin, 0
	for ctx.Err() == nil {
		conn, err := l.connect(ctx)
		if err == nil {
			l.remote = conn.conn.RemoteAddr().String()
			l.up(conn.conn.peer)
			err = l.monitor(ctx, conn)
			if ctx.Err() == nil {
				l.t.log.Debug("peer link ended", zap.String("peer", l.id), zap.Error(err))
			}
			l.ended = time.Now()
			wait, resets = l.t.timing.backoffMin, 0
			continue // the redial at once is what tells a death from a cut
		}
		if ctx.Err() != nil {
			return
		}
		if l.state == Up && isReset(err) && resets < maxResets {
			// A dying process closes its descriptors one after another: a dial
			// may still slip into its listener's queue. Ask again.
			resets++
			sleep(ctx, time.Duration(resets)*100*time.Microsecond)
			continue
		}
		l.down(err)
		if l.rest(ctx, wait) {
			wait = l.t.timing.backoffMin
			continue
		}
		wait = min(2*wait, l.t.timing.backoffMax)
	}
}

// rest waits for the next dial, and reports true if the peer calls first: it
// has started, and listens by then.
func (l *link) rest(ctx context.Context, wait time.Duration) (called bool) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-l.called:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// calledBy has the link to a peer that has just called dial it at once, if it
// is waiting to.
func (t *Transport) calledBy(p Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.links[p.Addr]; l != nil && l.id == p.ID {
		select {
		case l.called <- struct{}{}:
		default:
		}
	}
}

// maxResets bounds the quick redials after a reset, to about 20 ms in all.
const maxResets = 20

// connect gets the connection of the address, new or shared with Call.
func (l *link) connect(ctx context.Context) (*clientConn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.t.timing.silence)
	defer cancel()
	conn, err := l.t.connect(ctx, l.addr)
	if err == nil && conn.conn.peer.ID != l.id {
		return nil, &RefusedError{Reason: ErrWrongPeer, Addr: l.addr, Message: "expected " + l.id + ", got " + conn.conn.peer.ID}
	}
	return conn, err
}

// up reports a connection, and first the death of the incarnation before it.
func (l *link) up(p Peer) {
	if l.state == Up && l.peer.Incarnation == p.Incarnation {
		return // our connection was cut, the process lives
	}
	if l.peer.Incarnation != 0 && l.state != Dead && p.Incarnation > l.peer.Incarnation {
		l.report(Dead, l.ended, errNewIncarnation)
	}
	l.peer = p
	l.report(Up, time.Now(), nil)
}

var errNewIncarnation = errors.New("a newer incarnation answers")

// down reports a failed dial: a death if the address refuses, else a loss.
func (l *link) down(err error) {
	switch {
	case l.state == Dead:
	case l.peer.Incarnation != 0 && isRefused(err) && l.confirmed():
		l.report(Dead, l.ended, err)
	case l.state != Lost:
		l.report(Lost, time.Now(), err)
	}
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// confirmed reports whether the very socket address of the last connection
// refuses. A name may stand for several addresses, of which another than the
// peer's may have been the one that refused.
func (l *link) confirmed() bool {
	if l.remote == l.addr {
		return true
	}
	ctx, cancel := context.WithTimeout(l.t.ctx, l.t.timing.silence)
	defer cancel()
	c, err := l.t.opts.Network.DialContext(ctx, "tcp", l.remote)
	if err == nil {
		_ = c.Close()
	}
	return isRefused(err)
}

func (l *link) report(s LinkState, at time.Time, err error) {
	if l.state == Lost && s == Up {
		l.t.endStuck(l.addr, l.t.timing.ping)
	}
	l.state = s
	if l.t.opts.OnLink != nil {
		l.t.opts.OnLink(LinkEvent{Peer: l.peer, State: s, At: at, Err: err})
	}
}

// isReset reports whether err is how a handshake ends when its listener closes.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// errSilent ends a connection on which nothing was heard for too long.
var errSilent = errors.New("nothing heard on the link")

// monitor waits for the connection's end. Meanwhile it pings, and reports the
// link Lost while no frame arrives, Up when one does. The connection is kept for
// a while: a process that was paused goes on as if nothing had been. If the peer
// answers on another connection meanwhile and not on this one, the network was
// gone, and this connection waits for the kernel to send again: it is given up.
func (l *link) monitor(ctx context.Context, c *clientConn) error {
	tick := time.NewTicker(l.t.timing.ping)
	defer tick.Stop()
	// Silence is counted in ticks, not by the clock: a pause of this process
	// must not look like a pause of the peer.
	var heard uint64
	silent := time.Duration(0)
	var probe <-chan bool // while the link is Lost
	answers := false
	for {
		select {
		case <-c.closed:
			return c.err
		case <-ctx.Done():
			return ctx.Err()
		case answer := <-probe:
			// What came with that answer is heard of by the next tick.
			probe, answers = nil, answer && l.state == Lost
			continue
		case <-tick.C:
		}
		if n := c.heard.Load(); n != heard {
			heard, silent, answers = n, 0, false
			if l.state == Lost {
				l.report(Up, time.Now(), nil)
			}
		}
		if silent >= l.t.timing.silence && l.state == Up {
			l.report(Lost, time.Now(), errSilent)
		}
		if silent > l.t.timing.cut || answers {
			_ = c.conn.Close()
			<-c.closed
			return errSilent
		}
		if l.state == Lost && probe == nil {
			probe = l.probe(ctx)
		}
		_ = c.w.answer(frameHeader{typ: framePing}, nil)
		silent += l.t.timing.ping
	}
}

// probe asks on another connection whether the peer is there, and tells whether
// something has answered. A refusal is an answer.
func (l *link) probe(ctx context.Context) <-chan bool {
	answered := make(chan bool, 1)
	if !l.t.spawn(func() {
		_, err := l.t.Probe(ctx, l.addr)
		answered <- err == nil || isRefused(err)
	}) {
		return nil
	}
	return answered
}

package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// blackhole is a network that can swallow what is sent. A connection that has lost
// something doesn't work again when the network does: the kernel would send again
// later than any test waits.
type blackhole struct {
	kernel
	mu    sync.Mutex
	cut   bool
	conns []*swallowed
	// dialled has a token for each attempt, if it is set.
	dialled chan struct{}
}

// swallowed is a connection of a blackhole.
type swallowed struct {
	net.Conn
	mu   sync.Mutex
	dead bool // nothing passes any more
	lost bool // something was sent meanwhile
}

func (b *blackhole) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	b.mu.Lock()
	cut := b.cut
	b.mu.Unlock()
	select {
	case b.dialled <- struct{}{}:
	default:
	}
	if cut {
		<-ctx.Done() // its SYN is lost
		return nil, ctx.Err()
	}
	c, err := b.kernel.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	s := &swallowed{Conn: c}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns = append(b.conns, s)
	return s, nil
}

// set cuts the network, or heals it.
func (b *blackhole) set(cut bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut = cut
	for _, c := range b.conns {
		c.mu.Lock()
		c.dead = cut || c.lost
		c.mu.Unlock()
	}
}

func (s *swallowed) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		s.lost = true
		return len(p), nil
	}
	return s.Conn.Write(p)
}

// A network that works again is noticed while the connection that it had cut still
// waits, and streams on which an answer is awaited end, but for idle ones.
func TestHealedNetworkEndsWhatWaits(t *testing.T) {
	t.Parallel()
	timing := quick
	timing.cut = time.Hour
	hole := new(blackhole)
	events := make(chan LinkEvent, 100)
	w := listen(t, "w", func(o *Options) {
		o.Network = hole
		o.OnLink = func(e LinkEvent) { events <- e }
	})
	w.timing = timing
	w.Start()
	p := node(t, "peer", incarnation(7))
	stream := func() net.Conn {
		c, err := w.RaftLayer().Dial(p.Addr(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		far, err := p.RaftLayer().Accept()
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(far, far) }() // until its other end is closed
		return c
	}
	p.RaftLayer() // before anybody dials it
	idle, stuck := stream(), stream()
	say := func(c net.Conn) error {
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 1))
		return err
	}
	if err := errors.Join(say(idle), say(stuck)); err != nil {
		t.Fatal(err)
	}
	w.Watch(p.Addr(), "peer")
	await(t, events, Up, 7)

	hole.set(true)
	ended := make(chan error, 1)
	go func() { ended <- say(stuck) }()
	await(t, events, Lost, 7)
	hole.set(false)
	await(t, events, Up, 7)
	select {
	case err := <-ended:
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("what waited ended with %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("what waited still does")
	}
	if err := say(idle); err != nil {
		t.Errorf("the idle stream: %v", err)
	}
}

// A lost packet doesn't hold up a connection until the kernel sends it again.
func TestDialAsksAgain(t *testing.T) {
	t.Parallel()
	hole := &blackhole{cut: true, dialled: make(chan struct{}, 100)}
	w := node(t, "w", func(o *Options) { o.Network = hole })
	p := node(t, "peer", nil)
	healed := make(chan struct{})
	go func() {
		defer close(healed)
		<-hole.dialled
		hole.set(false) // the first attempt is lost for good
	}()
	if _, err := w.Probe(testContext(t), p.Addr()); err != nil {
		t.Error(err)
	}
	<-healed
}

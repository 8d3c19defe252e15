package netlab

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newLab makes a network, or skips the test where there is none.
func newLab(t *testing.T, hosts int) *Lab {
	t.Helper()
	l, err := New(hosts, 1)
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// talk makes a connection from host 0 to host 1, which echoes.
func talk(t *testing.T, l *Lab) net.Conn {
	t.Helper()
	srv, err := l.Host(1).Listen("tcp", l.Host(1).Addr.String()+":7000")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c, err := srv.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(c, c)
		_ = c.Close()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := l.Host(0).DialContext(ctx, "tcp", srv.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = c.Close(), srv.Close(), <-ended })
	return c
}

// echo sends a byte and waits for it.
func echo(c net.Conn, patience time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte{1}); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

func TestConnectionOutlivesACut(t *testing.T) {
	l := newLab(t, 2)
	c := talk(t, l)
	if err := echo(c, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]Fault{
		"one way":   {From: []int{0}, To: []int{1}, Link: Link{Cut: true}},
		"the other": {From: []int{1}, To: []int{0}, Link: Link{Cut: true}},
		"both":      {From: []int{0, 1}, To: []int{0, 1}, Link: Link{Cut: true}},
	} {
		heal := l.Break(f)
		before := l.Lost()
		if err := echo(c, 300*time.Millisecond); err == nil {
			t.Errorf("cut %s: the echo came", name)
		}
		if l.Lost() == before {
			t.Errorf("cut %s: no packet was lost", name)
		}
		heal()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second)) // of the byte before
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatalf("cut %s and healed: %v", name, err)
		}
	}
}

func TestDelayedHost(t *testing.T) {
	l := newLab(t, 2)
	c := talk(t, l)
	l.Break(Fault{From: []int{1}, To: []int{0}, Link: Link{Delay: 100 * time.Millisecond}})
	start := time.Now()
	if err := echo(c, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 100*time.Millisecond {
		t.Errorf("the echo took %v", took)
	}
}

func TestHostsReachNothingElse(t *testing.T) {
	l := newLab(t, 1)
	srv, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = srv.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if c, err := l.Host(0).DialContext(ctx, "tcp", srv.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("a host reaches the machine's loopback")
	}
}

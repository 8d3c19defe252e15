package memnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t *testing.T, h *Host, addr string) net.Listener {
	t.Helper()
	l, err := h.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, h *Host, addr string) net.Conn {
	t.Helper()
	c, err := h.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stream returns the two ends of a stream.
func stream(t *testing.T, from, to *Host) (near, far net.Conn) {
	t.Helper()
	l := listen(t, to, "127.0.0.1:0")
	near = dial(t, from, l.Addr().String())
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

// What is written arrives, whole and in order, whatever the sizes of reads and
// writes are; it is more than the window holds.
func TestStreamCarriesBytesInOrder(t *testing.T) {
	t.Parallel()
	n := New()
	near, far := stream(t, n.Host(), n.Host())
	want := make([]byte, 3*window+17)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range want {
		want[i] = byte(rng.Uint32())
	}
	go func() {
		for rest := want; len(rest) > 0; {
			k, err := near.Write(rest[:min(len(rest), 1+rng.IntN(100_000))])
			if err != nil {
				t.Error(err)
				return
			}
			rest = rest[k:]
		}
		_ = near.Close()
	}()
	var got bytes.Buffer
	buf := make([]byte, 70_001)
	for {
		k, err := far.Read(buf)
		got.Write(buf[:k])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes arrived of %d, or others", got.Len(), len(want))
	}
	if _, err := far.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("writing to who is gone: %v", err)
	}
}

// A process that dies is found out as on a real network: peers read what was
// sent, then the end; its address refuses at once; and it itself can do nothing.
func TestKilledHost(t *testing.T) {
	t.Parallel()
	n := New()
	dead, peer := n.Host(), n.Host()
	near, far := stream(t, peer, dead)
	addr := near.RemoteAddr().String()
	waiting := dial(t, peer, addr) // nobody has accepted it
	if _, err := far.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	packets, err := dead.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	dead.Kill()
	if b, err := io.ReadAll(near); string(b) != "last words" || err != nil {
		t.Errorf("the peer has read %q, %v", b, err)
	}
	if b, err := io.ReadAll(waiting); len(b) > 0 || err != nil {
		t.Errorf("on a stream in the queue: %q, %v", b, err)
	}
	if _, err := near.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("the peer writes: %v", err)
	}
	if _, err := peer.DialContext(t.Context(), "tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the peer dials again: %v", err)
	}
	_, dialled := dead.DialContext(t.Context(), "tcp", addr)
	_, listened := dead.Listen("tcp", "127.0.0.1:0")
	_, packet := dead.ListenPacket("udp", "127.0.0.1:0")
	_, read := far.Read(make([]byte, 1))
	_, written := far.Write([]byte("x"))
	_, sent := packets.WriteTo([]byte("x"), packets.LocalAddr())
	_, _, received := packets.ReadFrom(make([]byte, 1))
	for what, err := range map[string]error{
		"dials": dialled, "listens": listened, "listens for packets": packet, "reads": read, "writes": written,
		"sends a packet": sent, "receives a packet": received,
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("a dead host %s: %v", what, err)
		}
	}
	l := listen(t, n.Host(), addr) // its successor
	defer func() { _ = l.Close() }()
	_ = dial(t, peer, addr)
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	n := New()
	h := n.Host()
	l := listen(t, h, "127.0.0.1:0")
	if _, err := n.Host().Listen("tcp", l.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second listener: %v", err)
	}
	if _, err := n.Host().ListenPacket("udp", l.Addr().String()); err != nil {
		t.Errorf("datagrams have ports of their own: %v", err)
	}
	if _, err := h.DialContext(t.Context(), "tcp", "discord.com:443"); err == nil {
		t.Error("a name was dialled")
	}
	if _, err := New().Host().DialContext(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("from another network: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.DialContext(ended, "tcp", l.Addr().String()); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed listener accepts: %v", err)
	}
	again := listen(t, h, l.Addr().String())
	_ = again.Close()
}

// Deadlines wake those who wait, in both directions and by the clock.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := New()
		near, far := stream(t, n.Host(), n.Host())
		packets, err := n.Host().ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ops := map[string]func() error{
			"read": func() error {
				_ = near.SetReadDeadline(time.Now().Add(time.Second))
				_, err := near.Read(make([]byte, 1))
				return err
			},
			"write": func() error {
				_ = near.SetWriteDeadline(time.Now().Add(time.Second))
				_, err := near.Write(make([]byte, window+1))
				return err
			},
			"packet": func() error {
				_ = packets.SetReadDeadline(time.Now().Add(time.Second))
				_, _, err := packets.ReadFrom(make([]byte, 1))
				return err
			},
		}
		for name, op := range ops {
			begun := time.Now()
			err := op()
			var timeout net.Error
			if took := time.Since(begun); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() || took != time.Second {
				t.Errorf("%s: %v after %v", name, err, took)
			}
		}
		// A deadline in the past wakes who already waits, and one taken back is none.
		_ = near.SetDeadline(time.Time{})
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("woken: %v", err)
			}
		})
		synctest.Wait()
		_ = near.SetReadDeadline(time.Unix(1, 0))
		wg.Wait()
		_ = near.SetReadDeadline(time.Time{})
		if _, err := far.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if _, err := near.Read(make([]byte, 1)); err != nil {
			t.Errorf("without a deadline: %v", err)
		}
	})
}

func TestDatagrams(t *testing.T) {
	t.Parallel()
	n := New()
	a, errA := n.Host().ListenPacket("udp", "127.0.0.1:0")
	b, errB := n.Host().ListenPacket("udp", "127.0.0.1:0")
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	sent := []byte("hello")
	if _, err := a.WriteTo(sent, b.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	sent[0] = 'j' // it was copied
	buf := make([]byte, 100)
	k, from, err := b.ReadFrom(buf)
	if err != nil || string(buf[:k]) != "hello" || from.String() != a.LocalAddr().String() {
		t.Errorf("%q from %v, %v", buf[:k], from, err)
	}
	for range 2 * maxQueued {
		if _, err := a.WriteTo([]byte("x"), b.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(b.(*packetConn).queue); got != maxQueued {
		t.Errorf("%d datagrams wait, want %d", got, maxQueued)
	}
	_ = b.Close()
	if _, err := a.WriteTo([]byte("x"), b.LocalAddr()); err != nil {
		t.Errorf("to nobody: %v", err)
	}
}

// Package net/http works over it, with connections that are kept and with one
// end that hangs up.
func TestHTTP(t *testing.T) {
	t.Parallel()
	n := New()
	l := listen(t, n.Host(), "127.0.0.1:0")
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(l) })
	client := n.Host()
	tr := &http.Transport{DialContext: client.DialContext}
	for range 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.Addr().String(), bytes.NewReader(make([]byte, 2*window)))
		if err != nil {
			t.Fatal(err)
		}
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		if _ = res.Body.Close(); err != nil || len(b) != 2*window {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	}
	client.Kill()
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

const mEcho, mOrdered, mStuck, mFail Method = 1, 2, 3, 4

func TestCallReachesHandlerWithIdentity(t *testing.T) {
	a, b := node(t, "a", nil), node(t, "b", nil)
	b.Handle(mEcho, echo)
	got, err := a.Call(testContext(t), b.Addr(), mEcho, []byte("hi"))
	if err != nil || string(got) != "a#1:hi" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestCallToSelf(t *testing.T) {
	a := node(t, "a", nil)
	a.Handle(mEcho, echo)
	got, err := a.Call(testContext(t), a.Addr(), mEcho, nil)
	if err != nil || string(got) != "a#1:" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestManyCallsShareOneConnection(t *testing.T) {
	a, b := node(t, "a", nil), node(t, "b", nil)
	b.Handle(mEcho, func(_ context.Context, _ Peer, req []byte) ([]byte, error) { return req, nil })
	ctx := testContext(t)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			req := bytes.Repeat([]byte{byte(i)}, i*500)
			got, err := a.Call(ctx, b.Addr(), mEcho, req)
			if err != nil || !bytes.Equal(got, req) {
				t.Errorf("call %d: %d bytes back, %v", i, len(got), err)
			}
		})
	}
	wg.Wait()
	if n := b.inbound.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestBeginKeepsOrder(t *testing.T) {
	a, b := node(t, "a", nil), node(t, "b", nil)
	var next uint32
	b.HandleOrdered(mOrdered, func(_ Peer, req []byte, reply func([]byte, error)) {
		if got := binary.BigEndian.Uint32(req); got != next {
			t.Errorf("request %d came as number %d", got, next)
		}
		next++
		go reply(req, nil) // from another goroutine, in any order
	})
	ctx := testContext(t)
	pending := make([]*Pending, 500)
	for i := range pending {
		var err error
		if pending[i], err = a.Begin(ctx, b.Addr(), mOrdered, binary.BigEndian.AppendUint32(nil, uint32(i))); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range pending {
		got, err := p.Wait(ctx)
		if err != nil || binary.BigEndian.Uint32(got) != uint32(i) {
			t.Fatalf("answer %d: %x, %v", i, got, err)
		}
	}
}

func TestRemoteErrors(t *testing.T) {
	a, b := node(t, "a", nil), node(t, "b", nil)
	b.Handle(mFail, func(_ context.Context, _ Peer, req []byte) ([]byte, error) {
		switch string(req) {
		case "coded":
			return nil, &RemoteError{Code: "not_leader", Message: "ask c"}
		case "huge":
			return make([]byte, MaxMessage+1), nil
		}
		return nil, errors.New("plain")
	})
	for _, tt := range []struct {
		m              Method
		req, code, msg string
	}{
		{mFail, "coded", "not_leader", "ask c"},
		{mFail, "plain", CodeFailed, "plain"},
		{mFail, "huge", CodeTooLarge, "exceeds"},
		{99, "", CodeUnknownMethod, "serve"},
	} {
		_, err := a.Call(testContext(t), b.Addr(), tt.m, []byte(tt.req))
		var re *RemoteError
		if !errors.As(err, &re) || re.Code != tt.code || !strings.Contains(re.Message, tt.msg) {
			t.Errorf("%q: got %v", tt.req, err)
		}
	}
}

func TestCallErrorsTellWhatWasSent(t *testing.T) {
	a, b := node(t, "a", nil), node(t, "b", nil)
	entered := make(chan context.Context, 2)
	b.Handle(mStuck, func(ctx context.Context, _ Peer, _ []byte) ([]byte, error) {
		entered <- ctx
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if _, err := a.Call(testContext(t), freePort(t), mStuck, nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := a.Call(testContext(t), b.Addr(), mStuck, make([]byte, MaxMessage+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("oversize: %v", err)
	}

	ctx, cancel := context.WithCancel(testContext(t))
	p, err := a.Begin(ctx, b.Addr(), mStuck, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	cancel()
	if _, err := p.Wait(ctx); !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Errorf("caller gave up: %v", err)
	}

	p, err = a.Begin(testContext(t), b.Addr(), mStuck, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := p.Wait(testContext(t)); !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("peer died: %v", err)
	}
	if _, err := a.Call(testContext(t), b.Addr(), mStuck, nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("peer is dead: %v", err)
	}
	_ = a.Close()
	if _, err := a.Call(testContext(t), b.Addr(), mStuck, nil); !errors.Is(err, ErrUnreachable) || !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// TestUnsentRequestsAreUnreachable fills a connection that nobody reads: what
// the writer never took was never sent.
func TestUnsentRequestsAreUnreachable(t *testing.T) {
	near, far := net.Pipe() // unbuffered: the first write blocks
	c := newClientConn(&Conn{Conn: near, release: func() {}})
	done := make(chan struct{})
	go func() { defer close(done); _ = c.w.run() }()
	first, err := c.begin(t.Context(), mEcho, []byte("taken"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(far, make([]byte, 1)); err != nil { // the writer has it
		t.Fatal(err)
	}
	second, err := c.begin(t.Context(), mEcho, []byte("never taken"))
	if err != nil {
		t.Fatal(err)
	}
	_ = far.Close()
	<-done
	c.end(io.EOF)
	if _, err := first.Wait(t.Context()); !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("first: %v", err)
	}
	if _, err := second.Wait(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("second: %v", err)
	}
	if _, err := c.begin(t.Context(), mEcho, nil); err == nil {
		t.Error("begin on an ended connection succeeded")
	}
}

func TestHandlerContextCarriesPatience(t *testing.T) {
	a, b := node(t, "a", nil), node(t, "b", nil)
	b.Handle(mEcho, func(ctx context.Context, _ Peer, _ []byte) ([]byte, error) {
		d, ok := ctx.Deadline()
		if !ok || time.Until(d) > 5*time.Second {
			return nil, errors.New("no deadline")
		}
		return nil, nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := a.Call(ctx, b.Addr(), mEcho, nil); err != nil {
		t.Error(err)
	}
}

func TestWriterHoldsRequestsBack(t *testing.T) {
	fw := newFrameWriter(io.Discard) // not running: nothing is taken
	big := make([]byte, softPending)
	if _, err := fw.request(t.Context(), frameHeader{typ: frameRequest}, big); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := fw.request(ctx, frameHeader{typ: frameRequest}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a request above the limit: %v", err)
	}
	if err := fw.answer(frameHeader{typ: frameResponse}, nil); err != nil {
		t.Errorf("an answer must not wait: %v", err)
	}
	fw.take()
	if _, err := fw.request(ctx, frameHeader{typ: frameRequest}, nil); err != nil {
		t.Errorf("after the writer took all: %v", err)
	}
}

func BenchmarkCall(b *testing.B) {
	for _, size := range []int{100, 64 << 10} {
		b.Run(byteName(size), func(b *testing.B) {
			x, y := benchPair(b)
			req := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := x.Call(context.Background(), y.Addr(), mEcho, req); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
	b.Run("one at a time", func(b *testing.B) {
		x, y := benchPair(b)
		for b.Loop() {
			if _, err := x.Call(context.Background(), y.Addr(), mEcho, []byte("x")); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func byteName(n int) string {
	if n >= 1<<10 {
		return "64KiB"
	}
	return "100B"
}

func benchPair(b *testing.B) (x, y *Transport) {
	b.Helper()
	pair := make([]*Transport, 2)
	for i, id := range []string{"x", "y"} {
		tr, err := Listen(Options{Bind: "127.0.0.1:0", ID: id, Incarnation: 1})
		if err != nil {
			b.Fatal(err)
		}
		tr.Start()
		b.Cleanup(func() { _ = tr.Close() })
		pair[i] = tr
	}
	pair[1].HandleOrdered(mEcho, func(_ Peer, _ []byte, reply func([]byte, error)) { reply(nil, nil) })
	return pair[0], pair[1]
}

// freePort returns an address at which nobody listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestOwnEndIsNoAnswer keeps a closing node from telling that a call failed: the
// handler was cut short, and may have done its work.
func TestOwnEndIsNoAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &serverConn{conn: &Conn{}, w: newFrameWriter(io.Discard), ctx: ctx, slots: make(chan struct{}, 1)}
	run := func(err error) int {
		s.slots <- struct{}{}
		h := &handler{concurrent: func(context.Context, Peer, []byte) ([]byte, error) { return nil, err }}
		s.runConcurrent(h, &response{s: s}, nil)
		return len(s.w.take())
	}
	if run(errors.New("x")) == 0 {
		t.Error("a living node must answer")
	}
	cancel()
	if run(context.Canceled) != 0 {
		t.Error("a closing node answered that the call failed")
	}
	if run(nil) == 0 {
		t.Error("a closing node must pass on a success")
	}
}

package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/botnode/botnode/discord"
)

func TestDropAndCloseSession(t *testing.T) {
	tests := []struct {
		name    string
		end     func(s *session)
		code    int
		verdict discord.Verdict
	}{
		{CauseDropped, func(s *session) {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(s.Drop)
			}
			wg.Wait()
		}, 0, discord.VerdictResume},
		{CauseSessionClosed, (*session).closeSession, 1000, discord.VerdictNewSession},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dialled(t, Options{}, func(s *session) {
				s.live()
				tt.end(s)
				if code := s.peer.ended(); code != tt.code {
					t.Errorf("sent close code %d", code)
				}
				<-s.done
				if c := s.sink.closure(t); c.Cause != tt.name || c.Verdict != tt.verdict {
					t.Errorf("closure %+v", c)
				}
			})
		})
	}
}

func (s *session) closeSession() { s.CloseSession() }

func TestAReceivedCloseIsNotEchoed(t *testing.T) {
	for _, code := range []int{1000, 1001, 4000} {
		dialled(t, Options{}, func(s *session) {
			s.live()
			s.peer.close(code)
			if got := s.peer.ended(); got != 0 {
				t.Errorf("close %d was answered with %d", code, got)
			}
			<-s.done
			if c := s.sink.closure(t); int(c.Code) != code || c.Verdict != discord.VerdictResume {
				t.Errorf("closure %+v", c)
			}
		})
	}
}

func TestBadInputEndsTheConnectionNotTheProcess(t *testing.T) {
	tests := []struct {
		cause string
		c     Compression
		send  func(p *peer)
	}{
		{CauseMalformed, None, func(p *peer) { p.send(`{"op":0,"s":7,"t":"X","d":{"a":}}`) }},
		{CauseMalformed, ZstdStream, func(p *peer) { p.send(`{"op":0,"t":"X","d":1}`) }},
		{CauseTooBig, None, func(p *peer) { p.send(strings.Repeat(" ", 1<<20+1)) }},
		{CauseTooBig, ZlibStream, func(p *peer) { p.send(strings.Repeat(" ", 1<<20+1)) }},
		{CauseBadStream, ZlibStream, func(p *peer) { p.out <- []byte("nonsense\x00\x00\xff\xff") }},
		{CauseBadStream, ZstdStream, func(p *peer) { p.out <- []byte("nonsense") }},
		{CauseLost, None, func(p *peer) { _ = p.ws.NetConn().Close() }},
	}
	for _, tt := range tests {
		t.Run(tt.cause+tt.c.String(), func(t *testing.T) {
			dialled(t, Options{Compression: tt.c, MaxMessage: 1 << 20}, func(s *session) {
				s.live()
				tt.send(s.peer)
				<-s.done
				if c := s.sink.closure(t); c.Cause != tt.cause || c.Verdict != discord.VerdictResume || c.Err == nil {
					t.Errorf("closure %+v", c)
				}
				if code := discord.CloseCode(s.peer.ended()); code.EndsSession() {
					t.Errorf("sent close code %d", code)
				}
			})
		})
	}
}

func TestADeepEventIsReportedAsDeep(t *testing.T) {
	var deep atomic.Bool
	sink := &recorder{onDispatch: func(e Dispatch) { deep.Store(e.Seq == 7 && e.Deep && len(e.Data) == 2000) }}
	dialled(t, Options{Sink: sink}, func(s *session) {
		s.live()
		s.peer.send(`{"op":0,"s":7,"t":"X","d":` + nest(1000) + `}`)
		synctest.Wait()
		if !deep.Load() || s.State() != Live {
			t.Error("the event was lost")
		}
	})
}

func TestNothingIsReportedAfterADropInTheSink(t *testing.T) {
	var drop func()
	sink := &recorder{onDispatch: func(e Dispatch) {
		if e.Seq == 7 {
			drop()
		}
	}}
	dialled(t, Options{Sink: sink}, func(s *session) {
		drop = s.Drop
		s.live()
		for i := 7; i < 20; i++ {
			s.peer.event(i, discord.EventMessageCreate)
		}
		<-s.done
		got := sink.got()
		if want := []string{`7 MESSAGE_CREATE {"n":7}`, "closed"}; !slices.Equal(got[2:], want) {
			t.Errorf("got %q", got)
		}
	})
}

// TestAStoppedProcessIsNoSilence plays a process that was stopped for ten minutes:
// the timer is late, and HELLO may lie unread.
func TestAStoppedProcessIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := dialPipe(t, Options{})
		time.Sleep(10 * time.Minute)
		s.tick(15 * time.Second)
		if s.State() != WaitHello {
			t.Errorf("state %v", s.State())
		}
		time.Sleep(late)
		s.tick(s.now())
		if s.State() != Closed {
			t.Errorf("state %v: the deadline is gone", s.State())
		}
		s.Run()
		s.peer.stop()
	})
}

func TestAStuckWriteEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		p := &peer{t: t}
		sink := &recorder{}
		accepted := make(chan error, 1)
		go func() { accepted <- p.accept(server) }()
		c, err := Dial(t.Context(), Options{
			URL: "ws://127.0.0.1:1", Token: testToken, Sink: sink, Jitter: func() float64 { return 0 },
			NetDial: func(context.Context, string, string) (net.Conn, error) { return client, nil },
		})
		if err := errors.Join(err, <-accepted); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { defer close(done); c.Run() }()
		// The peer says HELLO and then reads nothing, not even the heartbeat.
		if err := p.ws.WriteMessage(websocket.TextMessage, []byte(`{"op":10,"d":{"heartbeat_interval":60000}}`)); err != nil {
			t.Fatal(err)
		}
		<-done
		if got := sink.closure(t); got.Cause != CauseWrite {
			t.Errorf("closure %+v", got)
		}
		_ = server.Close()
	})
}

func TestTheTokenIsNowhere(t *testing.T) {
	dialled(t, Options{}, func(s *session) {
		s.peer.send(`{"op":10,"d":{"heartbeat_interval":40000}}`)
		synctest.Wait()
		s.Identify(Identify{Presence: []byte(`{`)})
		<-s.done
		c := s.sink.closure(t)
		if c.Cause != CauseOrder || c.Verdict != discord.VerdictFatal || !errors.Is(c.Err, ErrPayload) {
			t.Errorf("closure %+v", c)
		}
		o := Options{URL: "ws://h", Token: testToken}
		for _, text := range []string{
			fmt.Sprintf("%v %+v %#v", o, o, o), fmt.Sprintf("%v %#v", s.token, s.token), fmt.Sprintf("%+v", c),
			fmt.Sprintf("%+v", s.opts),
		} {
			if strings.Contains(text, testToken) {
				t.Error("the token shows")
			}
		}
	})
	dialled(t, Options{}, func(s *session) {
		s.peer.send(`{"op":10,"d":{"heartbeat_interval":40000}}`)
		synctest.Wait()
		s.Identify(Identify{Presence: []byte(`"` + strings.Repeat("x", MaxPayload) + `"`)})
		<-s.done
		if c := s.sink.closure(t); !errors.Is(c.Err, ErrPayloadTooLarge) || strings.Contains(c.Err.Error(), testToken) {
			t.Errorf("closure %+v", c)
		}
	})
}

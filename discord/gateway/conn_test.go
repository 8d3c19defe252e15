package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
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

func TestSessionInEveryCompression(t *testing.T) {
	for _, c := range []Compression{None, ZlibStream, ZstdStream} {
		t.Run("compress="+c.String(), func(t *testing.T) {
			dialled(t, Options{Compression: c}, func(s *session) {
				u, _ := url.Parse(s.peer.url)
				want := url.Values{"v": {"10"}, "encoding": {"json"}}
				if c != None {
					want.Set("compress", c.String())
				}
				if u.Query().Encode() != want.Encode() {
					t.Errorf("query %s", u.RawQuery)
				}
				s.peer.send(`{"op":10,"d":{"heartbeat_interval":40000}}`)
				synctest.Wait()
				s.Identify(Identify{
					Shard: [2]int{1, 4}, Intents: 513, LargeThreshold: 250, Presence: []byte(`{"status":"dnd"}`),
				})
				checkIdentify(t, s.peer.expect(discord.OpIdentify).D)
				s.peer.event(1, discord.EventReady)
				s.peer.event(2, "SOMETHING_NEW")
				s.peer.send(`{"op":77,"d":[1]}`)
				s.peer.send(`{"op":7,"d":null}`)
				s.peer.send(`{"op":9,"d":true}`)
				s.peer.event(900, discord.EventMessageCreate)
				synctest.Wait()
				s.peer.close(4009)
				<-s.done
				want2 := []string{
					"hello 40s", `1 READY {"n":1}`, `2 SOMETHING_NEW {"n":2}`, "op 77 [1]", "reconnect",
					"invalid true", `900 MESSAGE_CREATE {"n":900}`, "closed",
				}
				if got := s.sink.got(); !slices.Equal(got, want2) {
					t.Errorf("got  %q\nwant %q", got, want2)
				}
				got := s.sink.closure(t)
				if got.Code != 4009 || got.Cause != CauseCloseFrame || got.Verdict != discord.VerdictNewSession {
					t.Errorf("closure %+v", got)
				}
			})
		})
	}
}

func checkIdentify(t *testing.T, d []byte) {
	t.Helper()
	var got struct {
		Token          string
		Intents        int
		Shard          []int
		LargeThreshold int `json:"large_threshold"`
		Presence       struct{ Status string }
		Properties     map[string]string
	}
	if err := json.Unmarshal(d, &got); err != nil {
		t.Fatal(err)
	}
	if got.Token != testToken || got.Intents != 513 || !slices.Equal(got.Shard, []int{1, 4}) ||
		got.LargeThreshold != 250 || got.Presence.Status != "dnd" ||
		got.Properties["browser"] != "botnode" || got.Properties["os"] == "" {
		t.Errorf("identify %s", strings.ReplaceAll(string(d), testToken, "TOKEN"))
	}
}

func TestResumePayloadAndUnshardedIdentify(t *testing.T) {
	dialled(t, Options{}, func(s *session) {
		s.Resume("abc", 1337) // before HELLO: held until then
		s.peer.send(`{"op":10,"d":{"heartbeat_interval":40000}}`)
		want := `{"op":6,"d":{"token":"` + testToken + `","session_id":"abc","seq":1337}}`
		if got := s.peer.expect(discord.OpResume); got.raw != want {
			t.Errorf("resume %s", got.raw)
		}
		s.Identify(Identify{}) // not now
		s.peer.send(`{"op":9,"d":false}`)
		synctest.Wait()
		s.Identify(Identify{Intents: 1})
		if got := s.peer.expect(discord.OpIdentify); strings.Contains(got.raw, "shard") || strings.Contains(got.raw, "presence") {
			t.Errorf("identify has what nobody gave: %d bytes", len(got.raw))
		}
	})
}

func TestHeartbeatsCarryTheCommittedSequence(t *testing.T) {
	var c atomic.Int64
	o := Options{Seq: func() (int64, bool) { return c.Load(), c.Load() > 0 }}
	dialled(t, o, func(s *session) {
		start := time.Now()
		beats := s.peer.answer()
		s.peer.send(`{"op":10,"d":{"heartbeat_interval":40000}}`)
		time.Sleep(30 * time.Second)
		c.Store(7)
		time.Sleep(50 * time.Second)
		s.peer.send(`{"op":1,"d":null}`) // asked for: at once
		time.Sleep(30 * time.Second)
		var got []string
		for _, b := range beats() {
			got = append(got, fmt.Sprintf("%v %s", b.at.Sub(start), b.raw))
		}
		want := []string{
			`20s {"op":1,"d":null}`, `1m0s {"op":1,"d":7}`, `1m20s {"op":1,"d":7}`, `1m40s {"op":1,"d":7}`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

func TestZombieEndsWithoutACloseFrame(t *testing.T) {
	dialled(t, Options{}, func(s *session) {
		start := time.Now()
		s.live()
		<-s.done
		if c := s.sink.closure(t); c.Cause != CauseZombie || c.Verdict != discord.VerdictResume {
			t.Errorf("closure %+v", c)
		}
		if took := time.Since(start); took != 60*time.Second {
			t.Errorf("after %v", took)
		}
		if code := s.peer.ended(); code != 0 {
			t.Errorf("sent close code %d", code)
		}
	})
}

func TestASlowSinkIsBackPressureAndNoZombie(t *testing.T) {
	release := make(chan struct{})
	sink := &recorder{onDispatch: func(e Dispatch) {
		if e.Seq == 7 {
			<-release
		}
	}}
	dialled(t, Options{Sink: sink}, func(s *session) {
		release = make(chan struct{})
		s.live()
		beats := s.peer.answer()
		s.peer.event(7, discord.EventMessageCreate)
		s.peer.event(8, discord.EventMessageCreate)
		time.Sleep(10 * time.Minute)
		if n := len(beats()); n != 15 {
			t.Errorf("%d heartbeats in ten minutes", n)
		}
		if got := sink.got(); got[len(got)-1] != `7 MESSAGE_CREATE {"n":7}` {
			t.Errorf("read on: %q", got)
		}
		close(release)
		time.Sleep(10 * time.Minute)
		if got := sink.got(); got[len(got)-1] != `8 MESSAGE_CREATE {"n":8}` || s.State() != Live {
			t.Errorf("%v, %q", s.State(), got)
		}
	})
}

func TestDeadlines(t *testing.T) {
	hello := `{"op":10,"d":{"heartbeat_interval":400000}}`
	tests := []struct {
		cause string
		after time.Duration
		steps func(s *session)
	}{
		{CauseNoHello, 15 * time.Second, func(*session) {}},
		{CauseNoReady, 60 * time.Second, func(s *session) { s.peer.send(hello); s.Identify(Identify{}) }},
		{CauseNoResumed, 30 * time.Second, func(s *session) { s.peer.send(hello); s.Resume("sid", 1) }},
		{CauseNoResumed, 50 * time.Second, func(s *session) {
			s.peer.send(hello)
			s.Resume("sid", 1)
			time.Sleep(20 * time.Second)
			s.peer.event(2, discord.EventMessageCreate)
		}},
		{CauseNoHello, 15 * time.Second, func(s *session) { s.peer.send(`{"op":7,"d":null}`) }},
	}
	for _, tt := range tests {
		t.Run(tt.cause, func(t *testing.T) {
			dialled(t, Options{}, func(s *session) {
				start := time.Now()
				tt.steps(s)
				<-s.done
				if c := s.sink.closure(t); c.Cause != tt.cause || time.Since(start) != tt.after {
					t.Errorf("%+v after %v", c, time.Since(start))
				}
				if code := s.peer.ended(); code != 0 {
					t.Errorf("sent close code %d", code)
				}
			})
		})
	}
}

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

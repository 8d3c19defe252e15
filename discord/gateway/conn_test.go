package gateway

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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

// TestAPauseThatIsOverStillCounts: the answer comes 50 s after its heartbeat, of
// which the Sink took 35.
func TestAPauseThatIsOverStillCounts(t *testing.T) {
	sink := &recorder{onDispatch: func(e Dispatch) {
		if e.Seq == 7 {
			time.Sleep(35 * time.Second)
		}
	}}
	dialled(t, Options{Sink: sink}, func(s *session) {
		s.live()
		s.peer.expect(discord.OpHeartbeat)
		s.peer.event(7, discord.EventMessageCreate)
		time.Sleep(50 * time.Second)
		s.peer.send(`{"op":11}`)
		time.Sleep(5 * time.Second)
		if s.State() != Live {
			t.Errorf("%v: %+v", s.State(), sink.closure(t))
		}
	})
}

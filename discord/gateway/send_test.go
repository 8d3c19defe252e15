package gateway

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/botnode/botnode/discord"
)

func TestLimiterNeverExceedsTheWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l limiter
		l.reserve(time.Duration(rapid.IntRange(0, 60000).Draw(t, "interval")) * time.Millisecond)
		var now time.Duration
		var sent []time.Duration
		for range rapid.IntRange(1, 400).Draw(t, "n") {
			now += time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond
			if w := l.wait(now); w > 0 {
				if w > sendWindow {
					t.Fatalf("waits %v", w)
				}
				now += w
			}
			if w := l.wait(now); w != 0 {
				t.Fatalf("still %v after the wait", w)
			}
			l.took(now)
			if sent = append(sent, now); len(sent) > l.room && now-sent[len(sent)-1-l.room] < sendWindow {
				t.Fatalf("%d payloads in a window", l.room+1)
			}
		}
	})
}

func TestReserve(t *testing.T) {
	for _, tt := range []struct {
		interval time.Duration
		room     int
	}{
		{0, 60}, {41250 * time.Millisecond, 114}, {10 * time.Second, 109}, {time.Millisecond, 60},
	} {
		var l limiter
		if l.reserve(tt.interval); l.room != tt.room {
			t.Errorf("%v: room %d, want %d", tt.interval, l.room, tt.room)
		}
	}
}

// TestSendsKeepTheLimitAndHeartbeatsPass floods the connection for five minutes.
func TestSendsKeepTheLimitAndHeartbeatsPass(t *testing.T) {
	dialled(t, Options{}, func(s *session) {
		start := time.Now()
		s.live()
		all := s.peer.answer()
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 450 {
				if err := s.Send(context.Background(), discord.OpPresenceUpdate, []byte(`{}`)); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Wait()
		synctest.Wait()
		times := []time.Time{start} // the RESUME
		beats := 0
		for _, p := range all() {
			times = append(times, p.at)
			if p.Op != discord.OpHeartbeat {
				continue
			}
			if got := p.at.Sub(start); got != 20*time.Second+time.Duration(beats)*40*time.Second {
				t.Errorf("heartbeat %d at %v", beats, got)
			}
			beats++
		}
		if beats < 4 || len(times) != 1+450+beats {
			t.Fatalf("%d payloads, %d heartbeats", len(times), beats)
		}
		for i := sendLimit; i < len(times); i++ {
			if d := times[i].Sub(times[i-sendLimit]); d <= time.Minute {
				t.Fatalf("%d payloads in %v", sendLimit+1, d)
			}
		}
		if took := times[len(times)-1].Sub(start); took > 5*time.Minute {
			t.Errorf("took %v: the limit is not used", took)
		}
	})
}

func TestSendWaitsUntilLive(t *testing.T) {
	dialled(t, Options{}, func(s *session) {
		s.peer.send(`{"op":10,"d":{"heartbeat_interval":40000}}`)
		synctest.Wait()
		sent := make(chan error, 1)
		go func() { sent <- s.Send(context.Background(), discord.OpVoiceStateUpdate, nil) }()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.Send(ctx, discord.OpPresenceUpdate, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before READY: %v", err)
		}
		s.Identify(Identify{})
		s.peer.expect(discord.OpIdentify)
		ready := time.Now()
		s.peer.event(1, discord.EventReady)
		if got := s.peer.expect(discord.OpVoiceStateUpdate); !got.at.Equal(ready) || got.raw != `{"op":4,"d":null}` {
			t.Errorf("sent %s", got.raw)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}

func TestSendRefuses(t *testing.T) {
	dialled(t, Options{}, func(s *session) {
		s.live()
		fits := append(append([]byte{'"'}, bytes.Repeat([]byte("x"), MaxPayload-len(`{"op":8,"d":""}`))...), '"')
		for _, tt := range []struct {
			op   discord.Opcode
			d    []byte
			want error
		}{
			{discord.OpRequestGuildMembers, fits, nil},
			{discord.OpRequestGuildMembers, append([]byte(" "), fits...), ErrPayloadTooLarge},
			{discord.OpRequestGuildMembers, bytes.Repeat([]byte("["), 1<<20), ErrPayloadTooLarge},
			{discord.OpRequestGuildMembers, []byte(`{`), ErrPayload},
			{discord.OpRequestGuildMembers, []byte{}, ErrPayload},
			{discord.OpIdentify, []byte(`{}`), ErrOpcode},
			{discord.OpResume, []byte(`{}`), ErrOpcode},
			{discord.OpHeartbeat, []byte(`1`), ErrOpcode},
			{99, []byte(`{}`), nil},
		} {
			if err := s.Send(context.Background(), tt.op, tt.d); !errors.Is(err, tt.want) {
				t.Errorf("%v with %d bytes: %v", tt.op, len(tt.d), err)
			}
		}
		if got := s.peer.expect(discord.OpRequestGuildMembers); len(got.raw) != MaxPayload {
			t.Errorf("sent %d bytes", len(got.raw))
		}
		s.peer.expect(99)
		s.Drop()
		<-s.done
		if err := s.Send(context.Background(), discord.OpPresenceUpdate, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestSendsThatWaitEndWithTheConnection(t *testing.T) {
	dialled(t, Options{}, func(s *session) {
		errs := make(chan error, 3)
		for range 3 {
			go func() { errs <- s.Send(context.Background(), discord.OpPresenceUpdate, nil) }()
		}
		synctest.Wait()
		s.Drop()
		for range 3 {
			if err := <-errs; !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		}
	})
}

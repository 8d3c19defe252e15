package gateway_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/gateway"
	"github.com/botnode/botnode/discord/sim"
)

// stream is an owner that commits whatever it reads.
type stream struct {
	hello  chan struct{}
	events chan gateway.Dispatch
	closed chan gateway.Closure
	failed chan struct{} // op 9
}

func newStream() *stream {
	return &stream{
		hello: make(chan struct{}, 1), events: make(chan gateway.Dispatch), closed: make(chan gateway.Closure, 1),
		failed: make(chan struct{}, 1),
	}
}

func (s *stream) Hello(time.Duration)         { s.hello <- struct{}{} }
func (s *stream) Dispatch(e gateway.Dispatch) { s.events <- e }
func (s *stream) InvalidSession(bool)         { s.failed <- struct{}{} }
func (s *stream) Reconnect()                  {}
func (s *stream) Latency(time.Duration)       {}
func (s *stream) Closed(c gateway.Closure)    { s.closed <- c }
func (s *stream) next() (gateway.Dispatch, error) {
	select {
	case e := <-s.events:
		return e, nil
	case c := <-s.closed:
		return gateway.Dispatch{}, fmt.Errorf("closed: %+v", c)
	case <-s.failed:
		return gateway.Dispatch{}, errors.New("the session is invalid")
	case <-time.After(10 * time.Second):
		return gateway.Dispatch{}, errors.New("no event in 10 s")
	}
}

// TestAgainstTheSimulator identifies, is dropped in the middle of a stream, and
// resumes; nothing may be missing or doubled.
func TestAgainstTheSimulator(t *testing.T) {
	for _, c := range []gateway.Compression{gateway.None, gateway.ZlibStream, gateway.ZstdStream} {
		t.Run("compress="+c.String(), func(t *testing.T) {
			srv := sim.New(sim.Options{Guilds: 3, ReplayBuffer: -1})
			if err := srv.Start(); err != nil {
				t.Fatal(err)
			}
			defer srv.Close()
			const changes = 400
			var sid, url string
			last := int64(0)

			first, end := connect(t, srv, srv.GatewayURL(), c)
			first.conn.Identify(gateway.Identify{Shard: [2]int{0, 1}, Intents: discord.IntentsAll})
			for guilds := 0; guilds < 3; {
				e := read(t, first.stream, &last)
				switch e.Type {
				case discord.EventReady:
					sid = gjson.GetBytes(e.Data, "session_id").Str
					url = gjson.GetBytes(e.Data, "resume_gateway_url").Str
				case discord.EventGuildCreate:
					guilds++
				}
			}
			if err := srv.Mutate("member", changes); err != nil {
				t.Fatal(err)
			}
			for range changes / 4 {
				read(t, first.stream, &last)
			}
			end()

			second, end := connect(t, srv, url, c)
			defer end()
			second.conn.Resume(sid, last)
			for read(t, second.stream, &last).Type != discord.EventResumed {
			}
			if err := srv.Mutate("member", 10); err != nil {
				t.Fatal(err)
			}
			read(t, second.stream, &last)
			if sum := srv.Ledger().Summary(); sum.IdentifiesOK != 1 {
				t.Errorf("%d sessions", sum.IdentifiesOK)
			}
		})
	}
}

// read is the next event, which must directly follow the last.
func read(t *testing.T, s *stream, last *int64) gateway.Dispatch {
	t.Helper()
	e, err := s.next()
	if err != nil {
		t.Fatal(err)
	}
	if e.Seq != *last+1 {
		t.Fatalf("%s with %d after %d", e.Type, e.Seq, *last)
	}
	*last = e.Seq
	return e
}

type connection struct {
	conn   *gateway.Conn
	stream *stream
}

// connect dials to HELLO. end drops the connection and waits until it has ended.
func connect(t *testing.T, srv *sim.Server, url string, c gateway.Compression) (connection, func()) {
	t.Helper()
	s := newStream()
	conn, err := gateway.Dial(t.Context(), gateway.Options{
		URL: url, Compression: c, Token: srv.Token(), Sink: s,
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); conn.Run() }()
	<-s.hello
	return connection{conn, s}, func() {
		conn.Drop()
		for {
			select {
			case <-s.events: // a sink must not outlive its owner's interest
			case <-done:
				return
			}
		}
	}
}

// TestTheSimulatorsVerdicts meets close codes and a wrong token for real.
func TestTheSimulatorsVerdicts(t *testing.T) {
	srv := sim.New(sim.Options{})
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	s := newStream()
	conn, err := gateway.Dial(t.Context(), gateway.Options{URL: srv.GatewayURL(), Token: "wrong", Sink: s})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); conn.Run() }()
	<-s.hello
	conn.Identify(gateway.Identify{Shard: [2]int{0, 1}, Intents: 1})
	if c := <-s.closed; c.Code != discord.CloseAuthenticationFailed || c.Verdict != discord.VerdictFatal {
		t.Errorf("closure %+v", c)
	}
	<-done
}

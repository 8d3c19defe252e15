package gateway

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/botnode/botnode/discord"
)

// messageCreate is an event of about 1.1 KB with the shape of the real one.
func messageCreate(s int) []byte {
	return fmt.Appendf(nil, `{"t":"MESSAGE_CREATE","s":%d,"op":0,"d":{"type":0,"tts":false,"timestamp":"2024-05-01T12:%02d:%02d.123000+00:00","referenced_message":null,"pinned":false,"nonce":"%d","mentions":[],"mention_roles":[],"mention_everyone":false,"member":{"roles":["381890323467894784","381890323467894785"],"premium_since":null,"pending":false,"nick":null,"mute":false,"joined_at":"2019-03-04T05:06:07.890000+00:00","flags":0,"deaf":false,"communication_disabled_until":null,"banner":null,"avatar":null},"id":"%d","flags":0,"embeds":[],"edited_timestamp":null,"content":"%s %d","components":[],"channel_id":"%d","author":{"username":"someone","public_flags":128,"primary_guild":null,"id":"%d","global_name":"Some One","discriminator":"0","collectibles":null,"clan":null,"avatar_decoration_data":null,"avatar":"1f0bfc0865d324c2587920a7d80c609b"},"attachments":[],"guild_id":"41771983423143937"}}`,
		s, s/60%60, s%60, s*7919, 1100000000000000000+s, strings.Repeat("a word or two ", 12), s, 381870553235193857+s%97, 80351110224678912+s%1009)
}

// replay is a connection whose peer has already said everything.
type replay struct {
	net.Conn
	r *bytes.Reader
}

func (c replay) Read(p []byte) (int, error)       { return c.r.Read(p) }
func (c replay) Write(p []byte) (int, error)      { return len(p), nil }
func (c replay) Close() error                     { return nil }
func (c replay) SetWriteDeadline(time.Time) error { return nil }

type counter struct {
	recorder
	n, bytes int
}

func (c *counter) Dispatch(e Dispatch) { c.n++; c.bytes += len(e.Data) }
func (c *counter) Closed(Closure)      {}

// BenchmarkDispatch reads from memory: WebSocket frame, inflate, validate, slice,
// copy, report. It has no system calls.
func BenchmarkDispatch(b *testing.B) {
	for _, comp := range []Compression{None, ZlibStream, ZstdStream} {
		b.Run("compress="+comp.String(), func(b *testing.B) {
			var wire bytes.Buffer
			var d *deflater
			if comp != None {
				d = newDeflater(b, comp)
			}
			for i := range b.N {
				msg := messageCreate(i + 1)
				if d != nil {
					msg = d.message(b, msg)
				}
				wire.Write([]byte{0x82, 126, byte(len(msg) >> 8), byte(len(msg))})
				wire.Write(msg)
			}
			sink := &counter{}
			inf, err := newInflater(comp, defaultMaxMessage)
			if err != nil {
				b.Fatal(err)
			}
			nc := replay{r: bytes.NewReader(wire.Bytes())}
			ws, err := handshakeInMemory(nc)
			if err != nil {
				b.Fatal(err)
			}
			m := NewMachine(testConfig)
			m.Step(Moment{}, Input{Kind: InHello, Interval: time.Hour})
			m.Step(Moment{}, Input{Kind: InResume, Order: []byte{}})
			m.Step(Moment{}, Input{Kind: InDispatch, Type: discord.EventResumed})
			c := &Conn{
				opts: Options{Sink: sink}, ws: ws, rx: newReceiver(ws, inf, defaultMaxMessage),
				machine: m, sinkSince: never, start: time.Now(), kick: make(chan struct{}, 1),
			}
			b.SetBytes(int64(len(messageCreate(1))))
			b.ReportAllocs()
			b.ResetTimer()
			c.read()
			b.StopTimer()
			if sink.n != b.N {
				b.Fatalf("%d of %d", sink.n, b.N)
			}
		})
	}
}

// handshakeInMemory is a client's WebSocket that reads from nc after a handshake.
func handshakeInMemory(nc net.Conn) (*websocket.Conn, error) {
	client, server := net.Pipe()
	go func() {
		p := &peer{}
		_ = p.accept(server)
	}()
	sw := &switched{Conn: client}
	d := websocket.Dialer{
		ReadBufferSize: 64 << 10,
		NetDial:        func(string, string) (net.Conn, error) { return sw, nil },
	}
	ws, _, err := d.Dial("ws://127.0.0.1:1/", nil)
	sw.after = nc
	return ws, err
}

// switched reads the handshake from a pipe, and what follows from another source.
type switched struct {
	net.Conn
	after net.Conn
}

func (s *switched) Read(p []byte) (int, error) {
	if s.after != nil {
		return s.after.Read(p)
	}
	return s.Conn.Read(p)
}

func BenchmarkParseFrame(b *testing.B) {
	msg := messageCreate(1)
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseFrame(msg); err != nil {
			b.Fatal(err)
		}
	}
}

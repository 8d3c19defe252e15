package sim_test

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/botnode/botnode/discord/sim"
)

// feeder is a stream that gets one message after the other. It doesn't embed its
// buffer: zstd would take what has Bytes and Len for a whole frame in memory.
type feeder struct {
	buf  bytes.Buffer
	want chan struct{}
	more chan []byte
}

func (f *feeder) Read(p []byte) (int, error) {
	for f.buf.Len() == 0 {
		f.want <- struct{}{}
		b, open := <-f.more
		if !open {
			return 0, io.EOF
		}
		f.buf.Write(b)
	}
	return f.buf.Read(p)
}

func (f *feeder) ReadByte() (byte, error) {
	var b [1]byte
	_, err := f.Read(b[:])
	return b[0], err
}

// stream decodes a shared compression context: what a message decodes to is
// what comes out until the decoder asks for more.
func stream(t *testing.T, open func(io.Reader) (io.Reader, error)) func([]byte) []byte {
	t.Helper()
	f := &feeder{want: make(chan struct{}), more: make(chan []byte)}
	out, done := make(chan []byte), make(chan struct{})
	go func() {
		defer close(done)
		r, err := open(f)
		buf := make([]byte, 1<<20)
		for err == nil {
			var n int
			if n, err = r.Read(buf); n > 0 {
				out <- bytes.Clone(buf[:n])
			}
		}
	}()
	t.Cleanup(func() {
		close(f.more)
		for {
			select {
			case <-f.want:
			case <-out:
			case <-done:
				return
			}
		}
	})
	<-f.want
	return func(msg []byte) []byte {
		var b []byte
		f.more <- msg
		for {
			select {
			case <-f.want:
				return b
			case p := <-out:
				b = append(b, p...)
			case <-done:
				t.Error("the stream ended")
				return b
			}
		}
	}
}

func TestTransportCompression(t *testing.T) {
	for name, open := range map[string]func(io.Reader) (io.Reader, error){
		"zlib-stream": func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) },
		"zstd-stream": func(r io.Reader) (io.Reader, error) {
			d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
			if err != nil {
				return nil, err
			}
			return d, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := start(t, sim.Options{Guilds: 2, Members: 300, PadMessages: 1100})
			c := dial(t, srv.GatewayURL(), "&compress="+name)
			plain, wire := 0, 0
			dec := stream(t, open)
			c.dec = func(b []byte) []byte {
				wire += len(b)
				if name == "zlib-stream" && !bytes.HasSuffix(b, []byte{0, 0, 0xff, 0xff}) {
					t.Errorf("a message ends with % x", b[max(0, len(b)-4):])
				}
				p := dec(b)
				plain += len(p)
				return p
			}
			c.hello().send(2, identify(srv.Token(), all))
			c.ready()
			c.guilds(2)
			hear(t, c, chat(t, srv, 0, 50))
			if wire*3 > plain {
				t.Errorf("%d bytes for %d", wire, plain)
			}
		})
	}
	t.Run("unknown", func(t *testing.T) {
		srv := start(t, sim.Options{})
		want(t, "close code", dial(t, srv.GatewayURL(), "&compress=rar").closed(), 4002)
	})
}

func TestPayloadCompression(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 1})
	c := dial(t, srv.GatewayURL(), "").hello()
	n := 0
	c.dec = func(b []byte) []byte {
		n++
		r, err := zlib.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		p, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	d := identify(srv.Token(), all)
	d["compress"] = true
	c.send(2, d)
	c.ready()
	c.guilds(1)
	if n == 0 {
		t.Error("nothing was compressed")
	}
}

func TestPadding(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 1, PadMessages: 1100})
	c := login(t, srv, all).guilds(1)
	chat(t, srv, 0, 1)
	n := len(c.event("MESSAGE_CREATE").D)
	if n < 1000 || n > 1150 {
		t.Errorf("%s of padded data", fmt.Sprint(n))
	}
}

package gateway

import (
	"bytes"
	"compress/zlib"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// deflater is the sender's side of a compression.
type deflater struct {
	w interface {
		Write(p []byte) (int, error)
		Flush() error
	}
	buf *bytes.Buffer
}

func newDeflater(tb testing.TB, c Compression) *deflater {
	tb.Helper()
	d := &deflater{buf: new(bytes.Buffer)}
	var err error
	if c == ZlibStream {
		d.w, err = zlib.NewWriterLevel(d.buf, zlib.BestSpeed)
	} else {
		d.w, err = zstd.NewWriter(d.buf, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	}
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// message compresses one message and returns its bytes on the wire.
func (d *deflater) message(tb testing.TB, p []byte) []byte {
	tb.Helper()
	d.buf.Reset()
	if _, err := d.w.Write(p); err != nil {
		tb.Fatal(err)
	}
	if err := d.w.Flush(); err != nil {
		tb.Fatal(err)
	}
	return bytes.Clone(d.buf.Bytes())
}

// sampler makes messages like JSON of random sizes, and often one that fills the
// deflate window exactly.
type sampler struct {
	rng   *rand.Rand
	total int
}

func (s *sampler) next() []byte {
	n := 2 + s.rng.IntN(1200)
	switch s.rng.IntN(80) {
	case 0:
		n = s.rng.IntN(40000)
	case 1, 2:
		n = deflateWindow - s.total%deflateWindow
	case 3, 4:
		n = s.rng.IntN(8)
	}
	s.total += n
	words := []string{`{"id":"`, `","content":"`, "lorem ", "ipsum ", `"roles":[`, "0123456789", "\x00\xff"}
	b := make([]byte, 0, n+16)
	for len(b) < n {
		if s.rng.IntN(3) == 0 {
			b = append(b, byte(s.rng.Uint32()))
		} else {
			b = append(b, words[s.rng.IntN(len(words))]...)
		}
	}
	return b[:n]
}

func TestInflateManyMessages(t *testing.T) {
	for _, c := range []Compression{ZlibStream, ZstdStream} {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			d := newDeflater(t, c)
			inf, err := newInflater(c, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			defer inf.close()
			s := sampler{rng: rand.New(rand.NewPCG(1, 2))}
			for i := range manyMessages {
				want := s.next()
				got, err := inf.inflate(d.message(t, want))
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("message %d of %d bytes: got %d, %v", i, len(want), len(got), err)
				}
			}
		})
	}
}

func TestZlibMessageInPieces(t *testing.T) {
	d := newDeflater(t, ZlibStream)
	inf, _ := newInflater(ZlibStream, 1<<20)
	rng := rand.New(rand.NewPCG(3, 4))
	s := sampler{rng: rng}
	for i := range 500 {
		want, wire := s.next(), []byte(nil)
		for wire = d.message(t, want); len(wire) > 4; {
			n := 1 + rng.IntN(len(wire)-1)
			if bytes.HasSuffix(wire[:n], zlibSuffix) {
				continue // a piece that looks like a whole is not the sender's to make
			}
			if got, err := inf.inflate(wire[:n]); got != nil || err != nil {
				t.Fatalf("message %d: a piece gave %d bytes, %v", i, len(got), err)
			}
			wire = wire[n:]
		}
		if got, err := inf.inflate(wire); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("message %d: got %d bytes of %d, %v", i, len(got), len(want), err)
		}
	}
}

func TestInflateBoundsTheDecodedSize(t *testing.T) {
	for _, c := range []Compression{ZlibStream, ZstdStream} {
		t.Run(c.String(), func(t *testing.T) {
			const limit = 1 << 20
			d := newDeflater(t, c)
			inf, err := newInflater(c, limit)
			if err != nil {
				t.Fatal(err)
			}
			defer inf.close()
			exact := make([]byte, limit)
			if got, err := inf.inflate(d.message(t, exact)); err != nil || len(got) != limit {
				t.Fatalf("at the limit: %d bytes, %v", len(got), err)
			}
			bomb := d.message(t, make([]byte, 8*limit))
			if _, err := inf.inflate(bomb); !errors.Is(err, ErrTooBig) {
				t.Fatalf("above the limit: %v", err)
			}
		})
	}
}

func TestInflateGivesLargeBuffersBack(t *testing.T) {
	for _, c := range []Compression{ZlibStream, ZstdStream} {
		d := newDeflater(t, c)
		inf, err := newInflater(c, 8<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{4 << 20, 100, 100} {
			if got, err := inf.inflate(d.message(t, make([]byte, n))); err != nil || len(got) != n {
				t.Fatalf("%v: %d bytes, %v", c, len(got), err)
			}
		}
		held := 0
		switch z := inf.(type) {
		case *zlibStream:
			held = cap(z.out)
		case *zstdStream:
			held = cap(z.out)
		}
		if held > keepCapacity {
			t.Errorf("%v holds %d bytes", c, held)
		}
		inf.close()
	}
}

func TestInflateRefusesGarbage(t *testing.T) {
	tests := []struct {
		name string
		c    Compression
		in   []byte
	}{
		{"no zlib header", ZlibStream, []byte("{}\x00\x00\xff\xff")},
		{"suffix only", ZlibStream, zlibSuffix},
		{"bad block", ZlibStream, []byte("\x78\x01\x07\xff\x00\x00\xff\xff")},
		{"preset dictionary", ZlibStream, []byte("\x78\xbb\x00\x00\x00\x00\x00\x00\xff\xff")},
		{"no zstd frame", ZstdStream, []byte("{\"op\":10}")},
		{"torn zstd frame", ZstdStream, []byte{0x28, 0xb5, 0x2f, 0xfd}},
		{"zstd window of 1 GiB", ZstdStream, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x01, 0x00, 0x00}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inf, err := newInflater(tt.c, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			defer inf.close()
			if out, err := inf.inflate(tt.in); !errors.Is(err, ErrStream) {
				t.Errorf("got %q, %v", out, err)
			}
		})
	}
}

func FuzzInflate(f *testing.F) {
	for _, c := range []Compression{None, ZlibStream, ZstdStream} {
		if c == None {
			f.Add(byte(c), []byte(`{"op":11}`), []byte(`{"op":11}`))
			continue
		}
		d := newDeflater(f, c)
		f.Add(byte(c), d.message(f, []byte(`{"op":11}`)), d.message(f, bytes.Repeat([]byte(`{"op":11}`), 99)))
	}
	f.Fuzz(func(t *testing.T, c byte, one, two []byte) {
		const limit = 1 << 16
		inf, err := newInflater(Compression(c%3), limit)
		if err != nil {
			t.Fatal(err)
		}
		defer inf.close()
		for _, p := range [][]byte{one, two, one} {
			out, err := inf.inflate(p)
			if err != nil {
				return
			}
			if c%3 != 0 && len(out) > limit {
				t.Fatalf("%d bytes above the limit", len(out))
			}
		}
	})
}

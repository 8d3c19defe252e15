package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// Compression is the transport compression of a connection
// (events/gateway.mdx, "Transport Compression").
type Compression int

// The transport compressions. ZstdStream costs a quarter of ZlibStream's CPU.
const (
	None Compression = iota
	ZlibStream
	ZstdStream
)

// String is the value of the query parameter "compress", empty for None.
func (c Compression) String() string {
	switch c {
	case ZlibStream:
		return "zlib-stream"
	case ZstdStream:
		return "zstd-stream"
	case None:
	}
	return ""
}

var (
	// ErrTooBig means that a message is larger than Options.MaxMessage.
	ErrTooBig = errors.New("message too big")
	// ErrStream means that the compressed stream is corrupt. It cannot be
	// picked up again on the same connection.
	ErrStream = errors.New("bad compressed stream")
)

const (
	deflateWindow = 32 << 10  // what the next zlib message may refer back to
	zstdBlock     = 128 << 10 // the largest output of one zstd block
	zstdWindow    = 32 << 20  // the largest window we are ready to hold
	keepCapacity  = 1 << 20   // buffers above are given back after a large message
)

// zlibSuffix ends each message of a zlib-stream, a sync flush.
var zlibSuffix = []byte{0x00, 0x00, 0xff, 0xff}

// inflater turns the WebSocket messages of one connection into gateway messages.
type inflater interface {
	// inflate returns the gateway message that ends with p, or nil if it goes
	// on in the next one. It is valid until the next call. Errors are final.
	inflate(p []byte) ([]byte, error)
	close()
}

func newInflater(c Compression, limit int) (inflater, error) {
	switch c {
	case ZlibStream:
		return &zlibStream{limit: limit}, nil
	case ZstdStream:
		return newZstdStream(limit)
	case None:
		return plain{}, nil
	}
	return nil, fmt.Errorf("unknown compression %d", int(c))
}

type plain struct{}

func (plain) inflate(p []byte) ([]byte, error) { return p, nil }
func (plain) close()                           {}

// zlibStream is one deflate context for the whole connection.
type zlibStream struct {
	limit   int
	partial []byte       // of a message that spans WebSocket messages
	src     bytes.Reader // an io.ByteReader, or flate would read ahead
	r       io.ReadCloser
	out     []byte // the window before the message, then the message
}

func (z *zlibStream) close() {}

func (z *zlibStream) inflate(p []byte) ([]byte, error) {
	whole := bytes.HasSuffix(p, zlibSuffix)
	if len(z.partial) > 0 || !whole {
		if len(z.partial)+len(p) > z.limit {
			return nil, ErrTooBig
		}
		z.partial = append(z.partial, p...)
		// The suffix itself may be torn.
		if !bytes.HasSuffix(z.partial, zlibSuffix) {
			return nil, nil
		}
		p = z.partial
	}
	out, err := z.message(p)
	z.partial = recycle(z.partial)
	return out, err
}

func (z *zlibStream) message(p []byte) ([]byte, error) {
	if z.r == nil {
		// RFC 1950: deflate, a check of the two bytes, no preset dictionary.
		if len(p) < 2 || p[0]&0x0f != 8 || (int(p[0])<<8|int(p[1]))%31 != 0 || p[1]&0x20 != 0 {
			return nil, fmt.Errorf("%w: no zlib header", ErrStream)
		}
		z.src.Reset(p[2:])
		z.r = flate.NewReader(&z.src)
	} else {
		z.src.Reset(p)
	}
	z.slide()
	start := len(z.out)
	for {
		if err := z.grow(start); err != nil {
			return nil, err
		}
		free := z.out[len(z.out):cap(z.out)]
		n, err := z.r.Read(free)
		z.out = z.out[:len(z.out)+n]
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF) && z.src.Len() == 0:
			// Dry: the reader went past the end of the message for more. It
			// does when the window filled exactly there. Its error is sticky,
			// so it begins anew with the window that it had.
			return z.out[start:], z.restart()
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrStream, err)
		case len(z.out)-start > z.limit:
			return nil, ErrTooBig
		case z.src.Len() == 0 && n < len(free):
			return z.out[start:], nil
		}
	}
}

// slide keeps the last window of output at the front when the buffer is nearly
// full, so that the window before a message is always in one piece. A buffer
// that a large message made large is given back.
func (z *zlibStream) slide() {
	if cap(z.out) <= keepCapacity && cap(z.out)-len(z.out) >= deflateWindow {
		return
	}
	window := z.out[max(0, len(z.out)-deflateWindow):]
	if cap(z.out) > keepCapacity || cap(z.out) < 4*deflateWindow {
		z.out = append(make([]byte, 0, 4*deflateWindow), window...)
		return
	}
	z.out = z.out[:copy(z.out[:deflateWindow], window)]
}

// grow makes room for more of the message that begins at start, but for no more
// than one byte above the limit.
func (z *zlibStream) grow(start int) error {
	if len(z.out) < cap(z.out) {
		return nil
	}
	room := z.limit + 1 - (len(z.out) - start)
	if room <= 0 {
		return ErrTooBig
	}
	z.out = slices.Grow(z.out, min(room, len(z.out)))
	return nil
}

func (z *zlibStream) restart() error {
	window := z.out[max(0, len(z.out)-deflateWindow):]
	if err := z.r.(flate.Resetter).Reset(&z.src, window); err != nil {
		return fmt.Errorf("%w: %w", ErrStream, err)
	}
	return nil
}

// zstdStream is one frame that never ends, one message of it in each WebSocket
// message.
type zstdStream struct {
	limit int
	src   bytes.Reader
	r     *zstd.Decoder
	out   []byte
}

func newZstdStream(limit int) (*zstdStream, error) {
	z := &zstdStream{limit: limit}
	// One goroutine: more would read ahead of the message and find it dry.
	r, err := zstd.NewReader(&z.src,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdWindow))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStream, err)
	}
	z.r = r
	return z, nil
}

func (z *zstdStream) close() { z.r.Close() }

// inflate never asks the decoder for a block that is not there: with more free
// space than a block has, a read that empties the source is the last one. An
// error of the source would stick to the decoder.
func (z *zstdStream) inflate(p []byte) ([]byte, error) {
	z.src.Reset(p)
	z.out = recycle(z.out)
	for z.src.Len() > 0 {
		z.out = slices.Grow(z.out, zstdBlock+1)
		n, err := z.r.Read(z.out[len(z.out):cap(z.out)])
		z.out = z.out[:len(z.out)+n]
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrStream, err)
		}
		if len(z.out) > z.limit {
			return nil, ErrTooBig
		}
	}
	return z.out, nil
}

// recycle empties a buffer for reuse, or lets it go if a large message made it large.
func recycle(b []byte) []byte {
	if cap(b) > keepCapacity {
		return nil
	}
	return b[:0]
}

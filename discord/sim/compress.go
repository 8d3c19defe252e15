package sim

import (
	"bytes"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// compressor is the transport compression of one connection: one context for
// its whole life, flushed at the end of each message (events/gateway.mdx,
// "Transport Compression").
type compressor struct {
	buf bytes.Buffer
	w   interface {
		Write([]byte) (int, error)
		Flush() error
		Close() error
	}
}

// newCompressor returns nil for no compression, and false for an unknown name.
func newCompressor(name string) (*compressor, bool) {
	c := &compressor{}
	switch name {
	case "":
		return nil, true
	case "zlib-stream":
		w, err := zlib.NewWriterLevel(&c.buf, zlib.BestSpeed)
		if err != nil {
			return nil, false
		}
		c.w = w
	case "zstd-stream":
		w, err := zstd.NewWriter(&c.buf, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithWindowSize(128<<10), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		if err != nil {
			return nil, false
		}
		c.w = w
	default:
		return nil, false
	}
	return c, true
}

// message compresses one message; the result is valid until the next call.
func (c *compressor) message(p []byte) ([]byte, error) {
	c.buf.Reset()
	if _, err := c.w.Write(p); err != nil {
		return nil, err
	}
	if err := c.w.Flush(); err != nil {
		return nil, err
	}
	return c.buf.Bytes(), nil
}

// payloadZlib is the compression of a single payload that IDENTIFY's compress
// asks for (events/gateway.mdx, "Payload Compression").
func payloadZlib(p []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write(p)
	_ = w.Close()
	return b.Bytes()
}

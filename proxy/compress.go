package proxy

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/flate"
)

// packer turns messages into WebSocket messages. A message comes in two parts,
// since the second one, with what closes it, may have been compressed before.
type packer interface {
	// pack returns the WebSocket message; it is valid until the next call.
	pack(head []byte, b *body) ([]byte, error)
	// binary tells which kind of WebSocket message it is.
	binary() bool
	close()
}

// body is the part of a message that clients share: the d of a dispatch with the
// brace after it, or a whole other payload.
type body struct {
	d      []byte
	closed bool       // d has what closes the message
	shared *deflation // nil for what only one client gets
}

// append appends the body.
func (b *body) append(dst []byte) []byte {
	dst = append(dst, b.d...)
	if !b.closed {
		dst = append(dst, '}')
	}
	return dst
}

// newPacker returns the packer of a transport compression
// (events/gateway.mdx, "Transport Compression"); "" and "none" are none.
func (s *Server) newPacker(name string) (packer, error) {
	switch name {
	case "", "none":
		return &plainPacker{}, nil
	case "zlib-stream":
		return &zlibPacker{}, nil
	case "zstd-stream":
		return &zstdPacker{streams: s.zstd}, nil
	}
	return nil, fmt.Errorf("compress=%.20q is not known here: leave it out, or use zlib-stream or zstd-stream", name)
}

// keepBytes is how large a buffer may be that is kept for the next message.
const keepBytes = 16 << 10

// recycle returns b to be written again, unless it has grown large.
func recycle(b []byte) []byte {
	if cap(b) > keepBytes {
		return nil
	}
	return b[:0]
}

type plainPacker struct{ buf []byte }

func (p *plainPacker) pack(head []byte, b *body) ([]byte, error) {
	p.buf = b.append(append(recycle(p.buf), head...))
	return p.buf, nil
}

func (*plainPacker) binary() bool { return false }
func (*plainPacker) close()       {}

// zlibPacker writes a zlib stream that never looks back: the head of a message
// as a stored block, the rest compressed by itself. So a client takes no memory
// for a window, and what is compressed once serves all clients.
type zlibPacker struct {
	begun bool
	buf   []byte
}

// zlibHeader begins a zlib stream with a window of 32 KiB (RFC 1950, 2.2).
var zlibHeader = []byte{0x78, 0x01}

func (p *zlibPacker) pack(head []byte, b *body) ([]byte, error) {
	p.buf = recycle(p.buf)
	if !p.begun {
		p.buf, p.begun = append(p.buf, zlibHeader...), true
	}
	if len(head) > 0 {
		// RFC 1951, 3.2.4; a head is far below 65,535 bytes.
		p.buf = append(p.buf, 0)
		p.buf = binary.LittleEndian.AppendUint16(p.buf, uint16(len(head)))
		p.buf = binary.LittleEndian.AppendUint16(p.buf, ^uint16(len(head)))
		p.buf = append(p.buf, head...)
	}
	z, err := b.deflated()
	p.buf = append(p.buf, z...)
	return p.buf, err
}

func (*zlibPacker) binary() bool { return true }
func (*zlibPacker) close()       {}

// deflated returns the body in deflate blocks that begin and end on a byte.
func (b *body) deflated() ([]byte, error) {
	if b.shared == nil {
		return deflate(b.append(nil))
	}
	b.shared.zlib.Do(func() { b.shared.z, b.shared.err = deflate(b.append(nil)) })
	return b.shared.z, b.shared.err
}

func deflate(p []byte) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 0, len(p)/2+16))
	err := flate.StatelessDeflate(out, p, false, nil)
	return out.Bytes(), err
}

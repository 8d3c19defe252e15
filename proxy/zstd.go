package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

// zstdWindow is how far back a zstd stream refers: a small window costs little
// memory and finds what the last few events had in common.
const zstdWindow = 32 << 10

// maxZstdHistories is how many zstd streams of a server look back over a message.
// Each takes half a megabyte for it.
const maxZstdHistories = 32

// zstdStreams makes the zstd streams of a server's connections: the first ones
// with a history, which compresses best, the others without one.
type zstdStreams struct {
	most      int64 // how many have a history
	histories atomic.Int64
	enc       *zstd.Encoder // of bodies by themselves; safe for concurrent use
}

func newZstdStreams() (*zstdStreams, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	return &zstdStreams{most: maxZstdHistories, enc: enc}, err
}

// choose returns how a connection is served.
func (z *zstdStreams) choose() packer {
	if z.histories.Add(1) > z.most {
		z.histories.Add(-1)
		return &zstdBlockPacker{streams: z}
	}
	return &zstdHistoryPacker{streams: z}
}

// zstdPacker is one zstd frame for the whole connection. How it is made is chosen
// when it is first needed.
type zstdPacker struct {
	streams *zstdStreams
	chosen  packer
}

func (p *zstdPacker) pack(head []byte, b *body) ([]byte, error) {
	if p.chosen == nil {
		p.chosen = p.streams.choose()
	}
	return p.chosen.pack(head, b)
}

func (*zstdPacker) binary() bool { return true }

func (p *zstdPacker) close() {
	if p.chosen != nil {
		p.chosen.close()
	}
}

// zstdHistoryPacker writes a zstd stream that looks back.
type zstdHistoryPacker struct {
	streams *zstdStreams
	enc     *zstd.Encoder
	out     bytes.Buffer
	in      []byte
}

func (p *zstdHistoryPacker) pack(head []byte, b *body) ([]byte, error) {
	if p.enc == nil {
		enc, err := zstd.NewWriter(&p.out, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		if err != nil {
			return nil, err
		}
		p.enc = enc
	}
	if p.out.Cap() > keepBytes {
		p.out = bytes.Buffer{}
	}
	p.out.Reset()
	p.in = b.append(append(recycle(p.in), head...))
	if _, err := p.enc.Write(p.in); err != nil {
		return nil, err
	}
	if err := p.enc.Flush(); err != nil {
		return nil, err
	}
	return p.out.Bytes(), nil
}

func (*zstdHistoryPacker) binary() bool { return true }

func (p *zstdHistoryPacker) close() {
	p.streams.histories.Add(-1)
	if p.enc != nil {
		p.enc.Reset(nil) // or Close would write the frame's end
		_ = p.enc.Close()
	}
}

// zstdBlockPacker writes a zstd stream that never looks back: the head of a
// message as a raw block, the rest as blocks that were compressed by themselves,
// once for all such clients.
//
// One thing passes from block to block all the same: the last three offsets,
// which a block may use by their place. What was compressed by itself takes them
// for those of a frame's begin. So zstdSeam comes before it.
type zstdBlockPacker struct {
	streams *zstdStreams
	begun   bool
	buf     []byte
}

// zstdHeader begins a frame with a window of zstdWindow, of unknown size, without a
// checksum (RFC 8878, 3.1.1).
var zstdHeader = []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, (15 - 10) << 3}

// zstdSeam is two blocks of 19 spaces in all, which JSON allows before a value.
// They are put together from matches at the distances 8, then 4 and 1: with that
// the offsets are 1, 4 and 8, as where a frame begins (RFC 8878, 3.1.1.5).
var zstdSeam = []byte{
	// A compressed block of 8 bytes: 8 times a space; one sequence, whose three
	// codes are RLE: 8 literals, then a match of 3 (code 0) at the offset 8 (code 3 and
	// 3 bits: 8+3 is 0b1011).
	8<<3 | 2<<1, 0, 0,
	8<<3 | 1, ' ', 1, 0b01_01_01_00, 8, 3, 0, 0b1_011,
	// One of 7 bytes: no literals; two sequences, RLE: no literals, a match of 4
	// (code 1) at the offsets 4 and 1 (code 2 and 2 bits: 4+3 is 0b111, 1+3 is 0b100).
	7<<3 | 2<<1, 0, 0,
	0, 2, 0b01_01_01_00, 0, 2, 1, 0b1_11_00,
}

func (p *zstdBlockPacker) pack(head []byte, b *body) ([]byte, error) {
	p.buf = recycle(p.buf)
	if !p.begun {
		p.buf, p.begun = append(p.buf, zstdHeader...), true
	}
	if len(head) == 0 { // no dispatch, and small
		p.buf = appendRaw(p.buf, b.append(nil))
		return p.buf, nil
	}
	blocks, err := p.streams.blocks(b)
	p.buf = appendRaw(p.buf, head)
	p.buf = append(append(p.buf, zstdSeam...), blocks...)
	return p.buf, err
}

func (*zstdBlockPacker) binary() bool { return true }
func (*zstdBlockPacker) close()       {}

// appendRaw appends raw blocks.
func appendRaw(dst, p []byte) []byte {
	for len(p) > 0 {
		n := min(len(p), zstdWindow)
		dst = append(dst, byte(n<<3), byte(n>>5), byte(n>>13))
		dst, p = append(dst, p[:n]...), p[n:]
	}
	return dst
}

// blocks returns the body in blocks that need nothing before them but zstdSeam.
func (z *zstdStreams) blocks(b *body) ([]byte, error) {
	if b.shared == nil {
		return blocksOf(z.enc.EncodeAll(b.append(nil), nil))
	}
	var err error
	b.shared.zstd.Do(func() {
		d := b.append(nil)
		b.shared.blocks, err = blocksOf(z.enc.EncodeAll(d, make([]byte, 0, len(d)/2+64)))
	})
	if err == nil && b.shared.blocks == nil {
		err = errZstd
	}
	return b.shared.blocks, err
}

// errZstd means that a frame doesn't have the shape that it must have.
var errZstd = errors.New("not a zstd frame")

// blocksOf returns the blocks of a frame, none of them marked as the last
// (RFC 8878, 3.1.1). It writes to the frame.
func blocksOf(frame []byte) ([]byte, error) {
	if len(frame) < 6 || !bytes.HasPrefix(frame, zstdHeader[:4]) || frame[4]&0b111 != 0 {
		return nil, errZstd // with a checksum, or a dictionary
	}
	size := []int{0, 2, 4, 8}[frame[4]>>6] // of the content's size
	single := frame[4]&0b10_0000 != 0
	switch {
	case !single:
		size++ // the window's
	case size == 0:
		size = 1
	}
	if len(frame) < 5+size {
		return nil, errZstd
	}
	blocks := frame[5+size:]
	for rest := blocks; ; {
		if len(rest) < 3 {
			return nil, errZstd
		}
		head := uint32(rest[0]) | uint32(binary.LittleEndian.Uint16(rest[1:]))<<8
		n := int(head >> 3)
		if head>>1&3 == 1 { // RLE: a byte stands for all
			n = 1
		}
		if len(rest) < 3+n {
			return nil, errZstd
		}
		last := head&1 != 0
		rest[0] &^= 1
		if rest = rest[3+n:]; last {
			if len(rest) > 0 {
				return nil, errZstd
			}
			return blocks, nil
		}
	}
}

package fsm

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"
)

// sectionReader is the inverse of sectionWriter. Its first error sticks.
type sectionReader struct {
	r    *bufio.Reader
	hash *xxh3.Hasher
	buf  bytes.Buffer
	err  error
}

func (r *sectionReader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, what)
	}
}

// cut fails with the cause of a read that ended early.
func (r *sectionReader) cut(err error) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: the snapshot is cut short or damaged: %w", ErrMalformed, err)
	}
}

func (r *sectionReader) byte() byte {
	b, err := r.r.ReadByte()
	if err != nil {
		r.cut(err)
		return 0
	}
	_, _ = r.hash.Write([]byte{b})
	return b
}

// ReadByte implements io.ByteReader over the hashed stream.
func (r *sectionReader) ReadByte() (byte, error) {
	b := r.byte()
	return b, r.err
}

// chunk returns the next chunk of a section in memory of its own, nil at its
// end.
func (r *sectionReader) chunk() []byte {
	if r.err != nil {
		return nil
	}
	n, err := binary.ReadUvarint(r)
	if err != nil || n > maxChunk {
		r.fail("a chunk that cannot be")
		return nil
	}
	if n == 0 {
		return nil
	}
	// Growing with what arrives: a length is believed only as far as bytes follow.
	r.buf.Reset()
	if _, err := io.CopyN(&r.buf, r.r, int64(n)); err != nil {
		r.cut(err)
		return nil
	}
	_, _ = r.hash.Write(r.buf.Bytes())
	return bytes.Clone(r.buf.Bytes())
}

// each calls load for every chunk of a section.
func (r *sectionReader) each(load func(*reader) error) {
	for b := r.chunk(); b != nil; b = r.chunk() {
		rd := &reader{b: b}
		err := load(rd)
		if err == nil {
			err = rd.end()
		}
		if err != nil {
			r.err = err
			return
		}
	}
}

// chunkReader reads a section's chunks as one stream.
type chunkReader struct {
	r    *sectionReader
	left []byte
	over bool
}

func (c *chunkReader) Read(p []byte) (int, error) {
	if len(c.left) == 0 && !c.over {
		c.left = c.r.chunk()
		c.over = c.left == nil
	}
	if c.r.err != nil {
		return 0, c.r.err
	}
	if c.over {
		return 0, io.EOF
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

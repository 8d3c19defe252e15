package backupfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"
)

// Reader reads a backup's payload, and io.EOF behind it once all of the file
// held. Whoever acts on a part of a payload before that acts on what may be
// damaged.
type Reader struct {
	Header Header
	chunks *chunkReader
	clear  io.Reader // the payload in clear; nil if it is sealed and there is no key
}

// NewReader reads the header. unseal may be nil: then the payload of an
// encrypted backup can be verified and not be read.
func NewReader(from io.Reader, unseal Unseal) (*Reader, error) {
	c := &chunkReader{from: bufio.NewReaderSize(from, 64<<10), hash: xxh3.New()}
	lead, err := c.take(len(magic) + 1)
	if err != nil || string(lead[:len(magic)]) != magic {
		return nil, ErrNotBackup
	}
	if v := lead[len(magic)]; v != Format {
		return nil, fmt.Errorf("%w: %d; this version reads %d", ErrFormat, v, Format)
	}
	head, err := c.header()
	if err != nil {
		return nil, err
	}
	r := &Reader{chunks: c, clear: c}
	if err := json.Unmarshal(head, &r.Header); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrDamaged, err)
	}
	if r.Header.Encryption == None {
		return r, nil
	}
	r.clear = nil
	if unseal != nil {
		if r.clear, err = unseal(r.Header.Encryption, c, head); err != nil {
			return nil, fmt.Errorf("backup: decrypt: %w", err)
		}
	}
	return r, nil
}

// Read reads the payload in clear.
func (r *Reader) Read(b []byte) (int, error) {
	if r.clear == nil {
		return 0, fmt.Errorf("%w with key %s", ErrSealed, r.Header.Encryption)
	}
	n, err := r.clear.Read(b)
	if errors.Is(err, io.EOF) && r.clear != io.Reader(r.chunks) {
		if end := r.Verify(); end != nil {
			return n, end // a seal that ended before its payload did
		}
	}
	return n, err
}

// Verify reads what is left, encrypted or not, and reports whether the whole
// file held.
func (r *Reader) Verify() error {
	_, err := io.Copy(io.Discard, r.chunks)
	return err
}

// Size returns the size of the payload in the file, as far as it was read.
func (r *Reader) Size() uint64 { return r.chunks.size }

// chunkReader is the payload of the chunks. Its first error sticks.
type chunkReader struct {
	from   *bufio.Reader
	hash   *xxh3.Hasher
	buf    []byte // of the chunk, what nobody has read yet
	chunk  []byte
	number uint64
	size   uint64
	err    error
}

// take reads n bytes into a buffer that grows with what there is: a length in a
// damaged file is not believed.
func (c *chunkReader) take(n int) ([]byte, error) {
	var b bytes.Buffer
	if got, err := io.CopyN(&b, c.from, int64(n)); err != nil {
		return nil, fmt.Errorf("%w: it ends in the middle (%d of %d bytes): %w", ErrDamaged, got, n, err)
	}
	_, _ = c.hash.Write(b.Bytes()) // a hash never fails
	return b.Bytes(), nil
}

func (c *chunkReader) header() ([]byte, error) {
	b, err := c.take(4)
	if err != nil {
		return nil, err
	}
	n := order.Uint32(b)
	if n > maxHeader {
		return nil, fmt.Errorf("%w: a header of %d bytes", ErrDamaged, n)
	}
	head, err := c.take(int(n))
	if err != nil {
		return nil, err
	}
	sum, err := c.take(8)
	if err != nil {
		return nil, err
	}
	if order.Uint64(sum) != xxh3.Hash(head) {
		return nil, fmt.Errorf("%w: the header's checksum is wrong", ErrDamaged)
	}
	return head, nil
}

// Read implements io.Reader.
func (c *chunkReader) Read(b []byte) (int, error) {
	for len(c.buf) == 0 && c.err == nil {
		c.err = c.next()
	}
	if len(c.buf) == 0 {
		return 0, c.err
	}
	n := copy(b, c.buf)
	c.buf = c.buf[n:]
	return n, nil
}

// next reads a chunk, or the end.
func (c *chunkReader) next() error {
	b, err := c.take(4)
	if err != nil {
		return err
	}
	n := order.Uint32(b)
	switch {
	case n == 0:
		return c.end()
	case n > chunkSize:
		return fmt.Errorf("%w: a chunk of %d bytes", ErrDamaged, n)
	}
	if c.chunk, err = c.take(int(n)); err != nil {
		return err
	}
	sum, err := c.take(8)
	if err != nil {
		return err
	}
	if order.Uint64(sum) != chunkSum(c.number, c.chunk) {
		return fmt.Errorf("%w: the checksum of chunk %d is wrong", ErrDamaged, c.number)
	}
	c.number++
	c.size += uint64(n)
	c.buf = c.chunk
	return nil
}

// end checks the end mark, and that nothing follows. It returns io.EOF if all
// held.
func (c *chunkReader) end() error {
	b, err := c.take(8)
	if err != nil {
		return err
	}
	if size := order.Uint64(b); size != c.size {
		return fmt.Errorf("%w: a payload of %d bytes where %d were written", ErrDamaged, c.size, size)
	}
	want := c.hash.Sum128().Bytes()
	sum, err := c.take(len(want))
	if err != nil {
		return err
	}
	if !bytes.Equal(sum, want[:]) {
		return fmt.Errorf("%w: the file's checksum is wrong", ErrDamaged)
	}
	if _, err := c.from.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows its end", ErrDamaged)
	}
	return io.EOF
}

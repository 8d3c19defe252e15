package backupfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"
)

// Writer writes a backup. What was written is one only once Close returned nil.
type Writer struct {
	chunks *chunkWriter
	seal   io.WriteCloser // nil without encryption
}

// NewWriter begins a backup with its header, in which it sets Encryption.
func NewWriter(to io.Writer, h Header, s Seal) (*Writer, error) {
	h.Encryption = None
	if s.Wrap != nil {
		h.Encryption = s.KeyID
	}
	head, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("backup: header: %w", err)
	}
	b := append([]byte(magic), Format)
	b = order.AppendUint32(b, uint32(len(head)))
	b = append(b, head...)
	b = order.AppendUint64(b, xxh3.Hash(head))
	c := &chunkWriter{to: to, hash: xxh3.New(), buf: make([]byte, 0, chunkSize)}
	if err := c.write(b); err != nil {
		return nil, err
	}
	w := &Writer{chunks: c}
	if s.Wrap != nil {
		if w.seal, err = s.Wrap(c, head); err != nil {
			return nil, fmt.Errorf("backup: encrypt: %w", err)
		}
	}
	return w, nil
}

// Write adds to the payload.
func (w *Writer) Write(b []byte) (int, error) {
	if w.seal != nil {
		return w.seal.Write(b)
	}
	return w.chunks.Write(b)
}

// Close ends the backup. It doesn't close what it is written to.
func (w *Writer) Close() error {
	if w.seal != nil {
		if err := w.seal.Close(); err != nil {
			return fmt.Errorf("backup: encrypt: %w", err)
		}
	}
	return w.chunks.end()
}

// chunkWriter cuts a stream into chunks.
type chunkWriter struct {
	to     io.Writer
	hash   *xxh3.Hasher // of everything before the end mark's own sum
	buf    []byte       // the chunk that is being filled
	number uint64
	size   uint64
	err    error
}

func (c *chunkWriter) write(b []byte) error {
	if c.err == nil {
		_, _ = c.hash.Write(b) // a hash never fails
		_, c.err = c.to.Write(b)
	}
	return c.err
}

// Write implements io.Writer.
func (c *chunkWriter) Write(b []byte) (int, error) {
	for left := b; len(left) > 0; {
		n := min(len(left), chunkSize-len(c.buf))
		c.buf, left = append(c.buf, left[:n]...), left[n:]
		if len(c.buf) == chunkSize {
			if err := c.flush(); err != nil {
				return len(b) - len(left), err
			}
		}
	}
	return len(b), c.err
}

// flush writes the chunk that has been filled so far.
func (c *chunkWriter) flush() error {
	if len(c.buf) == 0 {
		return c.err
	}
	head := order.AppendUint32(nil, uint32(len(c.buf)))
	sum := order.AppendUint64(nil, chunkSum(c.number, c.buf))
	err := errors.Join(c.write(head), c.write(c.buf), c.write(sum))
	c.number++
	c.size += uint64(len(c.buf))
	c.buf = c.buf[:0]
	return err
}

// end writes the end mark: a length of 0, the payload's size, the sum of all.
func (c *chunkWriter) end() error {
	if err := c.flush(); err != nil {
		return err
	}
	if err := c.write(order.AppendUint64(order.AppendUint32(nil, 0), c.size)); err != nil {
		return err
	}
	sum := c.hash.Sum128().Bytes()
	_, c.err = c.to.Write(sum[:])
	return c.err
}

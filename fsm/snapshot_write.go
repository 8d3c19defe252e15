package fsm

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/s2"
	"github.com/zeebo/xxh3"
)

// WriteTo writes the snapshot. It runs beside Apply without holding it up, and
// writes equal bytes for equal states.
func (c *Capture) WriteTo(to io.Writer) (int64, error) {
	count := &counter{w: to}
	if _, err := io.WriteString(count, snapshotMagic+string(rune(snapshotVersion))); err != nil {
		return count.n, err
	}
	packed := s2.NewWriter(count, s2.WriterConcurrency(1), s2.WriterBlockSize(256<<10))
	w := &sectionWriter{w: bufio.NewWriterSize(packed, 64<<10), hash: xxh3.New()}
	c.writeHead(w)
	for i := range c.bots {
		c.bots[i].write(w)
	}
	sum := w.hash.Sum128().Bytes()
	w.section(sectionEnd)
	w.chunk(sum[:])
	w.end()
	if w.err == nil {
		w.err = w.w.Flush()
	}
	if err := packed.Close(); w.err == nil {
		w.err = err
	}
	return count.n, w.err
}

func (c *Capture) writeHead(w *sectionWriter) {
	var head writer
	head.uint(c.index)
	head.uint(c.digest.Hi)
	head.uint(c.digest.Lo)
	w.section(sectionSmall)
	w.chunk(head.b)
	w.chunk(c.small)
	w.end()
}

func (b *botCapture) write(w *sectionWriter) {
	for _, tree := range b.pending {
		w.entries(sectionPending, tree)
	}
	w.entries(sectionRetained, b.retained)
	w.section(sectionDead)
	b.dead.Scan(func(_ uint64, d *DeadLetter) bool {
		return w.item(func(e *writer) { d.Entry.encode(e); e.string(d.Err) })
	})
	w.end()
	w.section(sectionKV)
	b.items.Scan(func(key string, item KVItem) bool {
		return w.item(func(e *writer) {
			e.string(b.name)
			e.string(key)
			e.uint(item.Version)
			e.bytes(item.Value)
			e.int(item.Expires)
		})
	})
	w.end()
	if b.interactions.Len() > 0 {
		w.section(sectionInteractions)
		b.interactions.Scan(func(_ uint64, n noted) bool {
			return w.item(func(e *writer) { e.string(b.name); n.encode(e) })
		})
		w.end()
	}
	w.section(sectionCache)
	w.chunk([]byte(b.name))
	if _, err := b.cache.WriteTo(chunkWriter{w}); err != nil && w.err == nil {
		w.err = err
	}
	w.end()
}

// sectionWriter frames sections and hashes what it writes. Its first error
// sticks.
type sectionWriter struct {
	w    *bufio.Writer
	hash *xxh3.Hasher
	buf  writer // for item
	err  error
}

func (w *sectionWriter) write(b []byte) {
	if w.err == nil {
		_, w.err = w.w.Write(b)
		_, _ = w.hash.Write(b) // a hash never fails
	}
}

func (w *sectionWriter) section(id byte) { w.write([]byte{id}) }
func (w *sectionWriter) end()            { w.write([]byte{0}) }

// chunk reports whether writing can go on.
func (w *sectionWriter) chunk(b []byte) bool {
	if len(b) > maxChunk && w.err == nil {
		// Better no snapshot than one that can't be read.
		w.err = fmt.Errorf("fsm: a part of %d bytes is too large for a snapshot", len(b))
	}
	if len(b) > 0 {
		var n [binary.MaxVarintLen64]byte
		w.write(n[:binary.PutUvarint(n[:], uint64(len(b)))])
		w.write(b)
	}
	return w.err == nil
}

// item writes a chunk that encode makes.
func (w *sectionWriter) item(encode func(*writer)) bool {
	w.buf.b = w.buf.b[:0]
	encode(&w.buf)
	return w.chunk(w.buf.b)
}

func (w *sectionWriter) entries(id byte, tree *pendingTree) {
	w.section(id)
	tree.Scan(func(_ uint64, e *Entry) bool { return w.item(e.encode) })
	w.end()
}

// chunkWriter makes chunks of a stream.
type chunkWriter struct{ w *sectionWriter }

func (c chunkWriter) Write(b []byte) (int, error) {
	for left := b; len(left) > 0; {
		n := min(len(left), streamChunk)
		c.w.chunk(left[:n])
		left = left[n:]
	}
	return len(b), c.w.err
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

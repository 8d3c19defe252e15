package cache

import (
	"bufio"
	"encoding/binary"
	"io"
	"sync"
)

// magic begins every snapshot; its last byte is the format's version.
const magic = "bncache\x01"

// tagEnd follows the last entry.
const tagEnd = 0xff

// view is the saved part of a cache at one moment.
type view struct {
	recs    [kindCount]tree[rec]
	evicted [kindCount]uint64
	sweeps  [kindCount]sweep
	stores  stores
	seq     uint64
	sum     Digest
}

// view returns a view that is good until the next write.
func (c *Cache) view() view {
	s := &c.stores
	v := view{seq: c.seq, sum: c.sum, stores: stores{
		homes: s.homes.still(), unverified: s.unverified.still(), chunks: s.chunks.still(), lasts: s.lasts.still(), self: s.self,
	}}
	for i := range c.tables {
		v.recs[i], v.evicted[i], v.sweeps[i] = c.tables[i].recs.still(), c.tables[i].evicted, c.tables[i].sweep
	}
	return v
}

// entries calls yield for every entry: tags rise, and keys within a tag.
func (v *view) entries(yield func(tag uint8, k key, val string, seq uint64) bool) {
	for kind := range v.recs {
		v.recs[kind].ascend(key{}, func(k key, r rec) bool { return yield(uint8(kind), k, r.raw, r.seq) })
	}
	v.stores.homes.ascend(key{}, func(k key, h home) bool { return yield(tagHome, k, h.encode(), 0) })
	if v.stores.self != "" {
		yield(tagSelf, key{}, v.stores.self, 0)
	}
	v.stores.unverified.ascend(key{}, func(k key, _ struct{}) bool { return yield(tagUnverified, k, "", 0) })
	v.stores.chunks.ascend(key{}, func(k key, n uint64) bool { return yield(tagChunks, k, encodeCount(n), 0) })
	v.stores.lasts.ascend(key{}, func(k key, n uint64) bool { return yield(tagLasts, k, encodeCount(n), 0) })
	for kind, s := range v.sweeps {
		if s.active {
			yield(tagSweep, key{uint64(kind), 0}, s.encode(), 0)
		}
	}
}

// Capture is a cache as it was at one moment. It needs no lock: the live cache
// copies what both share before it writes to it.
type Capture struct {
	mu sync.Mutex // guards v against Release during WriteTo
	v  *view
}

// Capture captures the cache. It takes microseconds whatever the size; writes
// after it copy the nodes that they touch, once each. Any number of captures may
// be alive, each of which keeps what it shares from being collected.
func (c *Cache) Capture() *Capture {
	v := c.view()
	for i := range c.tables {
		c.tables[i].recs.capture()
	}
	c.stores.homes.capture()
	c.stores.unverified.capture()
	c.stores.chunks.capture()
	c.stores.lasts.capture()
	return &Capture{v: &v}
}

// Release lets go of the captured state. It may be called again, and while
// WriteTo runs, which then still finishes.
func (cp *Capture) Release() {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	cp.v = nil
}

// Digest returns the digest of the captured state, or none after Release.
func (cp *Capture) Digest() Digest {
	if v := cp.held(); v != nil {
		return v.sum
	}
	return Digest{}
}

// held returns the captured state, or nil after Release.
func (cp *Capture) held() *view {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	return cp.v
}

// WriteTo writes a snapshot. Equal caches write equal bytes. It may run while the
// live cache changes. After Release it writes nothing and returns io.ErrClosedPipe.
func (cp *Capture) WriteTo(w io.Writer) (int64, error) {
	v := cp.held()
	if v == nil {
		return 0, io.ErrClosedPipe
	}
	out := &counter{w: bufio.NewWriterSize(w, 256<<10)}
	out.string(magic)
	v.entries(func(tag uint8, k key, val string, seq uint64) bool {
		out.entry(tag, k, val, seq)
		return out.err == nil
	})
	out.bytes([]byte{tagEnd})
	out.uvarint(v.seq)
	for _, n := range v.evicted {
		out.uvarint(n)
	}
	out.bytes(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, v.sum.Hi), v.sum.Lo))
	if out.err == nil {
		out.err = out.w.Flush()
	}
	return out.n - int64(out.w.Buffered()), out.err
}

// counter counts what it writes and remembers the first error.
type counter struct {
	w   *bufio.Writer
	n   int64
	err error
	buf []byte
}

// entry writes one entry: tag, key, write number, length, value.
func (c *counter) entry(tag uint8, k key, val string, seq uint64) {
	b := append(c.buf[:0], tag)
	b = binary.AppendUvarint(b, k.a)
	b = binary.AppendUvarint(b, k.b)
	b = binary.AppendUvarint(b, seq)
	c.buf = binary.AppendUvarint(b, uint64(len(val)))
	c.bytes(c.buf)
	c.string(val)
}

func (c *counter) uvarint(n uint64) { c.bytes(binary.AppendUvarint(nil, n)) }

func (c *counter) bytes(b []byte) {
	if c.err == nil {
		var n int
		n, c.err = c.w.Write(b)
		c.n += int64(n)
	}
}

func (c *counter) string(s string) {
	if c.err == nil {
		var n int
		n, c.err = c.w.WriteString(s)
		c.n += int64(n)
	}
}

package fsm

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/s2"
	"github.com/tidwall/btree"
	"github.com/zeebo/xxh3"

	"github.com/botnode/botnode/cache"
)

// snapshotMagic starts a snapshot; its last byte is the format's version.
const snapshotMagic = "BNSNAP\x00\x01"

// The sections of a snapshot, in this order. Each is an id, then chunks with
// their lengths before them, then a length of 0. The last is the checksum.
const (
	sectionSmall    byte = 1
	sectionPending  byte = 2
	sectionRetained byte = 3
	sectionDead     byte = 4
	sectionKV       byte = 5
	sectionCache    byte = 6
	sectionEnd      byte = 0xff
)

// maxChunk bounds one chunk of a snapshot.
const maxChunk = 128 << 20

// Capture is a state held still. It shares memory with the live state, which
// copies what it changes from then on.
type Capture struct {
	index  uint64
	digest Digest
	small  []byte
	bots   []botCapture
}

type botCapture struct {
	name     string
	pending  []*pendingTree
	retained *pendingTree
	dead     *btree.Map[uint64, *DeadLetter]
	items    *btree.Map[string, KVItem]
	cache    *cache.Capture
}

// capture costs little time: trees and caches are captured by reference.
func (s *State) capture(index uint64) *Capture {
	c := &Capture{index: index, digest: s.Digest()}
	var w writer
	s.encodeSmall(&w)
	c.small = w.b
	for _, b := range s.bots {
		bc := botCapture{
			name:     b.Name,
			retained: b.journal.retained.Copy(),
			dead:     b.journal.dead.Copy(),
			items:    b.kv.items.Copy(),
			cache:    b.cache.Capture(),
		}
		for _, sh := range b.shards {
			bc.pending = append(bc.pending, sh.pending.Copy())
		}
		c.bots = append(c.bots, bc)
	}
	return c
}

// Index returns the index of the last command in the captured state.
func (c *Capture) Index() uint64 { return c.index }

// Release lets the live state stop copying for this capture.
func (c *Capture) Release() {
	for _, b := range c.bots {
		b.cache.Release()
	}
}

// WriteTo writes the snapshot: the magic, then compressed sections. It runs
// beside Apply without holding it up.
func (c *Capture) WriteTo(to io.Writer) (int64, error) {
	count := &counter{w: to}
	if _, err := io.WriteString(count, snapshotMagic); err != nil {
		return count.n, err
	}
	packed := s2.NewWriter(count, s2.WriterConcurrency(1))
	w := &sectionWriter{w: bufio.NewWriterSize(packed, 64<<10), hash: xxh3.New()}
	c.writeSections(w)
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

func (c *Capture) writeSections(w *sectionWriter) {
	var head writer
	head.uint(c.index)
	head.uint(c.digest.Hi)
	head.uint(c.digest.Lo)
	w.section(sectionSmall)
	w.chunk(head.b)
	w.chunk(c.small)
	w.end()
	for _, b := range c.bots {
		for _, tree := range b.pending {
			w.entries(sectionPending, tree)
		}
		w.entries(sectionRetained, b.retained)
		w.section(sectionDead)
		b.dead.Scan(func(_ uint64, d *DeadLetter) bool {
			var e writer
			d.Entry.encode(&e)
			e.string(d.Err)
			return w.chunk(e.b)
		})
		w.end()
		w.section(sectionKV)
		b.items.Scan(func(key string, item KVItem) bool {
			var e writer
			e.string(b.name)
			e.string(key)
			e.uint(item.Version)
			e.bytes(item.Value)
			return w.chunk(e.b)
		})
		w.end()
		w.section(sectionCache)
		w.chunk([]byte(b.name))
		if _, err := b.cache.WriteTo(chunkWriter{w}); err != nil && w.err == nil {
			w.err = err
		}
		w.end()
	}
}

// sectionWriter frames sections and hashes what it writes.
type sectionWriter struct {
	w    *bufio.Writer
	hash *xxh3.Hasher
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
	if len(b) > 0 {
		var n [binary.MaxVarintLen64]byte
		w.write(n[:binary.PutUvarint(n[:], uint64(len(b)))])
		w.write(b)
	}
	return w.err == nil
}

func (w *sectionWriter) entries(id byte, tree *pendingTree) {
	w.section(id)
	tree.Scan(func(_ uint64, e *Entry) bool {
		var ew writer
		e.encode(&ew)
		return w.chunk(ew.b)
	})
	w.end()
}

// chunkWriter makes chunks of a stream.
type chunkWriter struct{ w *sectionWriter }

func (c chunkWriter) Write(b []byte) (int, error) {
	c.w.chunk(b)
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

// ReadSnapshot builds a state from a snapshot and verifies its checksum and
// its digest.
func ReadSnapshot(from io.Reader) (*State, uint64, error) {
	magic := make([]byte, len(snapshotMagic))
	if _, err := io.ReadFull(from, magic); err != nil || string(magic) != snapshotMagic {
		return nil, 0, fmt.Errorf("%w: not a snapshot of this format", ErrMalformed)
	}
	r := &sectionReader{r: bufio.NewReaderSize(s2.NewReader(from), 64<<10), hash: xxh3.New()}
	s, index, digest := NewState(), uint64(0), Digest{}
	for {
		sum := r.hash.Sum128().Bytes()
		id := r.byte()
		if r.err != nil {
			return nil, 0, r.err
		}
		switch id {
		case sectionSmall:
			index, digest = r.small(s)
		case sectionPending, sectionRetained, sectionDead:
			r.each(func(rd *reader) error { return s.loadEntry(id, rd) })
		case sectionKV:
			r.each(s.loadItem)
		case sectionCache:
			r.cache(s)
		case sectionEnd:
			if got := r.chunk(); r.err == nil && !bytes.Equal(got, sum[:]) {
				return nil, 0, fmt.Errorf("%w: the snapshot's checksum is wrong", ErrMalformed)
			}
			if r.err == nil && s.Digest() != digest {
				return nil, 0, fmt.Errorf("%w: the snapshot's digest is wrong", ErrMalformed)
			}
			return s, index, r.err
		default:
			r.fail("a section of an unknown kind")
		}
	}
}

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

func (r *sectionReader) byte() byte {
	b, err := r.r.ReadByte()
	if err != nil {
		r.fail("the snapshot is cut short")
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
	n, err := binary.ReadUvarint(r)
	if err != nil || n > maxChunk {
		r.fail("a chunk that cannot be")
		return nil
	}
	if n == 0 || r.err != nil {
		return nil
	}
	// Growing with what arrives: a length is believed only as far as bytes follow.
	r.buf.Reset()
	if _, err := io.CopyN(&r.buf, r.r, int64(n)); err != nil {
		r.fail("the snapshot is cut short")
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

func (r *sectionReader) small(s *State) (index uint64, d Digest) {
	head := &reader{b: r.chunk()}
	index, d.Hi, d.Lo = head.uint(), head.uint(), head.uint()
	body := &reader{b: r.chunk()}
	body2 := r.chunk()
	if head.end() != nil || body2 != nil {
		r.fail("a head that is wrong")
		return
	}
	s.decodeSmall(body)
	if err := body.end(); err != nil && r.err == nil {
		r.err = err
	}
	return index, d
}

func (r *sectionReader) cache(s *State) {
	b := s.bots[string(r.chunk())]
	if b == nil || r.err != nil {
		r.fail("caches of no bot")
		return
	}
	policies, err := b.Config.Policies()
	if err != nil {
		r.err = err
		return
	}
	stream := &chunkReader{r: r}
	if b.cache, err = cache.Read(stream, policies); err != nil {
		r.fail("caches: " + err.Error())
		b.cache = cache.New(policies)
		return
	}
	if len(stream.left) > 0 || (!stream.over && r.chunk() != nil) {
		r.fail("bytes after the caches")
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

// loadEntry puts an entry of a snapshot where its section says.
func (s *State) loadEntry(section byte, r *reader) error {
	e := decodeEntry(r)
	b, sh, _ := s.shard(e.Bot, e.Shard)
	if sh == nil {
		return fmt.Errorf("%w: an entry of no shard", ErrMalformed)
	}
	j := &b.journal
	switch section {
	case sectionRetained:
		j.retained.Set(e.Pos, e)
		j.bytes += e.weight()
	case sectionDead:
		d := &DeadLetter{Entry: e, Err: r.string()}
		j.dead.Set(e.Pos, d)
		j.digest.add(d.digest())
	default:
		sh.pending.Set(e.Pos, e)
		j.pending++
		j.pbytes += e.weight()
		j.digest.add(e.digest())
	}
	return nil
}

func (s *State) loadItem(r *reader) error {
	b := s.bots[r.string()]
	if b == nil {
		return fmt.Errorf("%w: a key of no bot", ErrMalformed)
	}
	key := r.string()
	item := KVItem{Version: r.uint(), Value: r.bytes()}
	b.kv.items.Set(key, item)
	b.kv.digest.add(kvDigest(key, item))
	b.kv.bytes += int64(len(key) + len(item.Value))
	return nil
}

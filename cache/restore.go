package cache

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// maxEntry bounds an entry's value. No object of Discord's comes near it.
const maxEntry = 64 << 20

// ErrCorrupt is returned for a snapshot that WriteTo didn't write.
var ErrCorrupt = errors.New("cache: corrupt snapshot")

// Read reads a snapshot and then puts the policies in force, which should be
// those under which it was written: what exceeds others is left to Sweep. It
// reads no further than the snapshot's end if r is an io.ByteScanner (a
// *bufio.Reader, say), and never allocates much more than it has read. The
// result has the digest of the cache that was written, unless a sweep begins.
func Read(r io.Reader, p Policies) (*Cache, error) {
	in, ok := r.(source)
	if !ok {
		in = bufio.NewReaderSize(r, 256<<10)
	}
	var all Policies
	for i := range all {
		all[i].Mode = On
	}
	rd := &reader{in: in, c: New(all)}
	if err := rd.read(); err != nil {
		return nil, err
	}
	for i := range rd.c.tables {
		t := &rd.c.tables[i]
		t.policy = p[i]
		t.reorder()
		if !t.sweep.active && (t.policy.Mode == Off && t.recs.n > 0 || t.exceeds()) {
			rd.c.setSweep(t, sweep{active: true})
		}
	}
	return rd.c, nil
}

// source is what a snapshot is read from.
type source interface {
	io.Reader
	io.ByteScanner
}

// reader reads one snapshot.
type reader struct {
	in     source
	c      *Cache
	tag    uint8
	last   key
	any    bool   // an entry with this tag came before
	newest uint64 // the highest write number
	places []key  // {user, guild} of members, until all are read
	buf    []byte
}

func (r *reader) read() error {
	var head [len(magic)]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return corrupt(err)
	}
	if string(head[:]) != magic {
		return fmt.Errorf("%w: it doesn't begin like one", ErrCorrupt)
	}
	for {
		tag, err := r.in.ReadByte()
		if err != nil {
			return corrupt(err)
		}
		if tag == tagEnd {
			return r.finish()
		}
		if err := r.entry(tag); err != nil {
			return err
		}
	}
}

// corrupt says of an error of the source what it means: an end is a truncation.
func corrupt(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: truncated", ErrCorrupt)
	}
	return err
}

// numbers reads uvarints.
func (r *reader) numbers(dst ...*uint64) error {
	for _, d := range dst {
		n, err := binary.ReadUvarint(r.in)
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return corrupt(err)
			}
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		*d = n
	}
	return nil
}

// entry reads one entry and enters it.
func (r *reader) entry(tag uint8) error {
	var k key
	var seq, size uint64
	if err := r.numbers(&k.a, &k.b, &seq, &size); err != nil {
		return err
	}
	if tag != r.tag {
		r.any = false
	}
	if tag < r.tag || r.any && !r.last.less(k) || size > maxEntry {
		return fmt.Errorf("%w: entries out of order or too large", ErrCorrupt)
	}
	r.tag, r.last, r.any, r.newest = tag, k, true, max(r.newest, seq)
	val, err := r.value(int(size))
	if err != nil {
		return err
	}
	if tag == uint8(Members) {
		r.places = append(r.places, key{k.b, k.a})
	} else {
		r.place()
	}
	if !r.c.restore(tag, k, val, seq) {
		return fmt.Errorf("%w: an entry that can't be", ErrCorrupt)
	}
	return nil
}

// place enters the members read so far into the index, sorted: see reorder.
func (r *reader) place() {
	slices.SortFunc(r.places, key.compare)
	for _, k := range r.places {
		r.c.index.places.set(k, struct{}{})
	}
	r.places = nil
}

// value reads a value, in steps, so that a length that lies costs no memory.
func (r *reader) value(size int) (string, error) {
	const step = 64 << 10
	r.buf = r.buf[:0]
	for len(r.buf) < size {
		n := min(size-len(r.buf), step)
		from := len(r.buf)
		r.buf = append(r.buf, make([]byte, n)...)
		if _, err := io.ReadFull(r.in, r.buf[from:]); err != nil {
			return "", corrupt(err)
		}
	}
	return string(r.buf), nil
}

// restore enters an entry of a snapshot. It returns false for one that no cache
// holds.
func (c *Cache) restore(tag uint8, k key, val string, seq uint64) bool {
	switch {
	case tag < uint8(kindCount):
		t := &c.tables[tag]
		if len(val) < len("{}") || val[0] != '{' || Kind(tag) == Users && !c.placed(k.a) {
			return false
		}
		t.write(k, rec{raw: val, seq: seq})
		if t.kind != Members { // the reader links them, all at once
			c.link(t.kind, k)
		}
		c.linkMessage(t.kind, k, val)
	case tag == tagHome && len(val) == 9 && val[8] <= 1:
		b := []byte(val)
		c.stores.homes.set(k, home{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), val[8] == 1})
	case tag == tagSelf && k == key{} && val != "":
		c.stores.self = val
	case tag == tagUnverified && val == "":
		c.stores.unverified.set(k, struct{}{})
	case tag == tagChunks && len(val) == 8:
		c.stores.chunks.set(k, binary.LittleEndian.Uint64([]byte(val)))
	case tag == tagLasts && len(val) == 8 && c.index.channels.has(k):
		c.stores.lasts.set(k, binary.LittleEndian.Uint64([]byte(val)))
	case tag == tagSweep && k.a < uint64(kindCount) && k.b == 0:
		s, ok := decodeSweep(val)
		if !ok {
			return false
		}
		c.tables[k.a].sweep = s
	default:
		return false
	}
	c.hash(tag, k, val)
	return true
}

// finish reads what follows the entries and compares the digest. Dropping an
// entry that contradicts an earlier one has changed it by then.
func (r *reader) finish() error {
	r.place()
	counts := make([]*uint64, 0, kindCount+1)
	counts = append(counts, &r.c.seq)
	for i := range r.c.tables {
		counts = append(counts, &r.c.tables[i].evicted)
	}
	if err := r.numbers(counts...); err != nil {
		return err
	}
	var b [16]byte
	if _, err := io.ReadFull(r.in, b[:]); err != nil {
		return corrupt(err)
	}
	want := Digest{Hi: binary.LittleEndian.Uint64(b[:]), Lo: binary.LittleEndian.Uint64(b[8:])}
	if r.newest > r.c.seq || r.c.seq == math.MaxUint64 || want != r.c.sum {
		return fmt.Errorf("%w: the digest is wrong", ErrCorrupt)
	}
	return nil
}

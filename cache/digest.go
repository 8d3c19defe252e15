package cache

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// Digest is the sum, modulo 2^128, of a hash of every entry. A sum doesn't
// depend on order, so it is kept current by subtracting what a write replaces
// and adding what it stores. It finds divergence, not forgery.
type Digest struct{ Hi, Lo uint64 }

// String returns 32 hexadecimal digits.
func (d Digest) String() string { return fmt.Sprintf("%016x%016x", d.Hi, d.Lo) }

func (d *Digest) add(h Digest) {
	var carry uint64
	d.Lo, carry = bits.Add64(d.Lo, h.Lo, 0)
	d.Hi, _ = bits.Add64(d.Hi, h.Hi, carry)
}

func (d *Digest) sub(h Digest) {
	var borrow uint64
	d.Lo, borrow = bits.Sub64(d.Lo, h.Lo, 0)
	d.Hi, _ = bits.Sub64(d.Hi, h.Hi, borrow)
}

// hash returns the hash of one entry, and the buffer for the next. tag is a Kind
// or one of the tags of the stores.
func hash(buf []byte, tag uint8, k key, val string) (Digest, []byte) {
	buf = append(buf[:0], tag)
	buf = binary.LittleEndian.AppendUint64(buf, k.a)
	buf = binary.LittleEndian.AppendUint64(buf, k.b)
	buf = append(buf, val...)
	h := xxh3.Hash128(buf)
	return Digest{Hi: h.Hi, Lo: h.Lo}, buf
}

// Digest returns the digest of everything cached and stored, of which equal
// caches have equal ones. Eviction counters and write order are not in it.
func (c *Cache) Digest() Digest { return c.sum }

// Recompute returns the digest from scratch, for strict mode: it differs from
// Digest only if the code that maintains it is wrong.
func (c *Cache) Recompute() Digest {
	frozen := c.view()
	return frozen.digest()
}

// digest sums over all entries.
func (v *view) digest() Digest {
	var sum, h Digest
	var buf []byte
	v.entries(func(tag uint8, k key, val string, _ uint64) bool {
		h, buf = hash(buf, tag, k, val)
		sum.add(h)
		return true
	})
	return sum
}

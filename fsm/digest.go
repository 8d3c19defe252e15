package fsm

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/botnode/botnode/cache"
)

// Digest is a 128-bit sum over parts of the state. The sum doesn't depend on
// the order of its terms, so each write changes it by the difference.
type Digest struct{ Hi, Lo uint64 }

func (d *Digest) add(o Digest) {
	var carry uint64
	d.Lo, carry = bits.Add64(d.Lo, o.Lo, 0)
	d.Hi, _ = bits.Add64(d.Hi, o.Hi, carry)
}

func (d *Digest) sub(o Digest) {
	var borrow uint64
	d.Lo, borrow = bits.Sub64(d.Lo, o.Lo, 0)
	d.Hi, _ = bits.Sub64(d.Hi, o.Hi, borrow)
}

// String returns the digest in hexadecimal.
func (d Digest) String() string { return fmt.Sprintf("%016x%016x", d.Hi, d.Lo) }

func cacheDigest(d cache.Digest) Digest { return Digest{Hi: d.Hi, Lo: d.Lo} }

func (w *writer) hash() Digest {
	h := xxh3.Hash128(w.b)
	return Digest{Hi: h.Hi, Lo: h.Lo}
}

// digest covers all of an entry that its handlers can see or that decides who
// runs it. It writes to w, whose bytes nobody needs.
func (e *Entry) digest(w *writer) Digest {
	w.b = w.b[:0]
	w.byte('e')
	w.string(e.Bot)
	w.uint(e.Pos)
	w.shard(e.Shard)
	w.string(e.SID)
	w.int(e.S)
	w.string(e.Type)
	w.uint(uint64(e.Guild))
	w.uint(uint64(e.Lane))
	w.int(e.At)
	w.strings(e.Handlers)
	w.ref(e.Runner)
	w.uint(uint64(e.Attempts))
	w.uint(uint64(e.Retries))
	w.uint(uint64(e.Deaths))
	w.bool(e.Alone)
	w.byte(byte(e.Why))
	w.uint(xxh3.Hash(e.Raw))
	w.uint(xxh3.Hash(e.Before))
	return w.hash()
}

func (d *DeadLetter) digest() Digest {
	var w writer
	sum := d.Entry.digest(&w)
	w.b = w.b[:0]
	w.byte('d')
	w.string(d.Err)
	w.uint(sum.Hi)
	w.uint(sum.Lo)
	return w.hash()
}

func kvDigest(key string, item KVItem) Digest {
	w := writer{b: make([]byte, 0, len(key)+len(item.Value)+24)}
	w.byte('k')
	w.string(key)
	w.uint(item.Version)
	w.int(item.Expires)
	w.bytes(item.Value)
	return w.hash()
}

// Digest returns the digest of the whole state. What is large is summed on
// write; what is small is hashed here.
func (s *State) Digest() Digest {
	var w writer
	s.encodeSmall(&w)
	sum := w.hash()
	for _, b := range s.bots {
		sum.add(b.journal.digest)
		sum.add(b.kv.digest)
		sum.add(b.interactions.digest)
		sum.add(cacheDigest(b.cache.Digest()))
	}
	return sum
}

// Recompute returns the digest as Digest does, from scratch. Strict mode
// compares both.
func (s *State) Recompute() Digest {
	var w writer
	s.encodeSmall(&w)
	sum := w.hash()
	var scratch writer
	for _, b := range s.bots {
		for _, sh := range b.shards {
			sh.pending.Scan(func(_ uint64, e *Entry) bool {
				sum.add(e.digest(&scratch))
				return true
			})
		}
		b.journal.dead.Scan(func(_ uint64, d *DeadLetter) bool {
			sum.add(d.digest())
			return true
		})
		b.kv.items.Scan(func(k string, v KVItem) bool {
			sum.add(kvDigest(k, v))
			return true
		})
		b.interactions.order.Scan(func(_ uint64, n noted) bool {
			sum.add(n.digest())
			return true
		})
		sum.add(cacheDigest(b.cache.Recompute()))
	}
	return sum
}

// sortedKeys returns a map's keys in order.
func sortedKeys[K comparable, V any](m map[K]V, cmp func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, cmp)
	return keys
}

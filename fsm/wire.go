package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/botnode/botnode/discord"
)

// ErrMalformed is returned for bytes that are not an entry, a command, a
// result or a snapshot of this package.
var ErrMalformed = errors.New("fsm: malformed bytes")

// maxItems bounds a count that is read from bytes before anything is
// allocated for it.
const maxItems = 1 << 20

// writer appends primitives to a buffer.
type writer struct{ b []byte }

func (w *writer) byte(v byte)      { w.b = append(w.b, v) }
func (w *writer) uint(v uint64)    { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) int(v int64)      { w.b = binary.AppendVarint(w.b, v) }
func (w *writer) bytes(v []byte)   { w.uint(uint64(len(v))); w.b = append(w.b, v...) }
func (w *writer) string(v string)  { w.uint(uint64(len(v))); w.b = append(w.b, v...) }
func (w *writer) ref(v NodeRef)    { w.string(v.ID); w.uint(v.Inc) }
func (w *writer) shard(v ShardKey) { w.uint(uint64(v.Layout)); w.uint(uint64(v.Index)) }
func (w *writer) strings(v []string) {
	w.uint(uint64(len(v)))
	for _, s := range v {
		w.string(s)
	}
}

func (w *writer) bool(v bool) {
	if v {
		w.byte(1)
		return
	}
	w.byte(0)
}

// reader takes primitives off a buffer. The first failure sticks; every later
// read returns a zero value, so callers check err once at the end.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, what)
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("truncated")
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) bool() bool {
	switch r.byte() {
	case 0:
		return false
	case 1:
		return true
	}
	r.fail("a flag that is neither 0 nor 1")
	return false
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("truncated number")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail("truncated number")
		return 0
	}
	r.b = r.b[n:]
	return v
}

// uint32 reads a number that has to fit 32 bits.
func (r *reader) uint32() uint32 {
	v := r.uint()
	if v > math.MaxUint32 {
		r.fail("a number that is too large")
		return 0
	}
	return uint32(v)
}

// count reads the length of a list whose items take at least size bytes each.
// It refuses more items than the bytes can hold, so that what is allocated for
// a list is in proportion to what was read.
func (r *reader) count(size int) int {
	n := r.uint()
	if n > maxItems || n*uint64(size) > uint64(len(r.b)) {
		r.fail("a count that cannot be")
		return 0
	}
	return int(n)
}

// bytes returns a slice of the buffer, not a copy.
func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail("truncated bytes")
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// hash reads what bytes wrote of a hash.
func (r *reader) hash(h *[32]byte) {
	b := r.bytes()
	if len(b) != len(h) {
		r.fail("a hash of another length")
		return
	}
	copy(h[:], b)
}

func (r *reader) string() string { return string(r.bytes()) }

func (r *reader) strings() []string {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	v := make([]string, 0, n)
	for range n {
		v = append(v, r.string())
	}
	return v
}

func (r *reader) ref() NodeRef { return NodeRef{ID: r.string(), Inc: r.uint()} }

func (r *reader) shard() ShardKey {
	layout, index := r.uint(), r.uint()
	if layout > MaxShards || index >= layout {
		r.fail("a shard outside its layout")
		return ShardKey{}
	}
	return ShardKey{Layout: uint32(layout), Index: uint32(index)}
}

// end fails when bytes are left over.
func (r *reader) end() error {
	if r.err == nil && len(r.b) != 0 {
		r.fail("bytes left over")
	}
	return r.err
}

func snowflake(r *reader) discord.Snowflake { return discord.Snowflake(r.uint()) }

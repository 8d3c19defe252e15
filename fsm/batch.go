package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	"github.com/klauspost/compress/s2"
)

// The first byte of a log entry: how its batch of commands is packed.
const (
	packRaw byte = 1
	packS2  byte = 2
)

// Sizes of a batch, in bytes.
const (
	// MaxBatch is the size at which a batch is closed. A single command may
	// be larger: an event is never split.
	MaxBatch = 256 << 10
	// maxEntry bounds what an entry may unpack to: a batch that was about to
	// close, and an event far above any that Discord sends.
	maxEntry = 64 << 20
	// MaxCommand bounds a command: alone in an entry it must unpack.
	MaxCommand = maxEntry - 16
	// maxCommands bounds the commands of an entry. A command has two bytes at
	// the least, so a batch that closes at MaxBatch cannot have as many.
	maxCommands = 1 << 17
	// compressFrom is the size from which compression pays.
	compressFrom = 512
)

// packing holds the buffers of EncodeBatch: of a full batch they are half a
// megabyte, too much to ask the allocator to clear for each.
var packing = sync.Pool{New: func() any { return new(packBuffers) }}

type packBuffers struct{ raw, packed []byte }

// EncodeBatch packs commands into one log entry.
func EncodeBatch(cmds [][]byte) []byte {
	bufs := packing.Get().(*packBuffers)
	defer packing.Put(bufs)
	size := 1
	for _, c := range cmds {
		size += len(c) + 4
	}
	w := writer{b: append(slices.Grow(bufs.raw[:0], size), packRaw)}
	for _, c := range cmds {
		w.bytes(c)
	}
	if cap(w.b) <= 2*MaxBatch {
		bufs.raw = w.b
	}
	// A log keeps entries for a while: without the slack.
	if len(w.b) < compressFrom {
		return bytes.Clone(w.b)
	}
	dst := slices.Grow(bufs.packed[:0], 1+s2.MaxEncodedLen(len(w.b)-1))
	if cap(dst) <= 2*MaxBatch {
		bufs.packed = dst
	}
	dst = dst[:cap(dst)]
	packed := s2.Encode(dst[1:], w.b[1:])
	if len(packed)+1 >= len(w.b) {
		return bytes.Clone(w.b)
	}
	dst[0] = packS2
	return bytes.Clone(dst[:1+len(packed)])
}

// SplitBatch unpacks an entry into its commands, which refer to one buffer
// that nobody else writes to.
func SplitBatch(entry []byte) ([][]byte, error) {
	cmds, _, err := splitBatch(nil, entry)
	return cmds, err
}

// splitBatch is SplitBatch into scratch, if that is large enough, and not so
// large that a small entry that the state keeps would hold much memory for
// nothing. It returns the buffer that the commands refer to, or nil if they
// refer to the entry.
func splitBatch(scratch, entry []byte) (cmds [][]byte, buf []byte, err error) {
	if len(entry) == 0 {
		return nil, nil, fmt.Errorf("%w: empty entry", ErrMalformed)
	}
	body := entry[1:]
	switch entry[0] {
	case packRaw:
	case packS2:
		n, err := s2.DecodedLen(body)
		if err != nil || n > maxEntry {
			return nil, nil, fmt.Errorf("%w: entry with an impossible size", ErrMalformed)
		}
		if n > cap(scratch) || n < cap(scratch)/2 {
			scratch = make([]byte, n)
		}
		if buf, err = s2.Decode(scratch[:cap(scratch)], body); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		body = buf
	default:
		return nil, nil, fmt.Errorf("%w: entry packed in an unknown way (%d)", ErrMalformed, entry[0])
	}
	r := reader{b: body}
	for len(r.b) > 0 {
		if len(cmds) == maxCommands {
			r.fail("an entry of too many commands")
			break
		}
		cmds = append(cmds, r.bytes())
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	return cmds, buf, nil
}

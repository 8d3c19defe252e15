package jsonscan

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// Names and values in Discord's objects are a dozen bytes long, too short for a
// vector search to pay for its call, and long enough for eight at a time to beat
// one at a time.

const (
	word  = 8
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// zeroBytes has the high bit set of the lowest byte of x that is zero. Bits of
// higher bytes mean nothing.
func zeroBytes(x uint64) uint64 { return (x - ones) &^ x & highs }

// lowest returns the number of the lowest byte that is marked in mask.
func lowest(mask uint64) int { return bits.TrailingZeros64(mask) / word }

// nearWords is how many words are searched before a vector search takes over.
const nearWords = 4

// quoteIndex returns the index of the first quote at or after i, or -1.
func quoteIndex(b []byte, i int) int {
	for range nearWords {
		if i+word > len(b) {
			break
		}
		if m := zeroBytes(binary.LittleEndian.Uint64(b[i:]) ^ '"'*ones); m != 0 {
			return i + lowest(m)
		}
		i += word
	}
	if j := bytes.IndexByte(b[i:], '"'); j >= 0 {
		return i + j
	}
	return -1
}

package fsm

import (
	"strings"

	"github.com/tidwall/btree"

	"github.com/botnode/botnode/cache"
)

// A snapshot is the magic and the format's version, then a compressed stream of
// sections: an id, chunks with their lengths before them, a length of 0. The
// last section holds the checksum of all before it.
const (
	snapshotMagic   = "BNSNAP\x00"
	snapshotVersion = 1
)

// The sections of a snapshot. The first is the small part of the state with
// its index and digest; then, for every bot, the others in this order.
const (
	sectionSmall    byte = 1
	sectionPending  byte = 2
	sectionRetained byte = 3
	sectionDead     byte = 4
	sectionKV       byte = 5
	sectionCache    byte = 6
	// sectionInteractions is there only if there are any.
	sectionInteractions byte = 7
	sectionEnd          byte = 0xff
)

// Sizes of the chunks of a snapshot, in bytes.
const (
	// maxChunk bounds a chunk. An entry's payload and what was before it
	// are at most maxEntry each.
	maxChunk = 2*maxEntry + 1<<20
	// streamChunk is how a stream is cut into chunks.
	streamChunk = 1 << 20
)

// Capture is a state held still. It shares memory with the live state, which
// copies what it changes from then on.
type Capture struct {
	index      uint64
	generation uint64
	digest     Digest
	counts     Counts
	small      []byte
	bots       []botCapture
}

type botCapture struct {
	name     string
	pending  []*pendingTree // by shard
	retained *pendingTree
	dead     *btree.Map[uint64, *DeadLetter]
	items    *btree.Map[string, KVItem]
	cache    *cache.Capture

	interactions *notedTree
}

// capture costs little time: trees and caches are captured by reference.
func (s *State) capture(index uint64) *Capture {
	var w writer
	s.encodeSmall(&w)
	c := &Capture{index: index, generation: s.Generation, digest: s.Digest(), counts: s.Counts(), small: w.b}
	for _, name := range sortedKeys(s.bots, strings.Compare) {
		b := s.bots[name]
		bc := botCapture{
			name:     b.Name,
			retained: b.journal.retained.Copy(),
			dead:     b.journal.dead.Copy(),
			items:    b.kv.items.Copy(),
			cache:    b.cache.Capture(),

			interactions: b.interactions.order.Copy(),
		}
		for _, sh := range b.sortedShards() {
			bc.pending = append(bc.pending, sh.pending.Copy())
		}
		c.bots = append(c.bots, bc)
	}
	return c
}

// Index returns the index of the last command in the captured state.
func (c *Capture) Index() uint64 { return c.index }

// Digest returns the digest of the captured state.
func (c *Capture) Digest() Digest { return c.digest }

// Release lets go of the captured caches. A WriteTo that runs still finishes;
// one that begins later fails.
func (c *Capture) Release() {
	for _, b := range c.bots {
		b.cache.Release()
	}
}

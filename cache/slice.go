package cache

import (
	"encoding/binary"

	"github.com/botnode/botnode/internal/jsonscan"
)

// Sliced is what one pass over an event's data finds.
type Sliced struct {
	// ID, Guild and Channel are d's id, guild_id and channel_id, 0 where it has
	// none.
	ID, Guild, Channel uint64
	// Slices says where in d the members are that Apply looks at. nil stands for
	// data that Apply has to look through itself.
	Slices []byte
}

// Slice looks through the data of an event once, on the node that reads it from
// Discord, so that no other node has to.
//
// The slices of an event are, for each known member in order: its place in
// fields (a byte), the distance from the end of the one before and its length
// (uvarints).
func Slice(d []byte) Sliced {
	var s Sliced
	out, end := make([]byte, 0, 64), 0
	add := func(f uint8, val []byte) {
		at := cap(d) - cap(val) // val is a part of d
		out = append(out, f)
		out = binary.AppendUvarint(out, uint64(at-end))
		out = binary.AppendUvarint(out, uint64(len(val)))
		end = at + len(val)
	}
	err := jsonscan.Fields(d, func(name, val []byte) bool {
		f, ok := fieldOf[string(name)]
		if !ok {
			return true
		}
		switch string(name) {
		case "id":
			s.ID = jsonscan.ID(val)
		case "guild_id":
			s.Guild = jsonscan.ID(val)
		case "channel_id":
			s.Channel = jsonscan.ID(val)
		case "author":
			id := jsonscan.Get(val, "id")
			if id == nil {
				id = val[:0] // of two authors, the last one counts
			}
			was := end
			add(authorIDField, id)
			end = was // it lies within the author, which follows
		}
		add(f, val)
		return true
	})
	if err == nil {
		s.Slices = out
	}
	return s
}

// take slices d as Slice found it. It returns false if the slices are none of
// d's; the event is then as it was before.
func (e *event) take(d, slices []byte) bool {
	if !e.slices(d, slices) {
		shard, total := e.shard, e.total
		e.clear()
		e.shard, e.total = shard, total
		return false
	}
	e.d = d
	return true
}

func (e *event) slices(d, slices []byte) bool {
	end := uint64(0)
	for len(slices) > 0 {
		f := slices[0]
		gap, n := binary.Uvarint(slices[1:])
		if n <= 0 || f == 0 || int(f) >= len(fields) {
			return false
		}
		size, m := binary.Uvarint(slices[1+n:])
		if m <= 0 || gap > uint64(len(d)) || size > uint64(len(d)) || end+gap+size > uint64(len(d)) {
			return false
		}
		at := end + gap
		e.set(f, d[at:at+size:at+size])
		if f != authorIDField {
			end = at + size
		}
		slices = slices[1+n+m:]
	}
	return true
}

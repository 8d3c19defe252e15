package cache

import "bytes"

// Bounds of repeats. A member with its user takes about 500 bytes in an event.
const (
	repeatSlots = 1 << 12
	repeatMost  = 2 << 10 // a longer object isn't remembered
)

// repeats remembers, for members and users, which bytes of an event a cached
// object was last found to cover. Every message shows its author, mostly in the
// bytes of the author's last message: comparing those is many times cheaper than
// reading two objects to find that nothing is new.
//
// It only answers what Covers would answer, so it changes no effect: it is no
// part of the state, is never saved, and may differ between nodes.
type repeats struct {
	slots []repeat // by a hash of the key; a later object takes an earlier one's slot
}

type repeat struct {
	k    key
	seq  uint64 // the write that stored the object: a later one voids the slot
	kind Kind
	obj  []byte
}

// slot returns where the object of k is remembered, or nil for a kind that
// isn't. What an object's event leaves out (skip) must follow from its kind.
func (r *repeats) slot(kind Kind, k key) *repeat {
	if kind != Members && kind != Users {
		return nil
	}
	if r.slots == nil {
		r.slots = make([]repeat, repeatSlots)
	}
	h := (k.a*0x9e3779b97f4a7c15 ^ k.b + uint64(kind)) * 0xbf58476d1ce4e5b9
	return &r.slots[h>>52]
}

// covered reports whether the object that was written as old is known to cover
// obj.
func (r *repeat) covered(kind Kind, k key, old rec, obj []byte) bool {
	return r != nil && r.seq == old.seq && r.k == k && r.kind == kind && bytes.Equal(r.obj, obj)
}

// remember notes that the object written at seq covers obj.
func (r *repeat) remember(kind Kind, k key, seq uint64, obj []byte) {
	if r == nil || len(obj) > repeatMost {
		return
	}
	r.kind, r.k, r.seq, r.obj = kind, k, seq, append(r.obj[:0], obj...)
}

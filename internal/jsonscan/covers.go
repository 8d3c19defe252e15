package jsonscan

import "bytes"

// Covers reports whether overlaying patch on base would change nothing: base has
// every member of patch that skip lets pass, with the same bytes. It is the
// cheap way out before a Merge, for the many events that repeat what is known.
//
// It may answer false where a Merge would change nothing after all (names
// written differently, duplicates in patch), never true where it would change
// something, provided that base holds no name twice, as Merge's results don't.
func Covers(base, patch []byte, skip func(key []byte) bool) bool {
	p, b := enter(patch), enter(base)
	for {
		raw, val, ok := p.next()
		if !ok {
			return p.err == nil && b.err == nil
		}
		if bytes.IndexByte(raw, '\\') >= 0 {
			return false
		}
		if skip != nil && skip(raw) {
			continue
		}
		have, ok := b.seek(base, raw)
		if !ok || !bytes.Equal(have, val) {
			return false
		}
	}
}

// seek returns the value of the next member of this name, going round once:
// Discord writes the same fields in the same order, so it is mostly the next.
func (m *members) seek(obj, name []byte) (val []byte, ok bool) {
	for range 2 {
		for {
			raw, val, more := m.next()
			if !more {
				break
			}
			if bytes.Equal(raw, name) {
				return val, true
			}
		}
		if m.err != nil {
			return nil, false
		}
		*m = enter(obj)
	}
	return nil, false
}

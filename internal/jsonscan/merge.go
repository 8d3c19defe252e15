package jsonscan

// inlineMembers is how many members of a patch are held on the stack and
// searched one by one. Discord's partial objects have fewer; a larger one costs
// allocations, but never time that is quadratic in its size.
const inlineMembers = 48

// member is one member of a patch.
type member struct {
	raw, val []byte
	used     bool // already written in the place of a member of base
	escaped  bool // raw isn't the name itself
}

// patchSet holds the members of a patch, once each with the last value. The
// short list is an array by value: a slice of one, stored through a pointer,
// would move it to the heap.
type patchSet struct {
	inline [inlineMembers]member
	n      int            // members in inline
	more   []member       // those after inline
	byName map[string]int // nil while more is empty
}

// len returns the number of members.
func (s *patchSet) len() int { return s.n + len(s.more) }

// at returns the i-th member.
func (s *patchSet) at(i int) *member {
	if i < inlineMembers {
		return &s.inline[i]
	}
	return &s.more[i-inlineMembers]
}

// Merge appends to dst the object base overlaid with the top-level members of
// patch: a member that both have keeps base's place and takes patch's value, a
// member that only patch has follows in patch's order, and nested values are
// replaced as a whole. skip, if not nil, names members of patch to leave out
// (guild_id, say). Members of base that patch doesn't name survive, known to us
// or not: partial updates must not lose fields that Discord adds later.
//
// A base that is no object counts as empty; a patch that is no object changes
// nothing. If neither is one, base is appended as it stands. dst must not share
// memory with base or patch.
func Merge(dst, base, patch []byte, skip func(key []byte) bool) []byte {
	var over patchSet
	patched := over.collect(patch, skip)
	start := len(dst)
	dst, based := over.overlay(append(dst, '{'), base)
	if !based && !patched {
		return append(dst[:start], base...)
	}
	if !based {
		dst = dst[:start+1]
	}
	for i := range over.len() {
		if m := over.at(i); !based || !m.used {
			dst = writeMember(dst, start, m.raw, m.val)
		}
	}
	return append(dst, '}')
}

// collect lists the members that skip lets pass. It returns false, and lists
// none, if patch isn't an object.
func (s *patchSet) collect(patch []byte, skip func(key []byte) bool) bool {
	m := enter(patch)
	for {
		raw, val, more := m.next()
		if !more {
			break
		}
		key, valid := unescaped(raw)
		if !valid {
			m.err = ErrSyntax
			break
		}
		if skip != nil && skip(key) {
			continue
		}
		if i := s.find(key); i >= 0 {
			s.at(i).val = val
			continue
		}
		s.add(key, member{raw: raw, val: val, escaped: len(key) != len(raw)})
	}
	if m.err != nil {
		s.n, s.more, s.byName = 0, nil, nil
	}
	return m.err == nil
}

// add appends a member, and indexes all of them once they are many.
func (s *patchSet) add(key []byte, m member) {
	if s.n < inlineMembers {
		s.inline[s.n] = m
		s.n++
		return
	}
	if s.byName == nil {
		s.byName = make(map[string]int, 4*inlineMembers)
		for i := range s.inline {
			s.byName[string(s.inline[i].name())] = i
		}
	}
	s.byName[string(key)] = s.len()
	s.more = append(s.more, m)
}

// find returns where the member of this name is, or -1.
func (s *patchSet) find(key []byte) int {
	if s.byName != nil {
		if i, ok := s.byName[string(key)]; ok {
			return i
		}
		return -1
	}
	for i := range s.n {
		m := &s.inline[i]
		if !m.escaped {
			if string(m.raw) == string(key) {
				return i
			}
		} else if string(m.name()) == string(key) {
			return i
		}
	}
	return -1
}

// name returns the member's name without escapes.
func (m *member) name() []byte {
	name, _ := unescaped(m.raw) // collect listed it, so it reads
	return name
}

// overlay writes base's members with the patch's values where it names them.
func (s *patchSet) overlay(dst, base []byte) (_ []byte, ok bool) {
	start := len(dst) - 1
	m := enter(base)
	for {
		raw, val, more := m.next()
		if !more {
			return dst, m.err == nil
		}
		key, valid := unescaped(raw)
		if !valid {
			return dst, false
		}
		if i := s.find(key); i >= 0 {
			m := s.at(i)
			if m.used {
				continue // a duplicate in base: its place is taken
			}
			m.used = true
			val = m.val
		}
		dst = writeMember(dst, start, raw, val)
	}
}

// writeMember appends one member to the object that opens at start.
func writeMember(dst []byte, start int, raw, val []byte) []byte {
	if len(dst) > start+1 {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, raw...)
	dst = append(dst, '"', ':')
	return append(dst, val...)
}

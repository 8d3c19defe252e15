package jsonscan

// members walks the members of one object. It is a cursor rather than a
// callback because Merge walks two objects at once.
type members struct {
	b   []byte
	i   int
	err error
	n   int // members yielded so far
}

// enter returns a cursor at the first member of the object in b.
func enter(b []byte) members {
	i := space(b, 0)
	switch {
	case i >= len(b):
		return members{err: ErrTruncated}
	case b[i] != '{':
		return members{err: ErrSyntax}
	}
	return members{b: b, i: i + 1}
}

// next returns the next member. ok is false at the end and after an error; the
// two are told apart by err. raw is the name between its quotes as it stands.
func (m *members) next() (raw, val []byte, ok bool) {
	if m.err != nil || m.b == nil {
		return nil, nil, false
	}
	more, i := separator(m.b, m.i, '}', m.n == 0)
	if !more {
		m.finish(i)
		return nil, nil, false
	}
	if i >= len(m.b) || m.b[i] != '"' {
		return m.fail(i)
	}
	end := stringEnd(m.b, i+1)
	if end < 0 {
		return m.fail(len(m.b))
	}
	raw = m.b[i+1 : end-1]
	if i = space(m.b, end); i >= len(m.b) || m.b[i] != ':' {
		return m.fail(i)
	}
	start := space(m.b, i+1)
	if m.i, m.err = valueEnd(m.b, start); m.err != nil {
		return nil, nil, false
	}
	m.n++
	return raw, m.b[start:m.i], true
}

// fail records why the byte at i can't stand there.
func (m *members) fail(i int) (raw, val []byte, ok bool) {
	m.err = ErrSyntax
	if i >= len(m.b) {
		m.err = ErrTruncated
	}
	return nil, nil, false
}

// finish ends the walk at i, the index after the closing bracket, or -1-i for an error at i.
func (m *members) finish(i int) {
	if i < 0 {
		m.fail(-1 - i)
		return
	}
	m.err = trailing(m.b, i)
	m.b = nil
}

// separator looks for what may follow an element at i: a comma (none before the
// first) or the closing bracket. It returns whether an element follows and
// where; if none does, the index after the bracket, or -1-i for an error at i.
func separator(b []byte, i int, closing byte, first bool) (more bool, at int) {
	i = space(b, i)
	switch {
	case i >= len(b):
		return false, -1 - i
	case b[i] == closing:
		return false, i + 1
	case first:
		return true, i
	case b[i] == ',':
		return true, space(b, i+1)
	}
	return false, -1 - i
}

// trailing reports bytes other than white space after the value that ends at i.
func trailing(b []byte, i int) error {
	if space(b, i) != len(b) {
		return ErrSyntax
	}
	return nil
}

// Fields calls yield for each top-level member of an object, in order and with
// duplicates, until yield returns false. key is the member's name: a slice of
// obj, or a fresh copy if it was written with escapes. val is the raw value.
// Members before a syntax error are yielded; the error follows.
func Fields(obj []byte, yield func(key, val []byte) bool) error {
	m := enter(obj)
	for {
		raw, val, ok := m.next()
		if !ok {
			return m.err
		}
		key, ok := unescaped(raw)
		if !ok {
			return ErrSyntax
		}
		if !yield(key, val) {
			return nil
		}
	}
}

// Elements calls yield for each raw element of an array, in order, until yield
// returns false. Elements before a syntax error are yielded; the error follows.
func Elements(arr []byte, yield func(val []byte) bool) error {
	i := space(arr, 0)
	if i >= len(arr) {
		return ErrTruncated
	}
	if arr[i] != '[' {
		return ErrSyntax
	}
	i++
	for first := true; ; first = false {
		more, at := separator(arr, i, ']', first)
		if !more && at < 0 {
			if -1-at >= len(arr) {
				return ErrTruncated
			}
			return ErrSyntax
		}
		if !more {
			return trailing(arr, at)
		}
		end, err := valueEnd(arr, at)
		if err != nil {
			return err
		}
		if !yield(arr[at:end]) {
			return nil
		}
		i = end
	}
}

// Get returns the raw value of a top-level member, or nil if there is none or
// obj is malformed. Of duplicates it returns the last, as encoding/json does.
func Get(obj []byte, key string) []byte {
	var found []byte
	m := enter(obj)
	for {
		raw, val, ok := m.next()
		if !ok {
			break
		}
		if named(raw, key) {
			found = val
		}
	}
	if m.err != nil {
		return nil
	}
	return found
}

// named reports whether a raw name, escaped or not, reads as key.
func named(raw []byte, key string) bool {
	if string(raw) == key {
		return true
	}
	// An escaped name is longer than what it stands for.
	if len(raw) <= len(key) {
		return false
	}
	name, ok := unescaped(raw)
	return ok && len(name) != len(raw) && string(name) == key
}

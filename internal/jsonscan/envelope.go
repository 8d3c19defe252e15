package jsonscan

import "bytes"

// Env is the envelope of a gateway payload (developers/events/gateway-events.mdx,
// "Payload Structure"). Its slices are slices of the frame.
type Env struct {
	Op     int    // -1 if the frame has none
	Seq    int64  // meaningful only if HasSeq
	HasSeq bool   // false if s is absent or null
	Type   []byte // t without its quotes; nil if absent or null
	Data   []byte // raw d; nil if absent
}

// Envelope slices a gateway frame in one pass. Members that it doesn't know are
// skipped; a known member of the wrong type is ErrSyntax.
func Envelope(frame []byte) (Env, error) {
	env := Env{Op: -1}
	m := enter(frame)
	for {
		raw, val, ok := m.next()
		if !ok {
			return env, m.err
		}
		// Only a name with escapes can be longer and still be one of ours.
		if len(raw) > 2 && bytes.IndexByte(raw, '\\') < 0 {
			continue
		}
		if err := env.set(raw, val); err != nil {
			return Env{Op: -1}, err
		}
	}
}

// set stores one member of the envelope.
func (e *Env) set(raw, val []byte) error {
	switch {
	case named(raw, "op"):
		n, ok := Int(val)
		if !ok || n < 0 || n > 1<<20 {
			return ErrSyntax
		}
		e.Op = int(n)
	case named(raw, "s"):
		n, ok := Int(val)
		if !ok && !IsNull(val) {
			return ErrSyntax
		}
		e.Seq, e.HasSeq = n, ok
	case named(raw, "t"):
		e.Type = nil
		if IsNull(val) {
			return nil
		}
		if len(val) < 2 || val[0] != '"' {
			return ErrSyntax
		}
		name, ok := unescaped(val[1 : len(val)-1])
		if !ok {
			return ErrSyntax
		}
		e.Type = name
	case named(raw, "d"):
		e.Data = val
	}
	return nil
}

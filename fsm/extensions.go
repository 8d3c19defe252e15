package fsm

// What was added to the state since its first format stands behind it, each part
// under a number of its own, and only where there is something: a state that
// doesn't use it has the bytes and the digest that it had before.

// The numbers of the extensions. They are never reused.
const (
	extensionTrust       uint64 = 1
	extensionAdminTokens uint64 = 2
	extensionBotTokens   uint64 = 3
	extensionAgreed      uint64 = 4
	extensionEnded       uint64 = 5
)

// extensions lists what stands behind the small part of the state, by number.
func (s *State) extensions() []extension {
	return []extension{
		{extensionTrust, s.trust.Rev > 0, s.trust.encode, s.trust.decode},
		{extensionAdminTokens, s.adminTokens.Rev > 0, s.adminTokens.encode, s.adminTokens.decode},
		{extensionBotTokens, len(s.botTokens.byBot) > 0, s.botTokens.encode, s.botTokens.decode},
		{extensionAgreed, s.agreed.Index > 0, s.agreed.encode, s.agreed.decode},
		{extensionEnded, s.anyEnded(), s.encodeEnded, s.decodeEnded},
	}
}

type extension struct {
	number uint64
	used   bool
	encode func(*writer)
	decode func(*reader)
}

func (s *State) encodeExtensions(w *writer) {
	for _, x := range s.extensions() {
		if !x.used {
			continue
		}
		var part writer
		x.encode(&part)
		w.uint(x.number)
		w.bytes(part.b)
	}
}

func (s *State) decodeExtensions(r *reader) {
	known := s.extensions()
	for len(r.b) > 0 && r.err == nil {
		number := r.uint()
		part := reader{b: r.bytes()}
		for len(known) > 0 && known[0].number < number {
			known = known[1:]
		}
		if len(known) == 0 || known[0].number != number {
			r.fail("a part that this version doesn't know, or that is out of order: upgrade this node")
			return
		}
		known[0].decode(&part)
		known = known[1:]
		if err := part.end(); err != nil && r.err == nil {
			r.err = err
		}
	}
}

package fsm

import "strings"

// Rights say what the holder of a client key may do at the proxy.
type Rights uint8

// The rights of a client key.
const (
	// RightEvents lets a client open gateway sessions.
	RightEvents Rights = 1 << iota
	// RightREST lets a client send any request.
	RightREST
	// RightRead lets a client send requests that change nothing: GET and HEAD.
	RightRead

	allRights = RightEvents | RightREST | RightRead
)

// rightNames are the names of the rights, as operators write them.
var rightNames = []struct {
	name  string
	right Rights
}{{"events", RightEvents}, {"rest", RightREST}, {"read", RightRead}}

// Has reports whether all of want are among the rights.
func (r Rights) Has(want Rights) bool { return r&want == want }

// String names the rights, with commas between.
func (r Rights) String() string {
	var names []string
	for _, n := range rightNames {
		if r.Has(n.right) {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ",")
}

// ParseRights reads what String writes; an unknown name is reported with ok false.
func ParseRights(s string) (r Rights, ok bool) {
next:
	for word := range strings.SplitSeq(s, ",") {
		for _, n := range rightNames {
			if strings.TrimSpace(word) == n.name {
				r |= n.right
				continue next
			}
		}
		return 0, false
	}
	return r, true
}

// ClientKey is what clients of the proxy show instead of the bot's token. The
// key itself is nowhere: the state has its hash.
type ClientKey struct {
	Name   string
	Hash   [32]byte // SHA-256 of the key
	Rights Rights
	At     int64 // when it was made, Unix milliseconds by its maker's clock
}

// The limits of client keys.
const (
	MaxClientKeys    = 1000 // of a bot
	MaxClientKeyName = 64   // bytes
)

// PutClientKey makes a client key known. Without RightEvents it ends the sessions
// that were opened with the key.
//
// Guard: the bot exists, and no key has the name or the hash, but for this very
// one, whose rights may be changed. A late repeat may bring back a key that was
// dropped since, so At is part of the guard: a name remembers the newest At that
// it was dropped with.
type PutClientKey struct {
	Bot string
	Key ClientKey
}

// Kind implements Command.
func (*PutClientKey) Kind() Kind { return KindPutClientKey }

func (c *PutClientKey) encode(w *writer) { w.string(c.Bot); c.Key.encode(w) }
func (c *PutClientKey) decode(r *reader) { c.Bot = r.string(); c.Key.decode(r) }

func (k *ClientKey) encode(w *writer) {
	w.string(k.Name)
	w.bytes(k.Hash[:])
	w.byte(byte(k.Rights))
	w.int(k.At)
}

func (k *ClientKey) decode(r *reader) {
	k.Name = r.string()
	r.hash(&k.Hash)
	k.Rights, k.At = Rights(r.byte()), r.int()
}

func (c *PutClientKey) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	k := c.Key
	switch had, ok := b.clients.keys[k.Name]; {
	case len(k.Name) == 0 || len(k.Name) > MaxClientKeyName:
		return refused("a client key's name has 1 to 64 bytes")
	case k.Rights == 0 || k.Rights&^allRights != 0:
		return refused("a client key needs rights: events, rest, read")
	case ok && had.Hash != k.Hash:
		return Result{Code: Conflict, Msg: "there is a client key of that name; revoke it first"}
	case !ok && k.At <= b.clients.dropped[k.Name]:
		return Result{Code: Old, Msg: "a client key of that name was revoked since"}
	case !ok && len(b.clients.keys) >= MaxClientKeys:
		return refused("a bot has at most 1000 client keys; revoke some")
	}
	if other, ok := b.ClientKeyOf(k.Hash); ok && other.Name != k.Name {
		return Result{Code: Conflict, Msg: "another client key has that hash"}
	}
	b.clients.putKey(k)
	if !k.Rights.Has(RightEvents) && s.since(rulesRightsEnd) {
		b.clients.drop(s, func(cs *ClientSession) bool { return cs.Key == k.Name })
	}
	return Result{}
}

// putKey keeps keys and their index together.
func (c *clients) putKey(k ClientKey) {
	c.keys[k.Name] = k
	c.byHash[k.Hash] = k.Name
}

// DropClientKey revokes a client key and ends the sessions that were opened with
// it.
//
// Guard: the key is known under its name and hash. A late repeat thus finds a
// key that came after it to be another.
type DropClientKey struct {
	Bot  string
	Name string
	Hash [32]byte
}

// Kind implements Command.
func (*DropClientKey) Kind() Kind { return KindDropClientKey }

func (c *DropClientKey) encode(w *writer) { w.string(c.Bot); w.string(c.Name); w.bytes(c.Hash[:]) }

func (c *DropClientKey) decode(r *reader) {
	c.Bot, c.Name = r.string(), r.string()
	r.hash(&c.Hash)
}

func (c *DropClientKey) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	k, ok := b.clients.keys[c.Name]
	if !ok || k.Hash != c.Hash {
		return Result{Code: Old, Msg: "there is no such client key"}
	}
	delete(b.clients.keys, c.Name)
	delete(b.clients.byHash, c.Hash)
	b.clients.dropped[c.Name] = max(k.At, b.clients.dropped[c.Name])
	b.clients.trimDropped()
	b.clients.drop(s, func(cs *ClientSession) bool { return cs.Key == c.Name })
	if len(b.clients.keys) == 0 {
		b.interactions = newInteractions() // nobody is left to answer them
	}
	return Result{}
}

// trimDropped bounds what is remembered of names that are gone: the oldest go.
func (c *clients) trimDropped() {
	for len(c.dropped) > MaxClientKeys {
		oldest := ""
		for _, name := range sortedNames(c.dropped) {
			if oldest == "" || c.dropped[name] < c.dropped[oldest] {
				oldest = name
			}
		}
		delete(c.dropped, oldest)
	}
}

// ClientKeys returns the client keys of a bot by name.
func (b *Bot) ClientKeys() []ClientKey {
	out := make([]ClientKey, 0, len(b.clients.keys))
	for _, name := range sortedNames(b.clients.keys) {
		out = append(out, b.clients.keys[name])
	}
	return out
}

// ClientKeyOf returns the client key with a hash. How long that takes says
// nothing of the key: a hash can't be chosen.
func (b *Bot) ClientKeyOf(hash [32]byte) (ClientKey, bool) {
	name, ok := b.clients.byHash[hash]
	if !ok {
		return ClientKey{}, false
	}
	return b.clients.keys[name], true
}

// AnyClientKey reports whether one of the bot's client keys has rights.
func (b *Bot) AnyClientKey(want Rights) bool {
	for _, k := range b.clients.keys {
		if k.Rights.Has(want) {
			return true
		}
	}
	return false
}

// ClientKeyNamed returns the client key of a name.
func (b *Bot) ClientKeyNamed(name string) (ClientKey, bool) {
	k, ok := b.clients.keys[name]
	return k, ok
}

// NextClientKeyAt returns the At that a new key of a name needs at least: more
// than that of the last one which was revoked, whatever the clocks say.
func (b *Bot) NextClientKeyAt(name string) int64 { return b.clients.dropped[name] + 1 }

package fsm

import (
	"maps"
	"slices"
	"strings"
)

// AdminRight says what the holder of an admin token may do at the admin API. Each
// has what the ones before it have.
type AdminRight uint8

// The rights of an admin token.
const (
	// AdminRead lets its holder look at what is no secret.
	AdminRead AdminRight = iota + 1
	// AdminOperate lets its holder run the cluster, too: move, drain, configure.
	AdminOperate
	// AdminAll lets its holder do everything: hand out secrets, change them, and
	// change for good who belongs to the cluster.
	AdminAll
)

// adminRightNames are the names of the rights, as operators write them.
var adminRightNames = [...]string{AdminRead: "read", AdminOperate: "operator", AdminAll: "admin"}

// String returns the right's name.
func (r AdminRight) String() string {
	if int(r) < len(adminRightNames) {
		return adminRightNames[r]
	}
	return "unknown"
}

// Covers reports whether the right has all of another.
func (r AdminRight) Covers(want AdminRight) bool { return r >= want }

// ParseAdminRight reads what String writes.
func ParseAdminRight(name string) (AdminRight, bool) {
	i := slices.Index(adminRightNames[:], name)
	if i <= 0 {
		return 0, false
	}
	return AdminRight(i), true //nolint:gosec // one of three
}

// AdminToken is what operators and their tools show the admin API. The token
// itself is nowhere: the state has its hash.
type AdminToken struct {
	Name    string
	Hash    [32]byte // SHA-256 of its secret
	Right   AdminRight
	At      int64 // when it was made, Unix milliseconds by its maker's clock
	Expires int64 // Unix milliseconds, compared with the clock of the node that is asked; 0 for never
}

// The limits of admin tokens.
const (
	MaxAdminTokens    = 1000
	MaxAdminTokenName = 64 // bytes
)

// AdminTokens are the cluster's admin tokens. While there is any, expired ones
// too, every request to the admin API needs one.
type AdminTokens struct {
	// Rev counts their changes.
	Rev    uint64
	byName map[string]AdminToken
}

// AdminTokens returns the cluster's admin tokens.
func (s *State) AdminTokens() *AdminTokens { return &s.adminTokens }

// Any reports whether there are any.
func (t *AdminTokens) Any() bool { return len(t.byName) > 0 }

// Token returns the admin token of a name.
func (t *AdminTokens) Token(name string) (AdminToken, bool) {
	k, ok := t.byName[name]
	return k, ok
}

// List returns the admin tokens by name.
func (t *AdminTokens) List() []AdminToken {
	out := make([]AdminToken, 0, len(t.byName))
	for _, name := range sortedKeys(t.byName, strings.Compare) {
		out = append(out, t.byName[name])
	}
	return out
}

// keysLeft reports whether somebody could still make and revoke tokens, if the
// named one were gone: somebody has all rights, and for good, or everybody has.
func (t *AdminTokens) keysLeft(without string) bool {
	for name, k := range t.byName {
		if name != without && k.Right == AdminAll && k.Expires == 0 {
			return true
		}
	}
	return len(t.byName) == 0 || len(t.byName) == 1 && without != ""
}

func (t *AdminTokens) clone() AdminTokens {
	return AdminTokens{Rev: t.Rev, byName: maps.Clone(t.byName)}
}

func (t *AdminTokens) encode(w *writer) {
	w.uint(t.Rev)
	w.uint(uint64(len(t.byName)))
	for _, name := range sortedNames(t.byName) {
		k := t.byName[name]
		k.encode(w)
	}
}

func (t *AdminTokens) decode(r *reader) {
	t.Rev = r.uint()
	for range r.count(36) {
		var k AdminToken
		k.decode(r)
		t.byName[k.Name] = k
	}
}

func (k *AdminToken) encode(w *writer) {
	w.string(k.Name)
	w.bytes(k.Hash[:])
	w.byte(byte(k.Right))
	w.int(k.At)
	w.int(k.Expires)
}

func (k *AdminToken) decode(r *reader) {
	k.Name = r.string()
	r.hash(&k.Hash)
	k.Right, k.At, k.Expires = AdminRight(r.byte()), r.int(), r.int()
}

// PutAdminToken makes an admin token known.
//
// Guard: the revision is that of the admin tokens, so that a late repeat brings no
// token back that was revoked since; and no other has the name. The first one has
// all rights and doesn't expire: nobody could make another otherwise.
type PutAdminToken struct {
	Rev   uint64
	Token AdminToken
}

// Kind implements Command.
func (*PutAdminToken) Kind() Kind { return KindPutAdminToken }

func (c *PutAdminToken) encode(w *writer) { w.uint(c.Rev); c.Token.encode(w) }
func (c *PutAdminToken) decode(r *reader) { c.Rev = r.uint(); c.Token.decode(r) }

func (c *PutAdminToken) apply(s *State) Result {
	t, k := &s.adminTokens, c.Token
	had, known := t.byName[k.Name]
	switch {
	case k.Name == "" || len(k.Name) > MaxAdminTokenName:
		return refused("an admin token's name has 1 to 64 bytes")
	case k.Right < AdminRead || k.Right > AdminAll:
		return refused("an admin token has one of the rights read, operator and admin")
	case known && had == k:
		return Result{Code: Old, Version: t.Rev}
	case known:
		return Result{Code: Conflict, Version: t.Rev, Msg: "there is an admin token of that name; revoke it first"}
	case c.Rev != t.Rev:
		return Result{Code: Conflict, Version: t.Rev, Msg: "another admin token came or went meanwhile; try again"}
	case !t.Any() && (k.Right != AdminAll || k.Expires != 0):
		return refused("the first admin token has the right admin and doesn't expire: from then on every request needs a token, and somebody must be able to make more")
	case len(t.byName) >= MaxAdminTokens:
		return refused("there are 1000 admin tokens; revoke some")
	}
	t.byName[k.Name] = k
	t.Rev++
	return Result{Version: t.Rev}
}

// DropAdminToken revokes an admin token.
//
// Guard: it is known under its name and hash. While others stay, so does one that
// has all rights and doesn't expire.
type DropAdminToken struct {
	Name string
	Hash [32]byte
}

// Kind implements Command.
func (*DropAdminToken) Kind() Kind { return KindDropAdminToken }

func (c *DropAdminToken) encode(w *writer) { w.string(c.Name); w.bytes(c.Hash[:]) }
func (c *DropAdminToken) decode(r *reader) { c.Name = r.string(); r.hash(&c.Hash) }

func (c *DropAdminToken) apply(s *State) Result {
	t := &s.adminTokens
	k, ok := t.byName[c.Name]
	switch {
	case !ok || k.Hash != c.Hash:
		return Result{Code: Old, Version: t.Rev, Msg: "there is no such admin token"}
	case !t.keysLeft(c.Name):
		return refused("it is the last admin token that has all rights for good; revoke the others first, or make another")
	}
	delete(t.byName, c.Name)
	t.Rev++
	return Result{Version: t.Rev}
}

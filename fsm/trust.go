package fsm

import (
	"maps"
	"slices"
	"strings"
)

// Trust is what the cluster agrees on about its nodes' certificates and about
// the secret that they share. Keys stand in it sealed alone: what opens them is
// on the nodes' own disks. It is empty in a cluster without TLS.
type Trust struct {
	// Rev counts its changes.
	Rev uint64
	// Epoch is that of the secret and of the authority in use; 0 without TLS.
	Epoch uint64
	// Next is the epoch that a rotation brings, 0 while there is none. It is in
	// use once every member holds its secret; what was before goes once every
	// member has a certificate of its authority.
	Next uint64
	// Authorities are those whose certificates are believed, by epoch.
	Authorities []Authority
	// Secret is that of Next, sealed under the one before it; empty without a rotation.
	Secret SealedSecret
	// Enrolments counts the admissions that there were.
	Enrolments uint64
	members    map[string]Member
	tokens     map[string]JoinToken
}

// Authority signs nodes' certificates.
type Authority struct {
	Epoch uint64
	Cert  []byte // X.509, DER
	Key   []byte // sealed under the secret of Epoch
}

// SealedSecret is a version of the cluster's secret that the holders of the one
// before it can open.
type SealedSecret struct {
	Epoch, Under uint64
	Box          []byte
}

// Member is a node that has a certificate.
type Member struct {
	Enrolment uint64 // the number of its admission, which its certificates carry
	Holds     uint64 // the newest epoch whose secret it holds and whose authority it believes
	Cert      uint64 // the epoch of the authority that signed its certificate
	NotAfter  int64  // of its certificate, Unix seconds
}

// JoinToken lets a machine get a certificate. The token itself is nowhere: the
// state has its hash.
type JoinToken struct {
	ID      string
	Hash    [32]byte // SHA-256 of its secret
	Expires int64    // Unix milliseconds, compared with the clock of the node that is asked
	Used    uint64   // how many nodes were admitted with it
}

// The limits of what the cluster trusts.
const (
	MaxJoinTokens = 100
	maxMembers    = 1000
)

func newTrust() Trust {
	return Trust{members: make(map[string]Member), tokens: make(map[string]JoinToken)}
}

// Trust returns what the cluster agrees on about certificates and secrets. Its
// slices are never changed in place.
func (s *State) Trust() *Trust { return &s.trust }

// Member returns what is known of a node's certificate.
func (t *Trust) Member(id string) (Member, bool) {
	m, ok := t.members[id]
	return m, ok
}

// Members returns the ids of the nodes that have a certificate, sorted.
func (t *Trust) Members() []string { return sortedKeys(t.members, strings.Compare) }

// JoinTokens returns the join tokens by id.
func (t *Trust) JoinTokens() []JoinToken {
	out := make([]JoinToken, 0, len(t.tokens))
	for _, id := range sortedNames(t.tokens) {
		out = append(out, t.tokens[id])
	}
	return out
}

// JoinToken returns the join token of an id.
func (t *Trust) JoinToken(id string) (JoinToken, bool) {
	k, ok := t.tokens[id]
	return k, ok
}

// Revoked reports whether the certificates that a node got by an enrolment are
// refused: the node was removed, or its id was admitted anew. An enrolment that
// this state doesn't know yet isn't: the node that lags may need it to catch up.
func (t *Trust) Revoked(id string, enrolment uint64) bool {
	return enrolment <= t.Enrolments && t.members[id].Enrolment != enrolment
}

// Authority returns the authority in use; zero without TLS.
func (t *Trust) Authority() Authority {
	for _, a := range t.Authorities {
		if a.Epoch == t.Epoch {
			return a
		}
	}
	return Authority{}
}

// drop makes all certificates of a node void. It reports whether there were any.
func (t *Trust) drop(id string) bool {
	if _, ok := t.members[id]; !ok {
		return false
	}
	delete(t.members, id)
	t.changed()
	return true
}

// keep makes the certificates of all but a few members void, and the join tokens.
func (t *Trust) keep(ids []string) {
	if t.Rev == 0 {
		return
	}
	for _, id := range t.Members() {
		if !slices.Contains(ids, id) {
			t.drop(id)
		}
	}
	clear(t.tokens)
	t.changed()
}

// changed ends every change: it takes the steps of a rotation that nothing
// stands in the way of any more.
func (t *Trust) changed() {
	t.Rev++
	if t.Next == 0 {
		return
	}
	holds, certs := t.Next, t.Next
	for _, m := range t.members {
		holds, certs = min(holds, m.Holds), min(certs, m.Cert)
	}
	if holds == t.Next {
		t.Epoch = t.Next
	}
	if t.Epoch == t.Next && certs == t.Next {
		t.Authorities = slices.DeleteFunc(slices.Clone(t.Authorities), func(a Authority) bool { return a.Epoch < t.Next })
		t.Secret, t.Next = SealedSecret{}, 0
	}
}

// Transplant makes s, the state of a backup, one of the cluster whose state is
// now: what it knows of itself, of its nodes' certificates, of its secrets and of
// who may command it goes on, and what was sealed with another cluster's secret
// goes. Positions and versions go on above both states': whoever holds one would
// take what comes for what it has.
func (s *State) Transplant(now *State) {
	for name, b := range s.bots {
		if had := now.bots[name]; had != nil {
			b.LastPos, b.kv.rev = max(b.LastPos, had.LastPos), max(b.kv.rev, had.kv.rev)
		}
	}
	s.trust, s.agreed = now.trust, now.agreed
	s.Rules = max(s.Rules, now.Rules) // all nodes know those
	s.trust.members, s.trust.tokens = maps.Clone(now.trust.members), maps.Clone(now.trust.tokens)
	s.adminTokens, s.botTokens = now.adminTokens.clone(), now.botTokens.clone()
}

// Standing changes with all of a state that Transplant takes over and that
// somebody counts on: between the two, a key may be replaced or a token revoked.
type Standing struct{ Generation, Rules, Trust, AdminTokens, BotTokens uint64 }

// Standing returns the state's.
func (s *State) Standing() Standing {
	st := Standing{Generation: s.Generation, Rules: s.Rules, Trust: s.trust.Rev, AdminTokens: s.adminTokens.Rev}
	for _, t := range s.botTokens.byBot {
		st.BotTokens += t.Rev
	}
	return st
}

func (t *Trust) encode(w *writer) {
	w.uint(t.Rev)
	w.uint(t.Epoch)
	w.uint(t.Next)
	w.uint(uint64(len(t.Authorities)))
	for _, a := range t.Authorities {
		a.encode(w)
	}
	t.Secret.encode(w)
	w.uint(t.Enrolments)
	w.uint(uint64(len(t.members)))
	for _, id := range sortedNames(t.members) {
		m := t.members[id]
		w.string(id)
		w.uint(m.Enrolment)
		w.uint(m.Holds)
		w.uint(m.Cert)
		w.int(m.NotAfter)
	}
	w.uint(uint64(len(t.tokens)))
	for _, id := range sortedNames(t.tokens) {
		k := t.tokens[id]
		k.encode(w)
		w.uint(k.Used)
	}
}

func (t *Trust) decode(r *reader) {
	t.Rev, t.Epoch, t.Next = r.uint(), r.uint(), r.uint()
	for range r.count(3) {
		var a Authority
		a.decode(r)
		t.Authorities = append(t.Authorities, a)
	}
	t.Secret.decode(r)
	t.Enrolments = r.uint()
	for range r.count(5) {
		id := r.string()
		t.members[id] = Member{Enrolment: r.uint(), Holds: r.uint(), Cert: r.uint(), NotAfter: r.int()}
	}
	for range r.count(35) {
		var k JoinToken
		k.decode(r)
		k.Used = r.uint()
		t.tokens[k.ID] = k
	}
}

func (a *Authority) encode(w *writer) { w.uint(a.Epoch); w.bytes(a.Cert); w.bytes(a.Key) }
func (a *Authority) decode(r *reader) { a.Epoch, a.Cert, a.Key = r.uint(), r.bytes(), r.bytes() }

func (s *SealedSecret) encode(w *writer) { w.uint(s.Epoch); w.uint(s.Under); w.bytes(s.Box) }
func (s *SealedSecret) decode(r *reader) { s.Epoch, s.Under, s.Box = r.uint(), r.uint(), r.bytes() }

// encode leaves Used out: a command has no say in it.
func (k *JoinToken) encode(w *writer) {
	w.string(k.ID)
	w.bytes(k.Hash[:])
	w.int(k.Expires)
}

func (k *JoinToken) decode(r *reader) {
	k.ID = r.string()
	r.hash(&k.Hash)
	k.Expires = r.int()
}

package fsm

import "slices"

// noTrust refuses what needs certificates in a cluster that has none.
var noTrust = refused("the cluster has no TLS between its nodes")

// Charter brings in the authority of a new cluster and its founder.
//
// Guard: there is none yet.
type Charter struct {
	Node      string
	Authority Authority
	NotAfter  int64 // of the founder's certificate, Unix seconds
}

// Kind implements Command.
func (*Charter) Kind() Kind { return KindCharter }

func (c *Charter) encode(w *writer) { w.string(c.Node); c.Authority.encode(w); w.int(c.NotAfter) }
func (c *Charter) decode(r *reader) {
	c.Node = r.string()
	c.Authority.decode(r)
	c.NotAfter = r.int()
}

func (c *Charter) apply(s *State) Result {
	t := &s.trust
	switch {
	case t.Epoch != 0:
		return Result{Code: Old}
	case c.Node == "" || c.Authority.Epoch == 0 || len(c.Authority.Cert) == 0:
		return refused("a charter needs a founder and an authority")
	}
	t.Epoch, t.Authorities, t.Enrolments = c.Authority.Epoch, []Authority{c.Authority}, 1
	t.members[c.Node] = Member{Enrolment: 1, Holds: t.Epoch, Cert: t.Epoch, NotAfter: c.NotAfter}
	t.changed()
	return Result{}
}

// PutJoinToken makes a join token known, and forgets those that have expired.
//
// Guard: the revision is that of the trust, so that a late repeat brings no
// token back that was revoked since.
type PutJoinToken struct {
	Rev   uint64
	Token JoinToken
	Now   int64 // by the proposer's clock, Unix milliseconds
}

// Kind implements Command.
func (*PutJoinToken) Kind() Kind { return KindPutJoinToken }

func (c *PutJoinToken) encode(w *writer) { w.uint(c.Rev); c.Token.encode(w); w.int(c.Now) }
func (c *PutJoinToken) decode(r *reader) {
	c.Rev = r.uint()
	c.Token.decode(r)
	c.Now = r.int()
}

func (c *PutJoinToken) apply(s *State) Result {
	t := &s.trust
	had, known := t.tokens[c.Token.ID]
	switch {
	case t.Epoch == 0:
		return noTrust
	case known && had.Hash == c.Token.Hash:
		return Result{Code: Old}
	case c.Rev != t.Rev || known:
		return Result{Code: Conflict, Version: t.Rev, Msg: "something else changed meanwhile; try again"}
	case c.Token.ID == "":
		return refused("a join token needs an id")
	}
	for _, id := range sortedNames(t.tokens) {
		if t.tokens[id].Expires <= c.Now {
			delete(t.tokens, id)
		}
	}
	if len(t.tokens) >= MaxJoinTokens {
		return refused("there are 100 join tokens that haven't expired; revoke some")
	}
	c.Token.Used = 0
	t.tokens[c.Token.ID] = c.Token
	t.changed()
	return Result{}
}

// DropJoinToken revokes a join token. Nodes that were admitted with it stay.
type DropJoinToken struct{ ID string }

// Kind implements Command.
func (*DropJoinToken) Kind() Kind { return KindDropJoinToken }

func (c *DropJoinToken) encode(w *writer) { w.string(c.ID) }
func (c *DropJoinToken) decode(r *reader) { c.ID = r.string() }

func (c *DropJoinToken) apply(s *State) Result {
	t := &s.trust
	if _, ok := t.tokens[c.ID]; !ok {
		return Result{Code: Old, Msg: "there is no such join token"}
	}
	delete(t.tokens, c.ID)
	t.changed()
	return Result{}
}

// Enrol admits a node: from here on its certificate is good. It is proposed by
// the node that signed it, which hands it out once this has taken effect.
//
// Guard: the join token is known and hasn't expired by the signer's clock; no
// process of that id is up; the authority is in force; and the enrolment is the
// next one. What an earlier node of that id got is void.
type Enrol struct {
	Token     string // the id of the join token
	Node      string
	Enrolment uint64 // as the certificate says
	Holds     uint64 // the newest epoch whose secret goes with the certificate
	Cert      uint64 // the epoch of its authority
	NotAfter  int64  // Unix seconds
	Now       int64  // by the signer's clock, Unix milliseconds
}

// Kind implements Command.
func (*Enrol) Kind() Kind { return KindEnrol }

func (c *Enrol) encode(w *writer) {
	w.string(c.Token)
	w.string(c.Node)
	w.uint(c.Enrolment)
	w.uint(c.Holds)
	w.uint(c.Cert)
	w.int(c.NotAfter)
	w.int(c.Now)
}

func (c *Enrol) decode(r *reader) {
	c.Token, c.Node, c.Enrolment, c.Holds, c.Cert = r.string(), r.string(), r.uint(), r.uint(), r.uint()
	c.NotAfter, c.Now = r.int(), r.int()
}

func (c *Enrol) apply(s *State) Result {
	t := &s.trust
	token, known := t.tokens[c.Token]
	had, member := t.members[c.Node]
	switch {
	case t.Epoch == 0:
		return noTrust
	case member && had.Enrolment == c.Enrolment:
		return Result{Code: Old}
	case !known || token.Expires <= c.Now:
		return refused("the join token has expired or was revoked")
	case s.nodes[c.Node] != nil && s.nodes[c.Node].Up:
		return refused("a node of that id is up")
	case c.Node == "":
		return refused("a node needs an id")
	case c.Enrolment != t.Enrolments+1 || c.Cert != t.Epoch:
		return Result{Code: Conflict, Version: t.Rev, Msg: "something else changed meanwhile; try again"}
	case !member && len(t.members) >= maxMembers:
		return refused("there are too many nodes with certificates; remove those that are gone")
	}
	if member {
		t.revoke(c.Node, had.Enrolment)
	}
	t.Enrolments = c.Enrolment
	t.members[c.Node] = Member{Enrolment: c.Enrolment, Holds: c.Holds, Cert: c.Cert, NotAfter: c.NotAfter}
	token.Used++
	t.tokens[c.Token] = token
	t.changed()
	return Result{}
}

// Hold reports what a node has on its disk: the secrets and authorities up to an
// epoch, and a certificate.
//
// Guard: the node is a member by that enrolment. Epochs don't fall.
type Hold struct {
	Node      string
	Enrolment uint64
	Holds     uint64
	Cert      uint64
	NotAfter  int64 // Unix seconds
}

// Kind implements Command.
func (*Hold) Kind() Kind { return KindHold }

func (c *Hold) encode(w *writer) {
	w.string(c.Node)
	w.uint(c.Enrolment)
	w.uint(c.Holds)
	w.uint(c.Cert)
	w.int(c.NotAfter)
}

func (c *Hold) decode(r *reader) {
	c.Node, c.Enrolment, c.Holds, c.Cert, c.NotAfter = r.string(), r.uint(), r.uint(), r.uint(), r.int()
}

func (c *Hold) apply(s *State) Result {
	t := &s.trust
	m, ok := t.members[c.Node]
	newest := max(t.Epoch, t.Next)
	next := Member{Enrolment: m.Enrolment, Holds: max(m.Holds, c.Holds), Cert: max(m.Cert, c.Cert), NotAfter: max(m.NotAfter, c.NotAfter)}
	switch {
	case !ok || m.Enrolment != c.Enrolment:
		return refused("the node has no certificate by that enrolment")
	case c.Holds > newest || c.Cert > newest:
		return refused("an epoch that there isn't yet")
	case next == m:
		return Result{Code: Old}
	}
	t.members[c.Node] = next
	t.changed()
	return Result{}
}

// Rotate begins the replacement of the cluster's secret and of its authority.
//
// Guard: the revision is that of the trust, and no rotation is going on.
type Rotate struct {
	Rev       uint64
	Authority Authority
	Secret    SealedSecret
}

// Kind implements Command.
func (*Rotate) Kind() Kind { return KindRotate }

func (c *Rotate) encode(w *writer) { w.uint(c.Rev); c.Authority.encode(w); c.Secret.encode(w) }
func (c *Rotate) decode(r *reader) {
	c.Rev = r.uint()
	c.Authority.decode(r)
	c.Secret.decode(r)
}

func (c *Rotate) apply(s *State) Result {
	t := &s.trust
	switch {
	case t.Epoch == 0:
		return noTrust
	case t.Next != 0 && t.Next == c.Authority.Epoch && string(t.Secret.Box) == string(c.Secret.Box):
		return Result{Code: Old}
	case c.Rev != t.Rev:
		return Result{Code: Conflict, Version: t.Rev, Msg: "something else changed meanwhile; try again"}
	case t.Next != 0:
		return refused("a rotation is going on; `botnode tls status` shows what it waits for")
	case c.Authority.Epoch != t.Epoch+1 || c.Secret.Epoch != t.Epoch+1 || c.Secret.Under != t.Epoch:
		return refused("the epoch isn't the next one")
	}
	t.Next, t.Secret = c.Authority.Epoch, c.Secret
	t.Authorities = append(slices.Clip(t.Authorities), c.Authority)
	t.changed()
	return Result{}
}

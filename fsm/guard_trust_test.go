package fsm

func trustCases() []guardCase {
	charter := &Charter{Node: "joe", Authority: Authority{Epoch: 1, Cert: []byte("c1"), Key: []byte("k1")}, NotAfter: 10}
	token := &PutJoinToken{Rev: 1, Token: JoinToken{ID: "t", Hash: [32]byte{1}, Expires: 100}, Now: 1}
	enrol := &Enrol{Token: "t", Node: "robert", Enrolment: 2, Holds: 1, Cert: 1, NotAfter: 10, Now: 50}
	rotate := &Rotate{Rev: 3, Authority: Authority{Epoch: 2, Cert: []byte("c2"), Key: []byte("k2")}, Secret: SealedSecret{Epoch: 2, Under: 1, Box: []byte("b")}}
	begun := []Command{charter, token, enrol}
	rotating := append(begun[:3:3], rotate)
	holds := func(id string, enrolment, holds, cert uint64) *Hold {
		return &Hold{Node: id, Enrolment: enrolment, Holds: holds, Cert: cert, NotAfter: 20}
	}
	trust := func(ok func(*Trust) bool) func(*bench) bool {
		return func(b *bench) bool { return ok(b.state.Trust()) }
	}
	all := append(rotating[:4:4], holds("joe", 1, 2, 1), holds("robert", 2, 2, 1))
	return []guardCase{
		{name: "charter", cmd: charter, holds: trust(func(t *Trust) bool {
			m, ok := t.Member("joe")
			return t.Epoch == 1 && t.Authority().Epoch == 1 && ok && m.Enrolment == 1
		})},
		{name: "a second charter", before: begun, cmd: &Charter{Node: "x", Authority: Authority{Epoch: 1, Cert: []byte("o")}}, code: Old},
		{name: "an empty charter", cmd: &Charter{Node: "x"}, code: Refused},
		{name: "token without TLS", cmd: token, code: Refused, msg: "no TLS"},
		{name: "token", before: begun[:1], cmd: token, holds: trust(func(t *Trust) bool { k, ok := t.JoinToken("t"); return ok && k.Expires == 100 })},
		{name: "token late", before: begun[:1], cmd: &PutJoinToken{Rev: 0, Token: JoinToken{ID: "u"}}, code: Conflict},
		{name: "token of a known id", before: begun[:2], cmd: &PutJoinToken{Rev: 2, Token: JoinToken{ID: "t", Hash: [32]byte{2}}}, code: Conflict},
		{name: "a token that was revoked doesn't come back", before: []Command{charter, token, &DropJoinToken{ID: "t"}}, cmd: token, code: Conflict},
		{
			name: "tokens that have expired go", before: begun[:2], cmd: &PutJoinToken{Rev: 2, Token: JoinToken{ID: "u", Expires: 200}, Now: 100},
			holds: trust(func(t *Trust) bool { _, ok := t.JoinToken("t"); return !ok }),
		},
		{name: "revoke a token", before: begun[:2], cmd: &DropJoinToken{ID: "t"}, holds: trust(func(t *Trust) bool { return len(t.JoinTokens()) == 0 })},
		{name: "revoke no token", before: begun[:1], cmd: &DropJoinToken{ID: "t"}, code: Old},
		{name: "enrol", before: begun[:2], cmd: enrol, holds: trust(func(t *Trust) bool {
			m, ok := t.Member("robert")
			return ok && m.Enrolment == 2 && t.JoinTokens()[0].Used == 1 && !t.Revoked("robert", 2)
		})},
		{name: "enrol without TLS", cmd: enrol, code: Refused, msg: "no TLS"},
		{name: "enrol without a token", before: begun[:1], cmd: enrol, code: Refused, msg: "expired or was revoked"},
		{name: "enrol too late", before: begun[:2], cmd: &Enrol{Token: "t", Node: "robert", Enrolment: 2, Cert: 1, Now: 100}, code: Refused, msg: "expired"},
		{name: "enrol as a node that is up", before: begun[:2], cmd: &Enrol{Token: "t", Node: "joe", Enrolment: 2, Cert: 1, Now: 50}, code: Refused, msg: "is up"},
		{name: "enrol under another's number", before: begun, cmd: &Enrol{Token: "t", Node: "zoe", Enrolment: 2, Cert: 1, Now: 50}, code: Conflict},
		{name: "enrol by an authority that isn't in force", before: begun[:2], cmd: &Enrol{Token: "t", Node: "robert", Enrolment: 2, Cert: 2, Now: 50}, code: Conflict},
		{
			name: "enrol again", before: begun, cmd: &Enrol{Token: "t", Node: "robert", Enrolment: 3, Holds: 1, Cert: 1, Now: 50},
			holds: trust(func(t *Trust) bool { return t.Revoked("robert", 2) && !t.Revoked("robert", 3) }),
		},
		{name: "a removed node's certificates are void", before: begun, cmd: &Forget{ID: "robert"}, holds: trust(func(t *Trust) bool {
			_, ok := t.Member("robert")
			return !ok && t.Revoked("robert", 2)
		})},
		{name: "hold", before: begun, cmd: holds("robert", 2, 1, 1), holds: trust(func(t *Trust) bool { m, _ := t.Member("robert"); return m.NotAfter == 20 })},
		{name: "hold by an old enrolment", before: begun, cmd: holds("robert", 1, 1, 1), code: Refused},
		{name: "hold of what there isn't", before: begun, cmd: holds("robert", 2, 2, 1), code: Refused},
		{name: "rotate", before: begun, cmd: rotate, holds: trust(func(t *Trust) bool { return t.Epoch == 1 && t.Next == 2 && len(t.Authorities) == 2 })},
		{name: "rotate late", before: begun, cmd: &Rotate{Rev: 2, Authority: rotate.Authority, Secret: rotate.Secret}, code: Conflict},
		{name: "rotate while rotating", before: rotating, cmd: &Rotate{Rev: 4, Authority: Authority{Epoch: 2, Cert: []byte("c3")}, Secret: SealedSecret{Epoch: 2, Under: 1, Box: []byte("x")}}, code: Refused, msg: "going on"},
		{name: "rotate too far", before: begun, cmd: &Rotate{Rev: 3, Authority: Authority{Epoch: 3}, Secret: SealedSecret{Epoch: 3, Under: 2}}, code: Refused},
		{name: "one holds the next secret", before: rotating, cmd: holds("joe", 1, 2, 1), holds: trust(func(t *Trust) bool { return t.Epoch == 1 })},
		{name: "all hold it", before: all[:5], cmd: all[5], holds: trust(func(t *Trust) bool { return t.Epoch == 2 && t.Next == 2 && len(t.Authorities) == 2 })},
		{name: "one has its certificate", before: all, cmd: holds("joe", 1, 2, 2), holds: trust(func(t *Trust) bool { return t.Next == 2 })},
		{name: "all have theirs", before: append(all[:6:6], holds("joe", 1, 2, 2)), cmd: holds("robert", 2, 2, 2), holds: trust(func(t *Trust) bool {
			return t.Epoch == 2 && t.Next == 0 && len(t.Authorities) == 1 && len(t.Secret.Box) == 0
		})},
		{
			name: "a node that is removed doesn't hold up a rotation", before: append(rotating[:4:4], holds("joe", 1, 2, 1)), cmd: &Forget{ID: "robert"},
			holds: trust(func(t *Trust) bool { return t.Epoch == 2 && t.Next == 2 }),
		},
		{name: "enrol in a rotation", before: rotating, cmd: &Enrol{Token: "t", Node: "zoe", Enrolment: 3, Holds: 2, Cert: 1, NotAfter: 10, Now: 50}},
	}
}

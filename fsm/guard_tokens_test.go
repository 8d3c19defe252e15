package fsm

func adminTokenCases() []guardCase {
	token := func(name string, hash byte, right AdminRight, expires int64) AdminToken {
		return AdminToken{Name: name, Hash: [32]byte{hash}, Right: right, At: 7, Expires: expires}
	}
	first := &PutAdminToken{Token: token("ops", 1, AdminAll, 0)}
	second := &PutAdminToken{Rev: 1, Token: token("ci", 2, AdminOperate, 0)}
	drop := func(name string, hash byte) *DropAdminToken {
		return &DropAdminToken{Name: name, Hash: [32]byte{hash}}
	}
	tokens := func(names ...string) func(*bench) bool {
		return func(b *bench) bool {
			list := b.state.AdminTokens().List()
			for i, k := range list {
				if i >= len(names) || k.Name != names[i] {
					return false
				}
			}
			return len(list) == len(names) && b.state.AdminTokens().Any() == (len(names) > 0)
		}
	}
	return []guardCase{
		{name: "first", cmd: first, holds: tokens("ops")},
		{name: "second", before: []Command{first}, cmd: second, holds: tokens("ci", "ops")},
		{name: "first without all rights", cmd: &PutAdminToken{Token: token("ci", 2, AdminOperate, 0)}, code: Refused, msg: "the first admin token"},
		{name: "first that expires", cmd: &PutAdminToken{Token: token("ops", 2, AdminAll, 9)}, code: Refused, msg: "doesn't expire"},
		{name: "without a right", before: []Command{first}, cmd: &PutAdminToken{Rev: 1, Token: token("x", 2, 0, 0)}, code: Refused, msg: "one of the rights"},
		{name: "with more than all rights", before: []Command{first}, cmd: &PutAdminToken{Rev: 1, Token: token("x", 2, 4, 0)}, code: Refused},
		{name: "without a name", before: []Command{first}, cmd: &PutAdminToken{Rev: 1, Token: token("", 2, AdminAll, 0)}, code: Refused},
		{name: "of a known name", before: []Command{first}, cmd: &PutAdminToken{Rev: 1, Token: token("ops", 2, AdminAll, 0)}, code: Conflict, msg: "of that name"},
		{name: "one that was revoked doesn't come back", before: []Command{first, second, drop("ci", 2)}, cmd: second, code: Conflict},
		{name: "revoke", before: []Command{first, second}, cmd: drop("ci", 2), holds: tokens("ops")},
		{name: "revoke the last", before: []Command{first}, cmd: drop("ops", 1), holds: tokens()},
		{name: "revoke the last that can make others", before: []Command{first, second}, cmd: drop("ops", 1), code: Refused, msg: "last"},
		{
			name: "one that expires doesn't count as the last", before: []Command{first, &PutAdminToken{Rev: 1, Token: token("b", 3, AdminAll, 9)}},
			cmd: drop("ops", 1), code: Refused,
		},
		{
			name: "another has all rights", before: []Command{first, &PutAdminToken{Rev: 1, Token: token("b", 3, AdminAll, 0)}},
			cmd: drop("ops", 1), holds: tokens("b"),
		},
		{name: "revoke another of the name", before: []Command{first, second}, cmd: drop("ci", 9), code: Old},
		{name: "revoke none", cmd: drop("ci", 9), code: Old},
	}
}

func botTokenCases() []guardCase {
	charter := &Charter{Node: "joe", Authority: Authority{Epoch: 1, Cert: []byte("c1"), Key: []byte("k1")}, NotAfter: 10}
	set := &SetBotToken{Bot: testBot, Epoch: 1, Box: []byte("box")}
	is := func(rev, epoch uint64, box string) func(*bench) bool {
		return func(b *bench) bool {
			k := b.state.BotToken(testBot)
			return k.Rev == rev && k.Epoch == epoch && string(k.Box) == box
		}
	}
	return []guardCase{
		{name: "set", before: []Command{charter}, cmd: set, holds: is(1, 1, "box")},
		{name: "of a bot that isn't known yet", before: []Command{charter}, cmd: &SetBotToken{Bot: "new", Epoch: 1, Box: []byte("box")}},
		{name: "without TLS", cmd: set, code: Refused, msg: "no TLS"},
		{name: "of no bot", before: []Command{charter}, cmd: &SetBotToken{Epoch: 1, Box: []byte("b")}, code: Refused},
		{name: "too large", before: []Command{charter}, cmd: &SetBotToken{Bot: testBot, Epoch: 1, Box: make([]byte, MaxTokenBox+1)}, code: Refused},
		{name: "another", before: []Command{charter, set}, cmd: &SetBotToken{Bot: testBot, Rev: 1, Epoch: 1, Box: []byte("two")}, holds: is(2, 1, "two")},
		{name: "late", before: []Command{charter, set}, cmd: &SetBotToken{Bot: testBot, Rev: 0, Epoch: 1, Box: []byte("two")}, code: Conflict},
		{name: "of another epoch", before: []Command{charter}, cmd: &SetBotToken{Bot: testBot, Epoch: 2, Box: []byte("box")}, code: Conflict, msg: "keys"},
		{name: "drop", before: []Command{charter, set}, cmd: &SetBotToken{Bot: testBot, Rev: 1}, holds: is(2, 0, "")},
		{name: "one that was dropped doesn't come back", before: []Command{charter, set, &SetBotToken{Bot: testBot, Rev: 1}}, cmd: set, code: Conflict},
	}
}

package fsm

import (
	"strings"
	"testing"
)

// guardCase is a command on the state of setup and before, its answer, and its
// effect if it has one.
type guardCase struct {
	name   string
	before []Command
	cmd    Command
	code   Code
	msg    string            // part of the reason
	holds  func(*bench) bool // after a command that took effect
}

// TestGuards shows for each command that with a failed guard nothing changes
// and the answer says why, that else the effect is there, and that the same
// bytes again change nothing more.
func TestGuards(t *testing.T) {
	for name, cases := range map[string][]guardCase{
		"cluster": clusterCases(), "bot": botCases(), "shard": shardCases(), "permit": permitCases(),
		"events": eventCases(), "entry": entryCases(), "kv": kvCases(), "chore": choreCases(), "manual": manualCases(), "trust": trustCases(),
		"admin token": adminTokenCases(), "bot token": botTokenCases(),
	} {
		for _, c := range cases {
			t.Run(name+"/"+c.name, c.run)
		}
	}
}

func (c *guardCase) run(t *testing.T) {
	b := setup(t)
	b.must(&Rules{N: KnownRules})
	b.must(c.before...)
	was := b.state.Digest()
	first := b.do(c.cmd)[0]
	if first.Code != c.code || !strings.Contains(first.Msg, c.msg) {
		t.Fatalf("answered %v %q, want %v %q", first.Code, first.Msg, c.code, c.msg)
	}
	now := b.state.Digest()
	if c.code != OK && now != was && c.cmd.Kind() != KindKVWrite { // which notes a conflict
		t.Errorf("answered %v, but the state changed", c.code)
	}
	if c.code == Refused && first.Msg == "" {
		t.Error("refused without a reason")
	}
	if c.holds != nil && !c.holds(b) {
		t.Error("the effect isn't there")
	}
	second := b.do(c.cmd)[0]
	if b.state.Digest() != now {
		t.Errorf("a repeat (%v after %v) changed the state", second.Code, first.Code)
	}
	if c.code == OK && second.Code != OK && second.Code != Old && second.Code != StaleGeneration {
		t.Errorf("a repeat of what took effect is answered %v %q", second.Code, second.Msg)
	}
}

func clusterCases() []guardCase {
	owner := func(k ShardKey, who NodeRef) func(*bench) bool {
		return func(b *bench) bool { return b.shard(k).Owner == who }
	}
	return []guardCase{
		{name: "init again", cmd: &Init{ClusterID: "c"}},
		{name: "init of another", cmd: &Init{ClusterID: "d"}, code: Refused, msg: "another id"},
		{name: "up", cmd: &Up{Node: robert}, holds: func(b *bench) bool { return b.state.IsUp(robert) }},
		{name: "up of nobody", cmd: &Up{}, code: Refused, msg: "needs an id"},
		{name: "up of a new process", cmd: &Up{Node: NodeRef{"joe", 2}}, holds: owner(shard0, NodeRef{})},
		{
			name: "up of an old process", before: []Command{&Up{Node: NodeRef{"joe", 5}}}, cmd: &Up{Node: joe},
			code: Refused, msg: "newer process",
		},
		{name: "up of the dead", before: []Command{&Down{Node: joe}}, cmd: &Up{Node: joe}, code: Refused},
		{
			name: "up in a new generation", before: []Command{&Renew{Generation: 2}}, cmd: &Up{Node: joe},
			holds: func(b *bench) bool { return b.state.IsUp(joe) },
		},
		{name: "down", cmd: &Down{Node: joe}, holds: func(b *bench) bool {
			return !b.state.IsUp(joe) && b.shard(shard0).Owner.None() && b.shard(shard0).From == joe
		}},
		{name: "down of another", cmd: &Down{Node: mike}, holds: owner(shard0, joe)},
		{name: "down of an old process", cmd: &Down{Node: NodeRef{"joe", 7}}, code: Refused, msg: "newest process"},
		{name: "down of a stranger", cmd: &Down{Node: robert}, code: Refused},
		{
			name: "down before it registered again", before: []Command{&Renew{Generation: 2}}, cmd: &Down{Node: joe},
			code: Refused,
		},
		{name: "forget", cmd: &Forget{ID: "joe"}, holds: owner(shard0, NodeRef{})},
		{name: "forget a stranger", cmd: &Forget{ID: "x"}, code: Old},
		{name: "drain", cmd: &Drain{ID: "joe", On: true}, holds: func(b *bench) bool {
			n, _ := b.state.Node("joe")
			return n.Draining
		}},
		{name: "drain a stranger", cmd: &Drain{ID: "x", On: true}, code: Refused},
		{name: "rules", cmd: &Rules{N: KnownRules}, holds: func(b *bench) bool { return b.state.Rules == KnownRules }},
		{name: "older rules", cmd: &Rules{N: 0}, code: Refused, msg: "never go back"},
		{name: "state hash", cmd: &StateHash{HashPoint{Index: 7}}, holds: func(b *bench) bool { return b.state.Agreed().Index == 7 }},
		{name: "an older state hash", before: []Command{&StateHash{HashPoint{Index: 7}}}, cmd: &StateHash{HashPoint{Index: 6}}, code: Old},
		{name: "renew", cmd: &Renew{Generation: 2}, holds: func(b *bench) bool {
			sh := b.shard(shard0)
			return sh.Owner.None() && sh.SID == "" && sh.Epoch == 1 && !b.state.IsUp(joe)
		}},
		{name: "renew with sessions", cmd: &Renew{Generation: 2, KeepSessions: true}, holds: func(b *bench) bool {
			sh := b.shard(shard0)
			return sh.Owner.None() && sh.SID == "s1" && sh.C == 1
		}},
		{name: "renew of this generation", cmd: &Renew{Generation: 1}, code: Old},
		{name: "renew of an old generation", cmd: &Renew{Generation: 0}, code: Refused},
	}
}

func botCases() []guardCase {
	wants := func(t string, ok bool) func(*bench) bool {
		return func(b *bench) bool {
			_, has := b.bot().WantsType(t)
			return has == ok
		}
	}
	return []guardCase{
		{name: "configure", cmd: &Configure{Bot: testBot, Rev: 1, Config: []byte(`{"retain_bytes":5}`)}, holds: func(b *bench) bool {
			return b.bot().Config.RetainBytes == 5 && b.bot().ConfigRev == 2 && b.bot().Config.MaxAttempts == 5
		}},
		{name: "configure a new bot", cmd: &Configure{Bot: "two", Config: []byte(`{}`)}, holds: func(b *bench) bool {
			return b.state.Bot("two") != nil
		}},
		{name: "configure nobody", cmd: &Configure{Config: []byte(`{}`)}, code: Refused, msg: "needs a name"},
		{name: "configure what is absent", cmd: &Configure{Bot: "x", Rev: 1, Config: []byte(`{}`)}, code: Conflict},
		{name: "configure over another", cmd: &Configure{Bot: testBot, Rev: 0, Config: []byte(`{}`)}, code: Conflict},
		{name: "configure no json", cmd: &Configure{Bot: testBot, Rev: 1, Config: []byte(`{`)}, code: Refused, msg: "JSON"},
		{
			name: "configure a wrong policy", code: Refused, msg: "policy",
			cmd: &Configure{Bot: testBot, Rev: 1, Config: []byte(`{"caches":{"members":{"mode":"some"}}}`)},
		},
		{name: "layout again", cmd: &Layout{Bot: testBot, Total: 2, From: 0, To: 1}},
		{name: "layout of another count", cmd: &Layout{Bot: testBot, Total: 4, From: 0, To: 3}, code: Refused, msg: "another shard count"},
		{name: "layout of none", cmd: &Layout{Bot: testBot}, code: Refused},
		{name: "layout out of range", cmd: &Layout{Bot: testBot, Total: 2, From: 1, To: 2}, code: Refused},
		{name: "layout too large", cmd: &Layout{Bot: testBot, Total: MaxShards + 1, To: MaxShards}, code: Refused},
		{name: "layout of no bot", cmd: &Layout{Bot: "x", Total: 1}, code: Refused, msg: "no such bot"},
		{
			name: "interests", cmd: &Interests{Bot: testBot, Rev: 1, List: []Interest{{Type: "X", Handlers: []string{"b", "a", "b"}}}},
			holds: func(b *bench) bool {
				h, _ := b.bot().WantsType("X")
				return strings.Join(h, " ") == "a b" && wants("MESSAGE_CREATE", false)(b)
			},
		},
		{name: "interests of an old revision", cmd: &Interests{Bot: testBot, List: []Interest{{Type: "X"}}}, code: Conflict, holds: wants("X", false)},
		{name: "interests of no bot", cmd: &Interests{Bot: "x"}, code: Refused},
		{name: "budget", cmd: &Budget{Bot: testBot, Budget: IdentifyBudget{Remaining: 3}}, holds: func(b *bench) bool {
			return b.bot().Budget == IdentifyBudget{Remaining: 3, MaxConcurrency: 1}
		}},
		{name: "budget of no bot", cmd: &Budget{Bot: "x"}, code: Refused},
	}
}

func shardCases() []guardCase {
	ready := func(epoch uint64, sid string) *Ready {
		after := map[string]uint64{"s1": 0, "s2": 1}
		return &Ready{Bot: testBot, Shard: shard0, Epoch: epoch, SID: sid, URL: "u", S: 3, Raw: []byte(`{"guilds":[]}`), After: after[sid]}
	}
	lost := &Lost{Bot: testBot, Shard: shard0, Epoch: 1, SID: "s1"}
	away := ShardKey{Layout: 2, Index: 1}
	return []guardCase{
		{name: "grant", cmd: &Grant{Bot: testBot, Shard: shard0, Epoch: 1, To: mike, Why: WhyHandoff, From: joe}, holds: func(b *bench) bool {
			sh := b.shard(shard0)
			return sh.Owner == mike && sh.Epoch == 2 && sh.SID == "s1" && sh.Why == WhyHandoff && sh.From == joe
		}},
		{name: "grant of an old epoch", cmd: &Grant{Bot: testBot, Shard: shard0, Epoch: 0, To: mike}, code: Fenced},
		{name: "grant of a coming epoch", cmd: &Grant{Bot: testBot, Shard: shard0, Epoch: 2, To: mike}, code: Fenced},
		{name: "grant to the dead", before: []Command{&Down{Node: mike}}, cmd: &Grant{Bot: testBot, Shard: shard0, Epoch: 1, To: mike}, code: Refused, msg: "not up"},
		{name: "grant to an old process", before: []Command{&Up{Node: NodeRef{"mike", 2}}}, cmd: &Grant{Bot: testBot, Shard: shard0, Epoch: 1, To: mike}, code: Refused},
		{name: "grant of no shard", cmd: &Grant{Bot: testBot, Shard: ShardKey{8, 3}, To: mike}, code: Refused, msg: "no such shard"},
		{name: "grant of no bot", cmd: &Grant{Bot: "x", Shard: shard0, To: mike}, code: Refused, msg: "no such bot"},
		{name: "ready", cmd: ready(1, "s2"), holds: func(b *bench) bool {
			sh := b.shard(shard0)
			return sh.SID == "s2" && sh.C == 3 && sh.Sessions == 2 && b.bot().GapCount == 1 && b.bot().Gaps[0].Kind == "session"
		}},
		{
			name: "first ready", cmd: &Ready{Bot: testBot, Shard: away, Epoch: 1, SID: "t", S: 1},
			holds: func(b *bench) bool { return b.bot().GapCount == 0 && b.shard(away).SID == "t" },
		},
		{name: "ready of a fenced owner", cmd: ready(0, "s2"), code: Fenced},
		{name: "ready of this session", cmd: ready(1, "s1"), code: Old},
		{name: "ready of a lost session", before: []Command{lost}, cmd: ready(1, "s1"), code: Refused},
		{name: "ready of a replaced session", before: []Command{ready(1, "s2")}, cmd: ready(1, "s1"), code: Refused},
		{
			name: "ready of a session that never counted, after its successor's", before: []Command{ready(1, "s2")},
			cmd: &Ready{Bot: testBot, Shard: shard0, Epoch: 1, SID: "s0", After: 1}, code: Refused,
		},
		{name: "ready of no session", cmd: ready(1, ""), code: Refused, msg: "needs an id"},
		{name: "ready of no shard", cmd: &Ready{Bot: "x", Shard: shard0, SID: "s"}, code: Refused},
		{name: "lost", cmd: lost, holds: func(b *bench) bool {
			return b.shard(shard0).SID == "" && b.shard(shard0).URL == "" && b.shard(shard0).C == 1
		}},
		{name: "lost by a fenced owner", cmd: &Lost{Bot: testBot, Shard: shard0, Epoch: 0, SID: "s1"}, code: Fenced},
		{name: "lost of another session", cmd: &Lost{Bot: testBot, Shard: shard0, Epoch: 1, SID: "s0"}, code: Old},
		{name: "lost of none", before: []Command{lost}, cmd: &Lost{Bot: testBot, Shard: shard0, Epoch: 1}, code: Old},
		{name: "lost of no shard", cmd: &Lost{Bot: "x", Shard: shard0}, code: Refused},
	}
}

func permitCases() []guardCase {
	permit := func(k ShardKey, epoch, ask uint64) *Permit {
		return &Permit{Bot: testBot, Shard: k, Epoch: epoch, Key: 0, Ask: ask}
	}
	release := func(k ShardKey, epoch, ask uint64) *Clear {
		return &Clear{Bot: testBot, Shard: k, Epoch: epoch, Key: 0, Ask: ask}
	}
	held := func(want bool) func(*bench) bool {
		return func(b *bench) bool {
			_, held := b.bot().Permit(0)
			return held == want && b.bot().Budget.Remaining == 9
		}
	}
	return []guardCase{
		{name: "permit", cmd: permit(shard1, 1, 1), holds: held(true)},
		{name: "permit of a fenced owner", cmd: permit(shard1, 0, 1), code: Fenced},
		{name: "permit with a session", cmd: permit(shard0, 1, 1), code: Refused, msg: "has a session"},
		{name: "permit of a taken key", before: []Command{permit(shard1, 1, 1)}, cmd: permit(shard1, 1, 2), code: Refused, msg: "taken"},
		{name: "permit that was spent", before: []Command{permit(shard1, 1, 1), release(shard1, 1, 1)}, cmd: permit(shard1, 1, 1), code: Old},
		{
			name: "permit below the reserve", cmd: permit(shard1, 1, 1), code: Refused, msg: "reserve",
			before: []Command{&Budget{Bot: testBot, Budget: IdentifyBudget{Remaining: 1}}},
		},
		{name: "permit of no shard", cmd: &Permit{Bot: "x", Shard: shard1}, code: Refused},
		{name: "clear", before: []Command{permit(shard1, 1, 1)}, cmd: release(shard1, 1, 1), holds: held(false)},
		{name: "clear of another", before: []Command{permit(shard1, 1, 1)}, cmd: release(shard0, 1, 1), code: Old, holds: held(true)},
		{name: "clear of an older ask", before: []Command{permit(shard1, 1, 2)}, cmd: release(shard1, 1, 1), code: Old, holds: held(true)},
		{name: "clear of nothing", cmd: release(shard1, 1, 1), code: Old},
		{name: "clear of no bot", cmd: &Clear{Bot: "x", Shard: shard1}, code: Refused},
	}
}

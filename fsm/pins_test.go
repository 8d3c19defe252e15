package fsm

import (
	"slices"
	"testing"
)

func (b *bench) pin(to string, rev uint64, shards ...uint32) Result {
	b.t.Helper()
	return b.do(&Pin{Bot: testBot, Rev: rev, To: to, Why: WhyTakeover, Layout: 2, Shards: shards})[0]
}

func (b *bench) pins() []string {
	return []string{b.shard(shard0).Pin, b.shard(shard1).Pin}
}

func (b *bench) wantPins(what string, want ...string) {
	b.t.Helper()
	if got := b.pins(); !slices.Equal(got, want) {
		b.t.Errorf("%s: pinned to %q, want %q", what, got, want)
	}
}

func TestPinGuards(t *testing.T) {
	b := setup(t)
	for what, c := range map[string]struct {
		pin  *Pin
		want Code
	}{
		"a node that nobody knows": {&Pin{Bot: testBot, To: "zoe", Layout: 2, Shards: []uint32{0}}, Refused},
		"another layout":           {&Pin{Bot: testBot, To: "mike", Layout: 4, Shards: []uint32{0}}, Refused},
		"a shard out of it":        {&Pin{Bot: testBot, To: "mike", Layout: 2, Shards: []uint32{0, 2}}, noShard.Code},
		"an unknown bot":           {&Pin{Bot: "zoe", To: "mike", Layout: 2, Shards: []uint32{0}}, noBot.Code},
		"another revision":         {&Pin{Bot: testBot, Rev: 7, To: "mike", Layout: 2, Shards: []uint32{0}}, Conflict},
	} {
		if r := b.do(c.pin)[0]; r.Code != c.want {
			t.Errorf("%s: %+v", what, r)
		}
	}
	b.must(&Drain{ID: "mike", On: true})
	if r := b.pin("mike", 0, 0); r.Code != Refused {
		t.Errorf("to a draining node: %+v", r)
	}
	b.wantPins("after refusals", "", "")
}

func TestPinRepeats(t *testing.T) {
	b := setup(t)
	if r := b.pin("mike", 0, 0, 1); r.Code != OK || r.Version != 1 {
		t.Fatalf("%+v", r)
	}
	if r := b.pin("mike", 0, 0, 1); r.Code != OK || r.Version != 1 {
		t.Errorf("a repeat: %+v", r)
	}
	if r := b.pin("", 1, 0); r.Code != OK {
		t.Fatalf("%+v", r)
	}
	b.wantPins("one was freed", "", "mike")
	if r := b.pin("mike", 0, 0, 1); r.Code != Conflict {
		t.Errorf("a late repeat: %+v", r)
	}
	b.wantPins("after a late repeat", "", "mike")
}

func TestWhatEndsAPin(t *testing.T) {
	for what, cmd := range map[string]Command{
		"drain":             &Drain{ID: "mike", On: true},
		"death":             &Down{Node: mike},
		"another process":   &Up{Node: NodeRef{ID: "mike", Inc: 2}},
		"removal":           &Forget{ID: "mike"},
		"a restore":         &Renew{Generation: 2, KeepSessions: true},
		"a grant to a peer": &Grant{Bot: testBot, Shard: shard0, Epoch: 2, To: joe, Adopt: true, Why: WhyFailover, From: mike},
	} {
		b := setup(t)
		b.must(&Pin{Bot: testBot, To: "mike", Why: WhyTakeover, Layout: 2, Shards: []uint32{0}})
		b.must(&Grant{Bot: testBot, Shard: shard0, Epoch: 1, To: mike, Why: WhyTakeover, From: joe})
		b.wantPins("there", "mike", "")
		b.must(cmd)
		b.wantPins(what, "", "")
	}
}

// A grant that leaves the shard where it is, to take over what a node before
// did not finish, says nothing about where an operator wants it.
func TestAdoptionKeepsAPin(t *testing.T) {
	b := setup(t)
	b.must(&Pin{Bot: testBot, To: "mike", Why: WhyTakeover, Layout: 2, Shards: []uint32{0}})
	b.must(&Grant{Bot: testBot, Shard: shard0, Epoch: 1, To: joe, Adopt: true, Why: WhyFailover, From: robert})
	b.wantPins("on its way", "mike", "")
}

func TestEnlisted(t *testing.T) {
	b := setup(t)
	enlisted := func() bool { return b.state.nodes["joe"].Enlisted }
	if r := b.do(&Enlist{Node: NodeRef{ID: "joe", Inc: 2}})[0]; r.Code == OK || enlisted() {
		t.Errorf("a process that is not registered: %+v", r)
	}
	for what, cmd := range map[string]Command{
		"death": &Down{Node: joe}, "another process": &Up{Node: NodeRef{ID: "joe", Inc: 2}}, "removal": &Forget{ID: "joe"}, "a restore": &Renew{Generation: 2},
	} {
		b = setup(t)
		if b.must(&Enlist{Node: joe}); !enlisted() {
			t.Fatal("not enlisted")
		}
		if b.must(cmd); enlisted() {
			t.Errorf("enlisted after %s", what)
		}
	}
}

func TestUpCarriesWeightAndLimit(t *testing.T) {
	b := setup(t)
	b.must(&Up{Node: NodeRef{ID: "joe", Inc: 2}, Weight: 3, MaxShards: 8})
	if n := b.state.nodes["joe"]; n.Weight != 3 || n.MaxShards != 8 {
		t.Errorf("%+v", n)
	}
}

func TestParsePlacement(t *testing.T) {
	p, err := ParsePlacement("prefer:joe,mike+robert")
	if err != nil || p.Group("joe") != 0 || p.Group("mike") != 1 || p.Group("robert") != 1 || p.Group("anna") != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	for _, text := range []string{"", "spread"} {
		if p, err := ParsePlacement(text); err != nil || len(p.Prefer) > 0 || p.Group("joe") != 0 {
			t.Errorf("%q: %+v, %v", text, p, err)
		}
	}
	for _, text := range []string{"joe", "prefer:", "prefer:joe,", "prefer:joe,mike+joe", "prefer:a b", "prefer:+a", "Spread"} {
		if p, err := ParsePlacement(text); err == nil {
			t.Errorf("%q was taken as %+v", text, p)
		}
	}
}

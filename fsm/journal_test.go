package fsm

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"github.com/botnode/botnode/discord"
)

// bothFailed is what a Fail says if both handlers of a message failed.
var bothFailed = []HandlerError{{Handler: "log", Err: "boom"}, {Handler: "ping", Err: "bang"}}

func positions(b *Bot) []uint64 {
	var out []uint64
	for e := range b.RetainedFrom(0) {
		out = append(out, e.Pos)
	}
	return out
}

// TestTwoFloors shows that what is retained for followers is bounded in bytes,
// and that what handlers want stays beyond it.
func TestTwoFloors(t *testing.T) {
	b := setup(t)
	b.must(&Configure{Bot: testBot, Rev: 1, Config: []byte(`{"retain_bytes":1000}`)})
	for s := int64(1); s <= 10; s++ {
		b.must(events(1, s, message(s+1, 40)))
	}
	if n, _ := b.bot().Pending(); n != 10 {
		t.Errorf("%d of 10 entries are pending", n)
	}
	if kept := positions(b.bot()); b.bot().journal.bytes > 1000 || len(kept) != 3 || kept[2] != 10 || b.bot().RetainedFirst() != 8 {
		t.Errorf("%v are retained: %d bytes", kept, b.bot().journal.bytes)
	}
	if got := slices.Collect(b.bot().RetainedFrom(9)); len(got) != 2 || got[0].Pos != 9 {
		t.Errorf("from 9: %v", got)
	}
	large := message(12, 40)
	large.Raw = append(bytes.Repeat([]byte(" "), 5000), large.Raw...)
	b.must(events(1, 11, large))
	if kept := positions(b.bot()); len(kept) != 1 || kept[0] != 11 {
		t.Errorf("an entry larger than the bound: %v are retained", kept)
	}
	b.must(done(11, "log", joe), done(11, "ping", joe))
	if kept := positions(b.bot()); len(kept) != 1 {
		t.Errorf("a done entry is no longer there to follow: %v", kept)
	}
}

// TestAdopt shows who runs an entry after a Grant.
func TestAdopt(t *testing.T) {
	grant := func(epoch uint64, adopt bool) *Grant {
		return &Grant{Bot: testBot, Shard: shard0, Epoch: epoch, To: mike, Adopt: adopt, Why: WhyFailover}
	}
	zoe := NodeRef{"zoe", 1}
	moved := &Grant{Bot: testBot, Shard: shard0, Epoch: 1, To: zoe}
	late := &Grant{Bot: testBot, Shard: shard0, Epoch: 2, To: zoe, Adopt: true, Why: WhyFailover, From: joe}
	alone := &Fail{Bot: testBot, Shard: shard0, Pos: 1, Runner: joe, Alone: true}
	type runs struct {
		runner   NodeRef
		attempts uint32
		why      Why
	}
	for name, c := range map[string]struct {
		cmds []Command
		want []runs // of the entries that are left
		dead int
	}{
		"planned: the old owner goes on":      {cmds: []Command{grant(1, false)}, want: []runs{{joe, 0, WhyNormal}, {joe, 0, WhyNormal}}},
		"a third node goes on":                {cmds: []Command{&Up{Node: zoe}, moved, grant(2, true)}, want: []runs{{joe, 0, WhyNormal}, {joe, 0, WhyNormal}}},
		"out of time to drain":                {cmds: []Command{&Up{Node: zoe}, moved, late}, want: []runs{{zoe, 1, WhyFailover}, {zoe, 1, WhyFailover}}},
		"adopted":                             {cmds: []Command{grant(1, true)}, want: []runs{{mike, 1, WhyFailover}, {mike, 1, WhyFailover}}},
		"adopted once":                        {cmds: []Command{grant(1, true), grant(1, true)}, want: []runs{{mike, 1, WhyFailover}, {mike, 1, WhyFailover}}},
		"planned: what nobody runs":           {cmds: []Command{&Down{Node: joe}, grant(1, false)}, want: []runs{{mike, 1, WhyFailover}, {mike, 1, WhyFailover}}},
		"down":                                {cmds: []Command{&Down{Node: joe}}, want: []runs{{}, {}}},
		"a new process":                       {cmds: []Command{&Up{Node: NodeRef{"joe", 2}}}, want: []runs{{}, {}}},
		"forgotten":                           {cmds: []Command{&Forget{ID: "joe"}}, want: []runs{{}, {}}},
		"restored":                            {cmds: []Command{&Renew{Generation: 2}}, want: []runs{{}, {}}},
		"down of another":                     {cmds: []Command{&Down{Node: mike}}, want: []runs{{joe, 0, WhyNormal}, {joe, 0, WhyNormal}}},
		"alone and adopted":                   {cmds: []Command{alone, grant(1, true)}, want: []runs{{mike, 1, WhyFailover}}, dead: 1},
		"alone when its runner died":          {cmds: []Command{alone, &Down{Node: joe}, grant(1, false)}, want: []runs{{mike, 1, WhyFailover}}, dead: 1},
		"alone at a planned move":             {cmds: []Command{alone, grant(1, false)}, want: []runs{{joe, 0, WhyNormal}, {joe, 0, WhyNormal}}},
		"alone, then it failed, then adopted": {cmds: []Command{alone, &Fail{Bot: testBot, Shard: shard0, Pos: 1, Runner: joe}, grant(1, true)}, want: []runs{{mike, 2, WhyFailover}, {mike, 1, WhyFailover}}},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.must(events(1, 1, message(2, 40), message(3, 44)))
			for _, cmd := range c.cmds {
				b.must(cmd)
			}
			var got []runs
			for _, e := range b.pending() {
				got = append(got, runs{e.Runner, e.Attempts, e.Why})
			}
			if !slices.Equal(got, c.want) || b.bot().DeadCount() != c.dead {
				t.Errorf("runners %v, %d dead letters; want %v, %d", got, b.bot().DeadCount(), c.want, c.dead)
			}
			if d := b.seen.diff(b.state); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestBuriedAndRetriedInOneEntry shows that a follower of the changes keeps an
// entry that was a dead letter only within one log entry.
func TestBuriedAndRetriedInOneEntry(t *testing.T) {
	b := setup(t)
	b.must(
		&Configure{Bot: testBot, Rev: 1, Config: []byte(`{"max_attempts":1}`)},
		events(1, 1, message(2, 40), message(3, 40)),
	)
	fail := func(retries uint32) *Fail {
		return &Fail{Bot: testBot, Shard: shard0, Pos: 1, Runner: joe, Failed: bothFailed, Retries: retries}
	}
	retry := &Dead{Bot: testBot, Pos: 1, Retry: true}
	b.must(fail(0), retry, fail(1), retry)
	if d := b.seen.diff(b.state); d != "" || len(b.pending()) != 2 {
		t.Errorf("%d pending; %s", len(b.pending()), d)
	}
	b.must(fail(2), retry, fail(3))
	if d := b.seen.diff(b.state); d != "" || len(b.pending()) != 1 {
		t.Errorf("%d pending; %s", len(b.pending()), d)
	}
}

func TestEntriesAreImmutable(t *testing.T) {
	b := setup(t)
	b.must(events(1, 1, message(2, 40)))
	kept := b.pending()[0]
	was := *kept
	was.Handlers = slices.Clone(was.Handlers)
	b.must(
		&Fail{Bot: testBot, Shard: shard0, Pos: 1, Runner: joe, Failed: bothFailed},
		&Grant{Bot: testBot, Shard: shard0, Epoch: 1, To: mike, Adopt: true},
		done(1, "log", mike),
		&Interests{Bot: testBot, Rev: 1},
	)
	if !reflect.DeepEqual(*kept, was) {
		t.Errorf("an entry changed in a reader's hands: %+v, was %+v", *kept, was)
	}
}

// TestInterestsChange shows that entries keep the handlers of their time.
func TestInterestsChange(t *testing.T) {
	b := setup(t)
	typing := Event{S: 2, Type: "TYPING_START", Raw: []byte(`{}`)}
	b.must(events(1, 1, typing, message(3, 40)))
	if kept := positions(b.bot()); len(b.pending()) != 1 || len(kept) != 2 {
		t.Fatalf("%d pending, %v retained", len(b.pending()), kept)
	}
	b.must(
		&Interests{Bot: testBot, Rev: 1, List: []Interest{{Type: "TYPING_START", Handlers: []string{"typed"}}}},
		events(1, 3, Event{S: 4, Type: "TYPING_START", Raw: []byte(`{}`)}, message(5, 40)),
	)
	var got [][]string
	for _, e := range b.pending() {
		got = append(got, e.Handlers)
	}
	if want := [][]string{{"log", "ping"}, {"typed"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("handlers %v, want %v", got, want)
	}
	if b.shard(shard0).C != 5 || len(positions(b.bot())) != 3 {
		t.Errorf("c = %d, retained %v", b.shard(shard0).C, positions(b.bot()))
	}
}

// TestBefore shows what a handler sees of the object that an event changes.
func TestBefore(t *testing.T) {
	b := setup(t)
	create := `{"id":"40","name":"g","channels":[{"id":"41","type":0,"name":"old"}],"roles":[],"members":[]}`
	change := Event{S: 3, Type: "CHANNEL_UPDATE", Guild: 40, Lane: 40, Raw: []byte(`{"id":"41","guild_id":"40","type":0,"name":"new"}`)}
	deep := change
	deep.S, deep.Deep = 4, true
	b.must(events(1, 1, Event{S: 2, Type: "GUILD_CREATE", Guild: 40, Lane: 40, Raw: []byte(create)}, change, deep))
	p := b.pending()
	if len(p) != 2 || !bytes.Contains(p[0].Before, []byte(`"old"`)) || !bytes.Contains(p[0].Raw, []byte(`"new"`)) {
		t.Fatalf("%d entries, before %s", len(p), p[0].Before)
	}
	if p[1].Before != nil || !bytes.Equal(p[1].Raw, change.Raw) {
		t.Errorf("an event that is too deep was looked at: before %s", p[1].Before)
	}
}

// TestMissingGuilds shows that a guild which READY doesn't name is deleted by an
// entry of the journal.
func TestMissingGuilds(t *testing.T) {
	b := setup(t)
	create := `{"id":"40","name":"g","channels":[],"roles":[],"members":[]}`
	b.must(events(1, 1, Event{S: 2, Type: "GUILD_CREATE", Guild: 40, Lane: 40, Raw: []byte(create)}))
	b.must(&Ready{Bot: testBot, Shard: shard0, Epoch: 1, SID: "s2", S: 1, Raw: []byte(`{"user":{"id":"9"},"guilds":[]}`), After: 1})
	p := b.pending()
	if len(p) != 1 || p[0].Type != discord.EventGuildDelete || p[0].Guild != 40 || p[0].Lane != 40 || p[0].SID != "s2" {
		t.Fatalf("%+v", p)
	}
	if !bytes.Contains(p[0].Before, []byte(`"name":"g"`)) {
		t.Errorf("before: %s", p[0].Before)
	}
	if len(b.bot().Cache().MissingGuilds(0, 2, []byte(`{"guilds":[]}`))) != 0 {
		t.Error("the guild is still cached")
	}
}

// TestUnwantedPayloadsAreLetGo shows that one small entry does not keep a batch
// of what nobody wants in memory.
func TestUnwantedPayloadsAreLetGo(t *testing.T) {
	b := setup(t)
	b.Strict = false
	bulk := Event{S: 3, Type: "PRESENCE_UPDATE", Raw: bytes.Repeat([]byte("x"), 10_000)}
	cmd := Encode(1, events(1, 1, message(2, 40), bulk))
	if _, err := b.state.Apply(cmd); err != nil {
		t.Fatal(err)
	}
	raw := b.pending()[0].Raw
	clear(cmd)
	if !bytes.Contains(raw, []byte("hello")) {
		t.Error("the entry refers to the batch")
	}
	cmd = Encode(1, events(1, 3, message(4, 40), message(5, 40)))
	if _, err := b.state.Apply(cmd); err != nil {
		t.Fatal(err)
	}
	raw = b.pending()[1].Raw
	clear(cmd)
	if bytes.Contains(raw, []byte("hello")) {
		t.Error("the payload was copied though the batch is wanted")
	}
}

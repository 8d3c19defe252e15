package fsm

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/botnode/botnode/cache"
)

func TestParseShards(t *testing.T) {
	for text, want := range map[string]ShardSet{
		"": {}, "auto": {}, "manual": {Manual: true}, "1": {Total: 1}, "8": {Total: 8, To: 7}, "0-3/8": {Total: 8, To: 3}, "7-7/8": {Total: 8, From: 7, To: 7},
	} {
		if got, err := ParseShards(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"0", "-1", "x", "4-2/8", "0-8/8", "1/2", "0-1/", "65537", "0-1-2/8", "+1", " 1"} {
		if got, err := ParseShards(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig([]byte(`{"shards":"3","caches":{"members":{"mode":"bounded","max_count":5,"filter":"user.bot == false"}}}`))
	if err != nil || c.Shards != "3" || c.MaxAttempts != DefaultConfig().MaxAttempts {
		t.Fatalf("%+v, %v", c, err)
	}
	for text, want := range map[string]string{
		`{"intent":1}`: `unknown field "intent"`, `{`: "EOF", `{"shards":"x"}`: "none of auto",
		`{"caches":{"member":{"mode":"on"}}}`:                                  `cache policy of member: cache: unknown kind: "member"`,
		`{"caches":{"members":{"mode":"some"}}}`:                               `mode "some" is none of`,
		`{"caches":{"members":{"mode":"bounded"}}}`:                            "needs max_count or max_bytes",
		`{"caches":{"members":{"mode":"on","max_count":5}}}`:                   "has no bounds",
		`{"caches":{"members":{"mode":"off","filter":"a == 1"}}}`:              "has no filter",
		`{"caches":{"members":{"mode":"bounded","max_count":-5}}}`:             "above 0",
		`{"caches":{"members":{"mode":"on","filter":"a = 1"}}}`:                "not a filter",
		`{"caches":{"roles":{"mode":"x"},"emojis":{"mode":"y"},"users":null}}`: "cache policy of emojis",
	} {
		if _, err := ParseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestShardsStay refuses what would change the shards of a layout, and takes
// what says the same in other words.
func TestShardsStay(t *testing.T) {
	b := setup(t) // two shards of two
	for _, setting := range []string{"3", "0-1/3", "0-0/2", "x"} {
		before := b.state.Digest()
		r := b.do(&Configure{Bot: testBot, Rev: 1, Config: fmt.Appendf(nil, `{"shards":%q,"intents":7}`, setting)})[0]
		if r.Code != Refused || !strings.Contains(r.Msg, "shards: ") || b.state.Digest() != before {
			t.Errorf("%s: %+v", setting, r)
		}
	}
	for i, setting := range []string{"2", "0-1/2", "auto"} {
		b.must(&Configure{Bot: testBot, Rev: uint64(i) + 1, Config: fmt.Appendf(nil, `{"shards":%q}`, setting)})
	}
}

// TestReidentify changes the intents of a bot of two shards: one session after
// the other is ended on purpose, and each has a gap record that says so.
func TestReidentify(t *testing.T) {
	b := setup(t)
	ready := func(k ShardKey, sid string, after, intents uint64) Command {
		return &Ready{
			Bot: testBot, Shard: k, Epoch: 1, SID: sid, URL: "u", S: 1, After: after, Intents: intents,
			Raw: []byte(`{"user":{"id":"9"},"guilds":[]}`),
		}
	}
	again := func(k ShardKey, sid string, epoch uint64) *Reidentify {
		return &Reidentify{Bot: testBot, Shard: k, Epoch: epoch, SID: sid}
	}
	code := func(cmd Command, want Code) {
		t.Helper()
		before := b.state.Digest()
		if r := b.do(cmd)[0]; r.Code != want || want != OK && b.state.Digest() != before {
			t.Fatalf("%+v: %+v", cmd, r)
		}
	}
	b.must(&Lost{Bot: testBot, Shard: shard0, Epoch: 1, SID: "s1"}, ready(shard0, "a", 1, 513), ready(shard1, "b", 0, 513))
	code(again(shard0, "a", 1), Old) // it has these intents
	b.must(&Configure{Bot: testBot, Rev: 1, Config: []byte(`{"intents":1,"identify_reserve":1}`)})
	code(again(shard0, "a", 2), Fenced)
	code(again(shard0, "x", 1), Old)
	code(&Reidentify{Bot: "x", Shard: shard0, Epoch: 1, SID: "a"}, Refused)
	b.must(&Budget{Bot: testBot, Budget: IdentifyBudget{Remaining: 1, Limit: 1000}})
	code(again(shard0, "a", 1), Refused) // within the budget alone
	b.must(&Budget{Bot: testBot, Budget: IdentifyBudget{Remaining: 9, Limit: 1000}}, again(shard0, "a", 1))
	if sh := b.shard(shard0); sh.SID != "" || !sh.Planned {
		t.Fatalf("%+v", sh)
	}
	code(again(shard0, "a", 1), Old)     // a repeat
	code(again(shard1, "b", 1), Refused) // one at a time
	var snap bytes.Buffer
	c, err := b.Capture()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteTo(&snap); err != nil {
		t.Fatal(err)
	}
	if restored, _, err := ReadSnapshot(&snap); err != nil || !restored.bots[testBot].shards[shard0].Planned {
		t.Fatalf("%v", err)
	}
	b.must(ready(shard0, "c", 2, 1), again(shard1, "b", 1), ready(shard1, "d", 1, 1))
	gaps := b.bot().Gaps
	if n := len(gaps); n != 3 || gaps[0].Kind != "session" || gaps[1].Kind != "planned" || gaps[2].Kind != "planned" || gaps[2].Shard != shard1 {
		t.Errorf("%+v", gaps)
	}
	for _, k := range []ShardKey{shard0, shard1} {
		if sh := b.shard(k); sh.Intents != 1 || sh.Planned {
			t.Errorf("%+v", sh)
		}
	}
	code(again(shard0, "c", 1), Old)
}

// TestSweepCommand shrinks a cache of 5,000 members by commands.
func TestSweepCommand(t *testing.T) {
	b := setup(t)
	b.Strict = false
	evs := []Event{{S: 2, Type: "GUILD_CREATE", Guild: 40, Lane: 40, Raw: []byte(`{"id":"40"}`)}}
	for i := range 5000 {
		raw := fmt.Appendf(nil, `{"guild_id":"40","user":{"id":"%d","bot":%t}}`, 100+i, i%2 == 0)
		evs = append(evs, Event{S: int64(3 + i), Type: "GUILD_MEMBER_ADD", Guild: 40, Lane: 40, Raw: raw})
	}
	b.must(events(1, 1, evs...))
	if r := b.do(&Sweep{Bot: testBot, Most: 10})[0]; r.Code != Old {
		t.Fatalf("with nothing to do: %+v", r)
	}
	b.must(&Configure{Bot: testBot, Rev: 1, Config: []byte(`{"intents":513,"caches":{"members":{"mode":"on","filter":"user.bot == true"}}}`)})
	steps := 0
	for b.bot().cache.Sweeping() {
		step := &Sweep{Bot: testBot, Step: b.bot().Sweeps, Most: 500}
		b.must(step)
		before := b.state.Digest()
		if r := b.do(step)[0]; r.Code != Old || b.state.Digest() != before {
			t.Fatalf("a repeat: %+v", r)
		}
		if b.state.Digest() != b.state.Recompute() {
			t.Fatal("the digest is wrong")
		}
		steps++
	}
	if n := b.bot().cache.Stats()[cache.Members].Count; steps < 7 || n != 2500 {
		t.Errorf("%d members after %d steps", n, steps)
	}
	if r := b.do(&Sweep{Bot: "x"})[0]; r.Code != Refused {
		t.Errorf("of no bot: %+v", r)
	}
}

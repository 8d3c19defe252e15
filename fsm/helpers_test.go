package fsm

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
)

const testBot = "default"

var (
	joe    = NodeRef{ID: "joe", Inc: 1}
	mike   = NodeRef{ID: "mike", Inc: 1}
	robert = NodeRef{ID: "robert", Inc: 1}
	shard0 = ShardKey{Layout: 2, Index: 0}
	shard1 = ShardKey{Layout: 2, Index: 1}
)

// bench is a machine in strict mode with a log of its own.
type bench struct {
	t *testing.T
	*Machine
	next uint64 // index of the next entry
	log  [][]byte
	// seen is the pending journal as a follower of the changes has it.
	seen mirror
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, Machine: NewMachine(), next: 1, seen: mirror{}}
	b.Strict = true
	b.Observe(b.seen)
	return b
}

// do applies commands as one entry, under the generation in force.
func (b *bench) do(cmds ...Command) []Result {
	b.t.Helper()
	raw := make([][]byte, 0, len(cmds))
	for _, c := range cmds {
		raw = append(raw, Encode(b.state.Generation, c))
	}
	return b.entry(EncodeBatch(raw))
}

func (b *bench) entry(entry []byte) []Result {
	b.t.Helper()
	before := bytes.Clone(entry)
	res := b.Apply(b.next, entry).([]Result)
	if !bytes.Equal(before, entry) {
		b.t.Fatalf("entry %d: Apply wrote to its bytes", b.next)
	}
	b.log = append(b.log, entry)
	b.next++
	return res
}

// must applies commands that all have to take effect.
func (b *bench) must(cmds ...Command) {
	b.t.Helper()
	for i, r := range b.do(cmds...) {
		if r.Code != OK {
			b.t.Fatalf("%T %+v: %v %s", cmds[i], cmds[i], r.Code, r.Msg)
		}
	}
}

func (b *bench) bot() *Bot { return b.state.bots[testBot] }

func (b *bench) shard(k ShardKey) *Shard { return b.bot().shards[k] }

func (b *bench) pending() []*Entry {
	var all []*Entry
	for e := range b.bot().PendingEntries() {
		all = append(all, e)
	}
	return all
}

// setup brings up two nodes and a bot of two shards that joe owns, with a
// session on shard 0.
func setup(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.must(
		&Init{ClusterID: "c"}, &Up{Node: joe}, &Up{Node: mike},
		&Configure{Bot: testBot, Config: []byte(`{"intents":513,"identify_reserve":1}`)},
		&Layout{Bot: testBot, Total: 2, From: 0, To: 1},
		&Interests{Bot: testBot, List: []Interest{
			{Type: "MESSAGE_CREATE", Handlers: []string{"log", "ping"}},
			{Type: "MESSAGE_UPDATE", Handlers: []string{"log"}},
			{Type: "CHANNEL_UPDATE", Handlers: []string{"log"}},
			{Type: "GUILD_DELETE", Handlers: []string{"bye"}},
			{Type: "TYPING_START"},
		}},
		&Budget{Bot: testBot, Budget: IdentifyBudget{Remaining: 10, Limit: 1000, MaxConcurrency: 1}},
		&Grant{Bot: testBot, Shard: shard0, Epoch: 0, To: joe},
		&Grant{Bot: testBot, Shard: shard1, Epoch: 0, To: joe},
		&Ready{
			Bot: testBot, Shard: shard0, Epoch: 1, SID: "s1", URL: "wss://a", S: 1, At: 1000,
			Raw: []byte(`{"v":10,"user":{"id":"9"},"guilds":[]}`),
		},
	)
	return b
}

// message is a MESSAGE_CREATE of guild g.
func message(s int64, g discord.Snowflake) Event {
	raw := fmt.Sprintf(`{"id":"%d","channel_id":"%d","guild_id":"%d","content":"hello %d"}`, 1000+s, uint64(g)+1, g, s)
	return Event{S: s, Type: "MESSAGE_CREATE", Guild: g, Lane: g, Raw: []byte(raw), Slices: cache.Slice([]byte(raw)).Slices}
}

// events is a batch of shard 0's session s1 under epoch e.
func events(e uint64, prev int64, evs ...Event) *Events {
	return &Events{Bot: testBot, Shard: shard0, Epoch: e, SID: "s1", Prev: prev, At: 2000, Evs: evs}
}

func done(pos uint64, handler string, by NodeRef) *Done {
	return &Done{Bot: testBot, Shard: shard0, Pos: pos, Handler: handler, Runner: by}
}

// mirror follows the changes as a dispatcher does.
type mirror map[string]*Entry

func mirrorKey(e *Entry) string { return fmt.Sprintf("%s/%v/%d", e.Bot, e.Shard, e.Pos) }

func (m mirror) Applied(_ uint64, c Changes) {
	for _, e := range c.Added {
		m[mirrorKey(e)] = e
	}
	for _, e := range c.Altered {
		if m[mirrorKey(e)] == nil {
			panic("altered an entry that nobody was told of: " + mirrorKey(e))
		}
		m[mirrorKey(e)] = e
	}
	for _, e := range c.Removed {
		if m[mirrorKey(e)] == nil {
			panic("removed an entry that nobody was told of: " + mirrorKey(e))
		}
		delete(m, mirrorKey(e))
	}
}

func (m mirror) Restored(uint64) { clear(m) }

// diff says where the mirror differs from the pending entries.
func (m mirror) diff(s *State) string {
	var out []string
	n := 0
	for _, name := range s.BotNames() {
		for e := range s.bots[name].PendingEntries() {
			n++
			if m[mirrorKey(e)] != e {
				out = append(out, "stale "+mirrorKey(e))
			}
		}
	}
	if n != len(m) {
		out = append(out, fmt.Sprintf("%d pending, %d in the mirror", n, len(m)))
	}
	return strings.Join(out, ", ")
}

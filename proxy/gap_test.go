package proxy

import (
	"fmt"
	"testing"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// Events are lost with the bot's own session: its clients are told.
func TestClientsLearnOfAGap(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	c := b.nodes[0].dial("")
	c.begun(bedIntents, "")
	b.must(
		&fsm.Lost{Bot: bedBot, Shard: b.shard, Epoch: 1, SID: "s1"},
		&fsm.Ready{Bot: bedBot, Shard: b.shard, Epoch: 1, SID: "s2", URL: "wss://a", S: 1, At: 1, After: 1,
			Raw: fmt.Appendf(nil, `{"v":10,"user":{"id":"%d"},"guilds":[{"id":"%d","unavailable":true}]}`, bedSelf, guildID(0))},
		&fsm.Events{Bot: bedBot, Shard: b.shard, Epoch: 1, SID: "s2", Prev: 1, At: 1, Evs: []fsm.Event{{S: 2, Type: discord.EventMessageCreate,
			Guild: guildID(0), Lane: guildID(0), Raw: fmt.Appendf(nil, `{"guild_id":"%d","content":"after the gap"}`, guildID(0))}}},
	)
	if m := c.next(); m.Op != discord.OpInvalidSession && m.T != discord.EventGuildDelete {
		t.Errorf("the first thing after a gap: op %d %s %s", m.Op, m.T, m.D)
	}
}

// So are those of a session of which another cluster has handled a part.
func TestClientsLearnOfWhatWasHandledElsewhere(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	c := b.nodes[0].dial("")
	c.begun(bedIntents, "")
	b.must(
		&fsm.Disconnect{Bot: bedBot, Shard: b.shard, Epoch: 1},
		&fsm.Connect{Bot: bedBot, Shard: b.shard, Epoch: 2, To: b.nodes[0].self, SID: "s1", URL: "wss://a", C: 100, At: 1},
		&fsm.Events{Bot: bedBot, Shard: b.shard, Epoch: 3, SID: "s1", Prev: 100, At: 1, Evs: []fsm.Event{{S: 101, Type: discord.EventMessageCreate,
			Guild: guildID(0), Lane: guildID(0), Raw: fmt.Appendf(nil, `{"guild_id":"%d","content":"after the gap"}`, guildID(0))}}},
	)
	if m := c.next(); m.Op != discord.OpInvalidSession || string(m.D) != "false" {
		t.Errorf("the first thing after a gap: op %d %s %s", m.Op, m.T, m.D)
	}
}

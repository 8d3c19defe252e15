package proxy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/jsonscan"
)

const memberIntents = bedIntents | discord.IntentGuildMembers

// chunk is what tests look at in GUILD_MEMBERS_CHUNK.
type chunk struct {
	Guild   string `json:"guild_id"`
	Members []struct {
		User struct {
			ID       string `json:"id"`
			Username string `json:"username"`
		} `json:"user"`
	} `json:"members"`
	Index     int               `json:"chunk_index"`
	Count     int               `json:"chunk_count"`
	NotFound  []string          `json:"not_found"`
	Presences []json.RawMessage `json:"presences"`
	Nonce     *string           `json:"nonce"`
}

func (m message) chunk(t tb) (c chunk) {
	t.Helper()
	if err := json.Unmarshal(m.D, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// What the cache has for certain is answered from it, under the last number.
func TestMembersFromTheCache(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1, members: 2100})
	c := b.nodes[0].dial("")
	c.begun(memberIntents, "")
	seq := c.seq
	ask := func(format string, a ...any) {
		c.send(discord.OpRequestGuildMembers, fmt.Sprintf(`{"guild_id":"%d",`, guildID(0))+fmt.Sprintf(format, a...)+"}")
	}
	ask(`"query":"","limit":0,"nonce":"abc"`)
	seen := make(map[string]bool)
	for i := range 3 {
		m := c.event(discord.EventGuildMembersChunk)
		got := m.chunk(t)
		if got.Index != i || got.Count != 3 || *got.Nonce != "abc" || got.Presences != nil || *m.S != seq {
			t.Errorf("chunk %d under %d: %d of %d", i, *m.S, got.Index, got.Count)
		}
		for _, m := range got.Members {
			seen[m.User.ID] = true
		}
	}
	if len(seen) != 2101 {
		t.Errorf("%d members", len(seen))
	}
	ask(`"query":"USER20","limit":3`)
	got := c.event(discord.EventGuildMembersChunk).chunk(t)
	if len(got.Members) != 3 || got.Members[0].User.Username != "user20" || got.Nonce != nil {
		t.Errorf("by a prefix: %+v", got)
	}
	ask(`"query":"user","limit":1000`)
	if got = c.event(discord.EventGuildMembersChunk).chunk(t); len(got.Members) != 100 {
		t.Errorf("%d by a prefix", len(got.Members))
	}
	ask(`"user_ids":["1005","5"],"nonce":"%s"`, strings.Repeat("x", 33))
	if got = c.event(discord.EventGuildMembersChunk).chunk(t); len(got.Members) != 1 || fmt.Sprint(got.NotFound) != "[5]" || got.Nonce != nil {
		t.Errorf("by ids: %+v", got)
	}
	if len(b.spoke) > 0 {
		t.Errorf("Discord was asked: %+v", b.spoke)
	}
}

// What the cache doesn't know Discord is asked for, and only who asked hears it.
func TestMembersFromDiscord(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 2})
	// More members than are cached.
	b.emit(discord.EventGuildUpdate, guildID(0), fmt.Appendf(nil, `{"id":"%d","member_count":5}`, guildID(0)))
	c, other := b.nodes[0].dial(""), b.nodes[0].dial("")
	c.begun(memberIntents, "")
	other.begun(memberIntents, "")
	c.send(discord.OpRequestGuildMembers, fmt.Sprintf(`{"guild_id":"%d","query":"","limit":0,"nonce":"mine"}`, guildID(0)))
	asked := b.spokenNext(0)
	nonce := jsonscan.String(jsonscan.Get([]byte(asked.d), "nonce"))
	if asked.op != discord.OpRequestGuildMembers || !strings.HasPrefix(nonce, fsm.ClientNonce) || len(nonce) > 32 {
		t.Fatalf("asked %+v", asked)
	}
	reply := func(nonce string, i, n int) {
		b.emit(discord.EventGuildMembersChunk, guildID(0), fmt.Appendf(nil,
			`{"guild_id":"%d","members":[{"user":{"id":"%d"}}],"chunk_index":%d,"chunk_count":%d,"nonce":%q}`, guildID(0), 500+i, i, n, nonce))
	}
	reply("botnode-verify-1", 0, 1) // the cluster's own
	reply(nonce, 0, 2)
	reply(nonce, 1, 2)
	reply(nonce, 1, 2) // it is over by now
	b.say(guildID(0), "end")
	for i := range 2 {
		if got := c.event(discord.EventGuildMembersChunk).chunk(t); got.Index != i || *got.Nonce != "mine" || got.Members[0].User.ID != fmt.Sprint(500+i) {
			t.Errorf("chunk %d: %+v", i, got)
		}
	}
	c.event(discord.EventMessageCreate)
	other.event(discord.EventMessageCreate)

	c.send(discord.OpRequestGuildMembers, fmt.Sprintf(`{"guild_id":["%d"],"query":"","limit":0}`, guildID(0)))
	nonce = jsonscan.String(jsonscan.Get([]byte(b.spokenNext(1).d), "nonce"))
	b.emit(discord.EventRateLimited, 0, fmt.Appendf(nil, `{"opcode":8,"retry_after":2.5,"meta":{"guild_id":"%d","nonce":%q}}`, guildID(0), nonce))
	if m := c.event(discord.EventRateLimited); string(m.D) != fmt.Sprintf(`{"opcode":8,"retry_after":2.5,"meta":{"guild_id":"%d"}}`, guildID(0)) {
		t.Errorf("%s", m.D)
	}
	// Of users that are all cached the cache knows enough.
	c.send(discord.OpRequestGuildMembers, fmt.Sprintf(`{"guild_id":"%d","user_ids":"%d"}`, guildID(0), bedSelf))
	if got := c.event(discord.EventGuildMembersChunk).chunk(t); len(got.Members) != 1 {
		t.Errorf("%+v", got)
	}
}

// What Discord doesn't answer isn't answered, and what it refuses is refused.
func TestMembersNotAnswered(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 2, members: 1})
	c := b.nodes[0].dial("")
	c.begun(bedIntents, `,"shard":[0,2]`)
	for _, d := range []string{
		fmt.Sprintf(`{"guild_id":"%d","query":"","limit":0}`, guildID(0)),  // without the intent
		fmt.Sprintf(`{"guild_id":"%d","query":"u","limit":1}`, guildID(1)), // another shard's
	} {
		c.send(discord.OpRequestGuildMembers, d)
	}
	c.send(discord.OpHeartbeat, "null")
	if m := c.next(); m.Op != discord.OpHeartbeatACK {
		t.Errorf("%+v", m)
	}
	c.send(discord.OpRequestGuildMembers, fmt.Sprintf(`{"guild_id":"%d"}`, guildID(0)))
	if code, _ := c.closed(); code != 4002 {
		t.Errorf("neither query nor users: %d", code)
	}
}

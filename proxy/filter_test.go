package proxy

import (
	"encoding/json"
	"testing"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

func TestFilter(t *testing.T) {
	const self = 99
	g0, g1 := guildID(0), guildID(1)
	for name, tc := range map[string]struct {
		shard   int
		intents discord.Intents
		e       fsm.Entry
		want    bool
	}{
		"a guild of the shard":         {0, discord.IntentGuildMessages, fsm.Entry{Type: discord.EventMessageCreate, Guild: g0}, true},
		"a guild of another":           {0, discord.IntentGuildMessages, fsm.Entry{Type: discord.EventMessageCreate, Guild: g1}, false},
		"a private message":            {0, discord.IntentDirectMessages, fsm.Entry{Type: discord.EventMessageCreate}, true},
		"not on shard 1":               {1, discord.IntentDirectMessages, fsm.Entry{Type: discord.EventMessageCreate}, false},
		"without the intent":           {0, discord.IntentGuildMessages, fsm.Entry{Type: discord.EventMessageCreate}, false},
		"an interaction":               {1, 0, fsm.Entry{Type: discord.EventInteractionCreate, Guild: g1}, true},
		"an event to come":             {1, 0, fsm.Entry{Type: "SOMETHING_NEW", Guild: g1}, true},
		"READY":                        {0, discord.IntentsAll, fsm.Entry{Type: discord.EventReady}, false},
		"RESUMED":                      {0, discord.IntentsAll, fsm.Entry{Type: discord.EventResumed}, false},
		"a tick":                       {0, discord.IntentsAll, fsm.Entry{Type: fsm.EventTick}, false},
		"the bot's user":               {1, 0, fsm.Entry{Type: discord.EventUserUpdate}, true},
		"the bot's user once more":     {1, 0, fsm.Entry{Type: discord.EventUserUpdate, Shard: fsm.ShardKey{Layout: 2, Index: 1}}, false},
		"the bot as a member":          {0, 0, fsm.Entry{Type: discord.EventGuildMemberUpdate, Guild: g0, Raw: []byte(`{"user":{"id":"99"}}`)}, true},
		"another member":               {0, 0, fsm.Entry{Type: discord.EventGuildMemberUpdate, Guild: g0, Raw: []byte(`{"user":{"id":"98"}}`)}, false},
		"another, with the intent":     {0, discord.IntentGuildMembers, fsm.Entry{Type: discord.EventGuildMemberUpdate, Guild: g0, Raw: []byte(`{}`)}, true},
		"the bot joins a thread":       {0, discord.IntentGuilds, fsm.Entry{Type: discord.EventThreadMembersUpdate, Guild: g0, Raw: []byte(`{"added_members":[{"user_id":"99"}]}`)}, true},
		"the bot leaves a thread":      {0, discord.IntentGuilds, fsm.Entry{Type: discord.EventThreadMembersUpdate, Guild: g0, Raw: []byte(`{"removed_member_ids":["99"]}`)}, true},
		"another joins a thread":       {0, discord.IntentGuilds, fsm.Entry{Type: discord.EventThreadMembersUpdate, Guild: g0, Raw: []byte(`{"added_members":[{"user_id":"9"}]}`)}, false},
		"another, seen by the members": {0, discord.IntentGuildMembers, fsm.Entry{Type: discord.EventThreadMembersUpdate, Guild: g0, Raw: []byte(`{}`)}, true},
	} {
		f := filter{shard: tc.shard, shards: 2, intents: tc.intents, self: self}
		if got := f.passes(&tc.e); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestContent(t *testing.T) {
	const full = `"content":"x","embeds":[1],"attachments":[2],"components":[3],"poll":{"q":1},"message_snapshots":[4],"other":"y"`
	const blank = `"content":"","embeds":[],"attachments":[],"components":[],"message_snapshots":[],"other":"y"`
	for name, tc := range map[string]struct {
		e       fsm.Entry
		intents discord.Intents
		want    string // "" for the event's own
	}{
		"another's":            {fsm.Entry{Type: discord.EventMessageCreate, Guild: 1, Raw: []byte(`{"author":{"id":"7"},` + full + `}`)}, 0, `{"author":{"id":"7"},` + blank + `}`},
		"an update":            {fsm.Entry{Type: discord.EventMessageUpdate, Guild: 1, Raw: []byte(`{` + full + `}`)}, 0, `{` + blank + `}`},
		"with the intent":      {fsm.Entry{Type: discord.EventMessageCreate, Guild: 1, Raw: []byte(`{` + full + `}`)}, discord.IntentMessageContent, ""},
		"the bot's own":        {fsm.Entry{Type: discord.EventMessageCreate, Guild: 1, Raw: []byte(`{"author":{"id":"99"},` + full + `}`)}, 0, ""},
		"a mention":            {fsm.Entry{Type: discord.EventMessageCreate, Guild: 1, Raw: []byte(`{"mentions":[{"id":"5"},{"id":"99"}],` + full + `}`)}, 0, ""},
		"a private one":        {fsm.Entry{Type: discord.EventMessageCreate, Raw: []byte(`{` + full + `}`)}, 0, ""},
		"a reply to the bot's": {fsm.Entry{Type: discord.EventMessageCreate, Guild: 1, Raw: []byte(`{"content":"x","referenced_message":{"author":{"id":"99"},"content":"z"}}`)}, 0, `{"content":"","referenced_message":{"author":{"id":"99"},"content":"z"}}`},
		"a reply to another's": {fsm.Entry{Type: discord.EventMessageCreate, Guild: 1, Raw: []byte(`{"content":"x","referenced_message":{"content":"z"}}`)}, 0, `{"content":"","referenced_message":{"content":""}}`},
		"a reply to nothing":   {fsm.Entry{Type: discord.EventMessageCreate, Guild: 1, Raw: []byte(`{"content":"x","referenced_message":null}`)}, 0, `{"content":"","referenced_message":null}`},
		"no object":            {fsm.Entry{Type: discord.EventMessageCreate, Guild: 1, Raw: []byte(`[1]`)}, 0, `{}`},
		"an interaction":       {fsm.Entry{Type: discord.EventInteractionCreate, Guild: 1, Raw: []byte(`{` + full + `}`)}, 0, ""},
		"a guild": {fsm.Entry{Type: discord.EventGuildCreate, Guild: 1, Raw: []byte(`{"id":"1","presences":[{}],"voice_states":[{}]}`)},
			discord.IntentGuildVoiceStates, `{"id":"1","presences":[],"voice_states":[{}]}`},
		"a guild with nobody there": {fsm.Entry{Type: discord.EventGuildCreate, Guild: 1, Raw: []byte(`{"id":"1","presences":[]}`)}, 0, ""},
	} {
		f := filter{shards: 1, intents: tc.intents, self: 99}
		d, same := f.content(&tc.e)
		want := tc.want
		if want == "" {
			want = string(tc.e.Raw)
		}
		if string(d) != want || same != (tc.want == "") || !json.Valid(d) {
			t.Errorf("%s: %v %s", name, same, d)
		}
	}
}

package cache

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/botnode/botnode/discord"
)

func TestQueries(t *testing.T) {
	c := filled(everything())
	obj := func(b []byte, _ bool) []byte { return b }
	same(t, "guild", obj(c.Guild(100)), `{"id":"100","name":"full","member_count":2,"future":{"field":1}}`)
	same(t, "role", obj(c.Role(100, 401)), `{"id":"401","name":"admin"}`)
	same(t, "channel", obj(c.Channel(201)), `{"id":"201","type":0,"name":"general","last_message_id":"60"}`)
	same(t, "thread", obj(c.Channel(301)), `{"id":"301","parent_id":"201","name":"a thread"}`)
	same(t, "no channel", obj(c.Channel(999)), "")
	same(t, "member", obj(c.Member(100, 1)), `{"roles":["401"],"nick":null}`)
	same(t, "member with user", obj(c.MemberWithUser(100, 1)), `{"user":{"id":"1","username":"ann"},"roles":["401"],"nick":null}`)
	same(t, "no member", obj(c.MemberWithUser(100, 7)), "")
	same(t, "user", obj(c.User(2)), `{"id":"2","username":"bob"}`)
	same(t, "presence", obj(c.Presence(100, 1)), `{"user":{"id":"1"},"status":"online"}`)
	same(t, "voice state", obj(c.VoiceState(100, 1)), `{"user_id":"1","channel_id":"201","session_id":"v"}`)
	same(t, "self", c.Self(), `{"id":"9","username":"bot"}`)
	if m, ok := c.Message(201, 60); !ok || !strings.Contains(string(m), `"content":"hi"`) {
		t.Errorf("message: %s", m)
	}
	if g, ok := c.ChannelGuild(302); !ok || g != 100 {
		t.Errorf("the thread's guild is %v %v", g, ok)
	}
	if shard, total, ok := c.GuildShard(100); shard != 0 || total != 1 || !ok {
		t.Errorf("the guild's shard is %d of %d, %v", shard, total, ok)
	}
	lists := map[string]struct {
		list Objects
		want []discord.Snowflake
	}{
		"guilds": {c.Guilds(), []discord.Snowflake{100}}, "channels": {c.GuildChannels(100), []discord.Snowflake{201, 202}},
		"threads": {c.GuildThreads(100), []discord.Snowflake{301, 302}}, "roles": {c.GuildRoles(100), []discord.Snowflake{401, 402}},
		"emojis": {c.GuildEmojis(100), []discord.Snowflake{501}}, "stickers": {c.GuildStickers(100), []discord.Snowflake{601}},
		"members": {c.GuildMembers(100), []discord.Snowflake{1, 2}}, "from": {c.GuildMembersWithUsers(100, 2), []discord.Snowflake{2}},
		"presences": {c.GuildPresences(100), []discord.Snowflake{1}}, "voice": {c.GuildVoiceStates(100), []discord.Snowflake{1}},
		"stages": {c.GuildStageInstances(100), []discord.Snowflake{701}}, "events": {c.GuildScheduledEvents(100), []discord.Snowflake{801}},
		"sounds": {c.GuildSoundboardSounds(100), []discord.Snowflake{901}}, "messages": {c.Messages(201, 0), []discord.Snowflake{60}},
		"another guild": {c.GuildRoles(101), nil}, "no list": {c.GuildList(Users, 100, 0), nil},
	}
	for name, l := range lists {
		got := ids(l.list)
		slices.Sort(got)
		if !slices.Equal(got, l.want) {
			t.Errorf("%s: %v, want %v", name, got, l.want)
		}
	}
	if got := slices.Collect(c.UserGuilds(1)); !slices.Equal(got, []discord.Snowflake{100}) {
		t.Errorf("guilds of the user: %v", got)
	}
}

func TestUserIsHeldOnceAndCounted(t *testing.T) {
	c := filled(everything())
	c.Apply(0, 1, "GUILD_CREATE", []byte(`{"id":"101","members":[{"user":{"id":"1","username":"ann"}}]}`))
	if got := slices.Collect(c.UserGuilds(1)); !slices.Equal(got, []discord.Snowflake{100, 101}) {
		t.Errorf("guilds of the user: %v", got)
	}
	c.Apply(0, 1, "GUILD_DELETE", []byte(`{"id":"100"}`))
	if _, ok := c.User(1); !ok {
		t.Error("a user whom another guild refers to is gone")
	}
	if _, ok := c.User(2); ok {
		t.Error("a user whom no guild refers to is left")
	}
	c.Apply(0, 1, "GUILD_MEMBER_REMOVE", []byte(`{"guild_id":"101","user":{"id":"1"}}`))
	if _, ok := c.User(1); ok {
		t.Error("the user outlived its last member")
	}
}

func TestMissingGuilds(t *testing.T) {
	c := New(DefaultPolicies())
	guild := func(n uint64) discord.Snowflake { return discord.Snowflake(n << 22) }
	for n := range uint64(8) {
		c.Apply(int((n+1)%2), 2, "GUILD_CREATE", fmt.Appendf(nil, `{"id":"%d"}`, guild(n+1)))
	}
	tests := []struct {
		shard, total int
		ready        string
		want         []discord.Snowflake
	}{
		{0, 2, `{"guilds":[{"id":"` + guild(2).String() + `"},{"id":"` + guild(6).String() + `"}]}`, []discord.Snowflake{guild(4), guild(8)}},
		{1, 2, `{"guilds":[]}`, []discord.Snowflake{guild(1), guild(3), guild(5), guild(7)}},
		{3, 4, `{"guilds":[]}`, []discord.Snowflake{guild(3), guild(7)}}, // another shard count
		{0, 2, `{"guilds":null}`, nil},
		{0, 2, `{}`, nil},
		{0, 2, `{"guilds":[{"id":"1"}`, nil},
	}
	for _, tt := range tests {
		if got := c.MissingGuilds(tt.shard, tt.total, []byte(tt.ready)); !slices.Equal(got, tt.want) {
			t.Errorf("%d/%d %s: %v, want %v", tt.shard, tt.total, tt.ready, got, tt.want)
		}
	}
	if n := c.GuildCount(1, 2); n != 4 {
		t.Errorf("shard 1 has %d guilds", n)
	}
	c.Apply(0, 2, "GUILD_DELETE", fmt.Appendf(nil, `{"id":"%d","unavailable":true}`, guild(2)))
	if got := c.UnavailableGuilds(); !slices.Equal(got, []discord.Snowflake{guild(2)}) {
		t.Errorf("unavailable: %v", got)
	}
}

func TestBefore(t *testing.T) {
	c := filled(everything())
	tests := []struct{ event, d, want string }{
		{"GUILD_UPDATE", `{"id":"100"}`, `{"id":"100","name":"full","member_count":2,"future":{"field":1}}`},
		{"GUILD_DELETE", `{"id":"100"}`, `{"id":"100","name":"full","member_count":2,"future":{"field":1}}`},
		{"GUILD_ROLE_UPDATE", `{"guild_id":"100","role":{"id":"401"}}`, `{"id":"401","name":"admin"}`},
		{"GUILD_ROLE_DELETE", `{"guild_id":"100","role_id":"402"}`, `{"id":"402","name":"user"}`},
		{"CHANNEL_UPDATE", `{"guild_id":"100","id":"201"}`, `{"id":"201","type":0,"name":"general","last_message_id":"60"}`},
		{"CHANNEL_DELETE", `{"guild_id":"100","id":"202"}`, `{"id":"202","type":15,"name":"forum"}`},
		{"THREAD_UPDATE", `{"guild_id":"100","id":"301"}`, `{"id":"301","parent_id":"201","name":"a thread"}`},
		{"THREAD_DELETE", `{"guild_id":"100","id":"999"}`, ""},
		{"GUILD_MEMBER_UPDATE", `{"guild_id":"100","user":{"id":"2"}}`, `{"user":{"id":"2","username":"bob"},"roles":[]}`},
		{"GUILD_MEMBER_REMOVE", `{"guild_id":"100","user":{"id":"2"}}`, `{"user":{"id":"2","username":"bob"},"roles":[]}`},
		{"PRESENCE_UPDATE", `{"guild_id":"100","user":{"id":"1"}}`, `{"user":{"id":"1"},"status":"online"}`},
		{"VOICE_STATE_UPDATE", `{"guild_id":"100","user_id":"1"}`, `{"user_id":"1","channel_id":"201","session_id":"v"}`},
		{"GUILD_SCHEDULED_EVENT_UPDATE", `{"guild_id":"100","id":"801"}`, `{"id":"801","name":"party","user_count":3}`},
		{"GUILD_SCHEDULED_EVENT_DELETE", `{"guild_id":"100","id":"801"}`, `{"id":"801","name":"party","user_count":3}`},
		{"STAGE_INSTANCE_UPDATE", `{"guild_id":"100","id":"701"}`, `{"id":"701","topic":"t"}`},
		{"STAGE_INSTANCE_DELETE", `{"guild_id":"100","id":"701"}`, `{"id":"701","topic":"t"}`},
		{"GUILD_SOUNDBOARD_SOUND_UPDATE", `{"guild_id":"100","sound_id":"901"}`, `{"sound_id":"901","name":"boom"}`},
		{"GUILD_SOUNDBOARD_SOUND_DELETE", `{"guild_id":"100","sound_id":"901"}`, `{"sound_id":"901","name":"boom"}`},
		{"MESSAGE_UPDATE", `{"channel_id":"201","id":"61"}`, ""},
		{"USER_UPDATE", `{"id":"9"}`, `{"id":"9","username":"bot"}`},
		{"GUILD_CREATE", `{"id":"100"}`, ""},
		{"CHANNEL_UPDATE", `{`, ""},
	}
	for _, tt := range tests {
		same(t, tt.event, c.Before(tt.event, []byte(tt.d)), tt.want)
	}
	if m := c.Before("MESSAGE_DELETE", []byte(`{"channel_id":"201","id":"60"}`)); !strings.Contains(string(m), `"hi"`) {
		t.Errorf("message before its deletion: %s", m)
	}
}

func TestReactions(t *testing.T) {
	c := filled(everything())
	steps := []struct{ event, d, want string }{
		{"MESSAGE_REACTION_ADD", `"user_id":"1","emoji":{"id":null,"name":"+"}`, `[{"count":1,"count_details":{"burst":0,"normal":1},"me":false,"me_burst":false,"emoji":{"id":null,"name":"+"}}]`},
		{"MESSAGE_REACTION_ADD", `"user_id":"9","emoji":{"id":null,"name":"+"}`, `[{"count":2,"count_details":{"burst":0,"normal":2},"me":true,"me_burst":false,"emoji":{"id":null,"name":"+"}}]`},
		{"MESSAGE_REACTION_ADD", `"user_id":"2","burst":true,"emoji":{"id":"5","name":"x"}`, `[{"count":2,"count_details":{"burst":0,"normal":2},"me":true,"me_burst":false,"emoji":{"id":null,"name":"+"}},{"count":1,"count_details":{"burst":1,"normal":0},"me":false,"me_burst":false,"emoji":{"id":"5","name":"x"}}]`},
		{"MESSAGE_REACTION_REMOVE", `"user_id":"9","emoji":{"id":null,"name":"+"}`, `[{"count":1,"count_details":{"burst":0,"normal":1},"me":false,"me_burst":false,"emoji":{"id":null,"name":"+"}},{"count":1,"count_details":{"burst":1,"normal":0},"me":false,"me_burst":false,"emoji":{"id":"5","name":"x"}}]`},
		{"MESSAGE_REACTION_REMOVE", `"user_id":"1","emoji":{"id":null,"name":"+"}`, `[{"count":1,"count_details":{"burst":1,"normal":0},"me":false,"me_burst":false,"emoji":{"id":"5","name":"x"}}]`},
		{"MESSAGE_REACTION_REMOVE", `"user_id":"1","emoji":{"id":"77","name":"none"}`, `[{"count":1,"count_details":{"burst":1,"normal":0},"me":false,"me_burst":false,"emoji":{"id":"5","name":"x"}}]`},
		{"MESSAGE_REACTION_REMOVE_EMOJI", `"emoji":{"id":"5","name":"renamed"}`, `[]`},
	}
	for i, s := range steps {
		c.Apply(0, 1, s.event, []byte(`{"message_id":"60","channel_id":"201","guild_id":"100",`+s.d+`}`))
		check(t, c)
		m, _ := c.Message(201, 60)
		same(t, fmt.Sprintf("step %d", i), reactionsOf(m), s.want)
	}
	digest := c.Digest()
	c.Apply(0, 1, "MESSAGE_REACTION_ADD", []byte(`{"message_id":"99","channel_id":"201","user_id":"1","emoji":{"name":"+"}}`))
	c.Apply(0, 1, "MESSAGE_REACTION_ADD", []byte(`{"message_id":"60","channel_id":"201","user_id":"1"}`))
	if c.Digest() != digest {
		t.Error("reactions to an unknown message or without an emoji have an effect")
	}
}

func TestVerification(t *testing.T) {
	c := filled(everything())
	again := []byte(`{"id":"100","members":[{"user":{"id":"1","username":"ann"}}]}`)
	c.Apply(0, 1, "GUILD_CREATE", again)
	if !c.Unverified(100, 2) || c.Unverified(100, 1) || !slices.Equal(c.UnverifiedGuilds(), []discord.Snowflake{100}) {
		t.Fatal("the member that the new GUILD_CREATE doesn't name isn't unverified")
	}
	chunk := func(nonce string, index, count, user int) {
		c.Apply(0, 1, "GUILD_MEMBERS_CHUNK", fmt.Appendf(nil, `{"guild_id":"100","members":[{"user":{"id":"%d"}}],"chunk_index":%d,"chunk_count":%d,"nonce":%q}`, user, index, count, nonce))
		check(t, c)
	}
	chunk("other", 0, 1, 3)
	if !c.Unverified(100, 2) {
		t.Fatal("a chunk of another request verifies")
	}
	chunk(VerifyNonce+"-1", 0, 2, 4)
	if _, ok := c.Member(100, 2); !ok {
		t.Fatal("dropped before the last chunk")
	}
	chunk(VerifyNonce+"-1", 1, 2, 5)
	if _, ok := c.Member(100, 2); ok || len(c.UnverifiedGuilds()) > 0 {
		t.Fatal("a member whom no chunk names is left")
	}
	for _, user := range []discord.Snowflake{1, 3, 4, 5} {
		if _, ok := c.Member(100, user); !ok {
			t.Errorf("member %d is gone", user)
		}
	}
}

// TestTwoRequestsVerifyApart: the chunks of two requests come mixed, as after a
// take-over in the middle of one. Nobody is dropped before one of them is whole.
func TestTwoRequestsVerifyApart(t *testing.T) {
	c := New(everything())
	c.Apply(0, 1, "READY", []byte(`{"user":{"id":"9"},"guilds":[{"id":"100","unavailable":true}]}`))
	c.Apply(0, 1, "GUILD_CREATE", []byte(`{"id":"100","members":[{"user":{"id":"1"}},{"user":{"id":"2"}},{"user":{"id":"3"}},{"user":{"id":"4"}}]}`))
	c.Apply(0, 1, "GUILD_CREATE", []byte(`{"id":"100","members":[]}`))
	chunk := func(nonce string, index int) {
		c.Apply(0, 1, "GUILD_MEMBERS_CHUNK", fmt.Appendf(nil, `{"guild_id":"100","members":[{"user":{"id":"%d"}}],"chunk_index":%d,"chunk_count":4,"nonce":%q}`, index+1, index, VerifyNonce+nonce))
		check(t, c)
	}
	for _, step := range []struct {
		nonce string
		index int
	}{{"-a", 0}, {"-b", 0}, {"-a", 1}, {"-b", 1}, {"-a", 2}, {"-b", 2}, {"-a", 3}} {
		chunk(step.nonce, step.index)
	}
	if c.stores.unverified.n != 0 {
		t.Errorf("all members were named, and %d are unverified", c.stores.unverified.n)
	}
	c.Apply(0, 1, "GUILD_CREATE", []byte(`{"id":"100","members":[]}`))
	for _, step := range []struct {
		nonce string
		index int
	}{{"-c", 0}, {"-d", 0}, {"-c", 1}, {"-d", 1}, {"-c", 2}} {
		chunk(step.nonce, step.index)
	}
	if _, ok := c.Member(100, 4); !ok || !c.GuildUnverified(100) {
		t.Error("a member was dropped before any request was whole")
	}
	chunk("-d", 3) // 2 of it is lost
	if _, counting := c.stores.chunks.get(key{100, 0}); !counting {
		t.Error("a request with a chunk missing counts as whole")
	}
}

func TestEviction(t *testing.T) {
	p := everything()
	p[Messages] = Policy{Mode: Bounded, MaxCount: 3}
	c := New(p)
	write := func(event string, id int, content string) {
		c.Apply(0, 1, event, fmt.Appendf(nil, `{"id":"%d","channel_id":"5","content":%q}`, id, content))
		check(t, c)
	}
	cached := func() string { got := ids(c.Messages(5, 0)); slices.Sort(got); return fmt.Sprint(got) }
	for id := range 4 {
		write("MESSAGE_CREATE", id+1, "x")
	}
	if got := cached(); got != "[2 3 4]" {
		t.Fatalf("cached %s, want the last three", got)
	}
	c.Message(5, 2)                    // a read isn't a write
	write("MESSAGE_CREATE", 3, "x")    // neither is a write of what is there
	write("MESSAGE_UPDATE", 2, "more") // this is
	write("MESSAGE_CREATE", 5, "x")
	if got := cached(); got != "[2 4 5]" {
		t.Fatalf("cached %s, want 3 evicted", got)
	}
	p[Messages].MaxCount = 1
	c.SetPolicies(p)
	check(t, c)
	if got := cached(); got != "[5]" {
		t.Fatalf("cached %s, want the last one", got)
	}
	p[Messages] = Policy{Mode: Bounded, MaxBytes: 2*overhead + 100}
	c.SetPolicies(p)
	for id := range 20 {
		write("MESSAGE_CREATE", id+10, "x")
	}
	if s := c.Stats()[Messages]; s.Bytes > p[Messages].MaxBytes || s.Count == 0 {
		t.Fatalf("%+v", s)
	}
	write("MESSAGE_CREATE", 99, strings.Repeat("x", 1000))
	if got := cached(); got != "[]" {
		t.Fatalf("cached %s, though one is larger than all may be", got)
	}
	if s := c.Stats()[Messages]; s.Evicted != 26 {
		t.Fatalf("evicted %d of 26 written", s.Evicted)
	}
}

func TestPoliciesTurnOffAndOn(t *testing.T) {
	c := filled(everything())
	for _, kind := range Kinds() {
		p := everything()
		p[kind].Mode = Off
		c.SetPolicies(p)
		check(t, c)
		if s := c.Stats()[kind]; s.Count != 0 || s.Bytes != 0 {
			t.Errorf("%v is off and has %d objects", kind, s.Count)
		}
		c.Apply(0, 1, "GUILD_CREATE", []byte(fullGuild))
		check(t, c)
		if s := c.Stats()[kind]; s.Count != 0 {
			t.Errorf("%v is off and gets %d objects", kind, s.Count)
		}
		p[kind] = Policy{Mode: Bounded, MaxCount: 1}
		c.SetPolicies(p)
		c.Apply(0, 1, "GUILD_CREATE", []byte(fullGuild))
		check(t, c)
	}
}

func TestPoliciesAreOrderedByOldWrites(t *testing.T) {
	c := filled(everything())
	c.Apply(0, 1, "GUILD_ROLE_UPDATE", []byte(`{"guild_id":"100","role":{"id":"401","color":1}}`))
	p := everything()
	p[Roles] = Policy{Mode: Bounded, MaxCount: 1}
	c.SetPolicies(p)
	check(t, c)
	if _, ok := c.Role(100, 401); !ok {
		t.Error("the role written last was evicted")
	}
}

func TestKindNames(t *testing.T) {
	for _, k := range Kinds() {
		if got, err := ParseKind(k.String()); err != nil || got != k {
			t.Errorf("%v: %v %v", k, got, err)
		}
	}
	if _, err := ParseKind("nonsense"); err == nil {
		t.Error("nonsense is a kind")
	}
}

func TestWalksOverAllOfAKind(t *testing.T) {
	c := filled(everything())
	refs := func(kind Kind, from Ref) (out []Ref) {
		for ref, obj := range c.All(kind, from) {
			if stored, ok := c.Object(kind, ref); !ok || string(stored) != string(obj) {
				t.Errorf("%v %v is %s, and %s by its ref", kind, ref, obj, stored)
			}
			out = append(out, ref)
		}
		return out
	}
	for _, tt := range []struct {
		kind Kind
		from Ref
		want []Ref
	}{
		{Users, Ref{}, []Ref{{1, 0}, {2, 0}}},
		{Users, Ref{Group: 2}, []Ref{{2, 0}}},
		{Roles, Ref{100, 402}, []Ref{{100, 402}}},
		{Messages, Ref{201, 60}, []Ref{{201, 60}}},
		{kindCount, Ref{}, nil},
	} {
		if got := refs(tt.kind, tt.from); !slices.Equal(got, tt.want) {
			t.Errorf("%v from %v: %v, want %v", tt.kind, tt.from, got, tt.want)
		}
	}
	if n, kept := c.Count(Roles); n != 2 || !kept {
		t.Errorf("%d roles, kept: %v", n, kept)
	}
	if n, kept := New(DefaultPolicies()).Count(Messages); n != 0 || kept {
		t.Errorf("%d messages without a cache of them, kept: %v", n, kept)
	}
	if _, kept := c.Count(kindCount); kept {
		t.Error("a kind that isn't one is kept")
	}
	if _, ok := c.Object(kindCount, Ref{}); ok {
		t.Error("a kind that isn't one has an object")
	}
}

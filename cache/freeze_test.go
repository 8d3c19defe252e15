package cache

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/botnode/botnode/discord"
)

const frozenGuild = discord.Snowflake(7)

func frozenWorld(members int) *Cache {
	p := DefaultPolicies()
	p[Presences].Mode = On
	c := New(p)
	c.Apply(0, 1, "READY", []byte(`{"user":{"id":"9"},"guilds":[{"id":"7","unavailable":true},{"id":"8","unavailable":true}]}`))
	list := `{"user":{"id":"9","username":"bot"},"roles":[]}`
	for i := range members {
		list += fmt.Sprintf(`,{"user":{"id":"%d","username":"u%d"},"roles":[]}`, 100+i, i)
	}
	c.Apply(0, 1, "GUILD_CREATE", fmt.Appendf(nil, `{"id":"7","name":"g","member_count":%d,"channels":[{"id":"71"}],"roles":[{"id":"7"}],"threads":[],`+
		`"voice_states":[{"user_id":"101","channel_id":"71"}],"presences":[{"user":{"id":"102"},"status":"idle"}],"members":[%s]}`, members+1, list))
	return c
}

// What is frozen stays as it was, under readers that freeze at the same time and
// a writer that is held off from them alone.
func TestFreezeWhileApplying(t *testing.T) {
	c := frozenWorld(500)
	var lock sync.RWMutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				lock.RLock()
				f := c.Freeze()
				want := string(c.AppendGuildCreate(nil, frozenGuild, GuildView{Members: AllMembers, Presences: true, VoiceStates: true}))
				lock.RUnlock()
				if got := string(f.AppendGuildCreate(nil, frozenGuild, GuildView{Members: AllMembers, Presences: true, VoiceStates: true})); got != want {
					t.Error("it has changed")
					return
				}
			}
		})
	}
	for i := range 2000 {
		lock.Lock()
		c.Apply(0, 1, "GUILD_MEMBER_UPDATE", fmt.Appendf(nil, `{"guild_id":"7","user":{"id":"%d","username":"v%d"},"roles":[],"nick":"n%d"}`, 100+i%500, i, i))
		lock.Unlock()
	}
	wg.Wait()
	if c.Digest() != c.Recompute() {
		t.Error("the live cache has a wrong digest")
	}
}

func TestAppendGuildCreate(t *testing.T) {
	c := frozenWorld(5)
	for name, tc := range map[string]struct {
		view                       GuildView
		members, presences, voices int
	}{
		"nobody":               {GuildView{}, 0, 0, 0},
		"all":                  {GuildView{Members: AllMembers, VoiceStates: true}, 6, 0, 1},
		"in use":               {GuildView{Members: MembersInUse}, 2, 0, 0},
		"in use, or seen here": {GuildView{Members: MembersInUse, Presences: true}, 3, 1, 0},
	} {
		var g struct {
			ID, Name  string
			Channels  []struct{ ID string }
			Emojis    []struct{ ID string }
			Members   []struct{ User struct{ Username string } }
			Presences []json.RawMessage
			Voices    []json.RawMessage `json:"voice_states"`
		}
		d := c.Freeze().AppendGuildCreate([]byte{}, frozenGuild, tc.view)
		if err := json.Unmarshal(d, &g); err != nil {
			t.Fatalf("%s: %s: %v", name, d, err)
		}
		if g.ID != "7" || g.Name != "g" || len(g.Channels) != 1 || g.Emojis == nil || g.Presences == nil || g.Voices == nil ||
			len(g.Members) != tc.members || len(g.Presences) != tc.presences || len(g.Voices) != tc.voices {
			t.Errorf("%s: %s", name, d)
		}
		if len(g.Members) > 0 && g.Members[0].User.Username != "bot" {
			t.Errorf("%s: the bot isn't among its members: %s", name, d)
		}
	}
}

func TestMembersComplete(t *testing.T) {
	c := frozenWorld(5)
	if !c.MembersComplete(frozenGuild) || c.MembersComplete(8) || c.MembersComplete(9) {
		t.Error("all are cached of the one guild that has come")
	}
	if down, in := c.Home(8); !down || !in {
		t.Errorf("guild 8: %v, %v", down, in)
	}
	if down, in := c.Home(7); down || !in {
		t.Errorf("guild 7: %v, %v", down, in)
	}
	c.Apply(0, 1, "GUILD_UPDATE", []byte(`{"id":"7","member_count":7}`))
	if c.MembersComplete(frozenGuild) {
		t.Error("one is missing")
	}
	c.Apply(0, 1, "GUILD_UPDATE", []byte(`{"id":"7","member_count":6}`))
	if !c.MembersComplete(frozenGuild) {
		t.Error("all are there again")
	}
	c.Apply(0, 1, "GUILD_CREATE", []byte(`{"id":"7","member_count":6,"members":[]}`))
	if c.MembersComplete(frozenGuild) {
		t.Error("who is unverified may have left")
	}
}

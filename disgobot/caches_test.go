package disgobot

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/disgoorg/disgo/bot"
	"github.com/disgoorg/disgo/bot/handlers"
	"github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/events"
	"github.com/disgoorg/disgo/gateway"
	"github.com/disgoorg/disgo/sharding"

	"github.com/botnode/botnode"
	kinds "github.com/botnode/botnode/cache"
)

const home = `{"id":"100","name":"home","joined_at":"2020-01-01T00:00:00Z","owner_id":"1",
"channels":[{"id":"201","type":0,"name":"new name"}],"threads":[{"id":"301","type":11,"parent_id":"201","name":"thread"}],
"roles":[{"id":"401","name":"admin"}],"members":[{"user":{"id":"1","username":"ann"},"roles":["401"],"nick":"new"}],
"voice_states":[{"user_id":"1","channel_id":"201","session_id":"v"}],"emojis":[{"id":"501","name":"smile"}]}`

func held() *botnode.Cache {
	c := kinds.New(kinds.DefaultPolicies())
	c.Apply(0, 1, "READY", []byte(`{"user":{"id":"9","username":"bot"},"guilds":[{"id":"100"},{"id":"102","unavailable":true}]}`))
	c.Apply(0, 1, "GUILD_CREATE", []byte(home))
	return botnode.CacheOf(c)
}

func TestCachesAreTheReplicatedOnes(t *testing.T) {
	t.Parallel()
	c := newCaches(held(), nil)
	if u, ok := c.SelfUser(); !ok || u.Username != "bot" {
		t.Errorf("self: %v %v", u.Username, ok)
	}
	if g, ok := c.Guild(100); !ok || g.Name != "home" || c.GuildsLen() != 1 {
		t.Errorf("guild: %v %v of %d", g.Name, ok, c.GuildsLen())
	}
	if m, ok := c.Member(100, 1); !ok || *m.Nick != "new" || m.GuildID != 100 || c.MembersLen(100) != 1 || c.MembersAllLen() != 1 {
		t.Errorf("member: %+v %v", m, ok)
	}
	var names []string
	for ch := range c.Channels() {
		names = append(names, ch.Name())
	}
	if !slices.Equal(names, []string{"new name", "thread"}) || c.ChannelsLen() != 2 {
		t.Errorf("channels: %v of %d", names, c.ChannelsLen())
	}
	if th := c.GuildThreadsInChannel(201); len(th) != 1 || th[0].GuildID() != 100 {
		t.Errorf("threads: %v", th)
	}
	if !c.IsGuildUnavailable(102) || c.IsGuildUnavailable(100) {
		t.Errorf("unavailable: %v", c.UnavailableGuildIDs())
	}
	if p := c.MemberPermissions(first(c.Members(100))); !p.Has(discord.PermissionAdministrator) {
		t.Errorf("the owner's permissions: %v", p)
	}
	c.AddRole(discord.Role{ID: 7, GuildID: 100})
	if _, ok := c.Role(100, 7); ok {
		t.Error("a bot can write to the replicated caches")
	}
	if _, ok := c.Presence(100, 1); ok || c.PresencesAllLen() != 0 {
		t.Error("there is a presence where none is kept")
	}
}

func first[T any](seq func(func(T) bool)) (v T) {
	seq(func(x T) bool {
		v = x
		return false
	})
	return v
}

// deliver has disgo's handler of an event run with the caches of a turn.
func deliver(t *testing.T, turn *turn, event gateway.EventType, d string, listeners ...bot.EventListener) {
	t.Helper()
	b := botnode.New()
	client, err := New(b, "", bot.WithDefaultGateway(), bot.WithEventListeners(listeners...))
	if err != nil {
		t.Fatal(err)
	}
	data, err := gateway.UnmarshalEventData([]byte(d), event)
	if err != nil {
		t.Fatal(err)
	}
	client.Caches = newCaches(held(), turn)
	handlers.GetGatewayHandlers()[event].HandleGatewayEvent(client, 1, 0, data)
}

// Listeners get the object from before the event, and the caches show the one
// after it.
func TestListenersGetOldObjects(t *testing.T) {
	t.Parallel()
	var got []string
	deliver(t, &turn{kind: kinds.Members, guild: 100, before: []byte(`{"user":{"id":"1","username":"ann"},"nick":"old"}`)},
		gateway.EventTypeGuildMemberUpdate, `{"guild_id":"100","user":{"id":"1","username":"ann"},"nick":"new","roles":[]}`,
		bot.NewListenerFunc(func(e *events.GuildMemberUpdate) {
			now, _ := e.Client().Caches.Member(100, 1)
			got = append(got, fmt.Sprint(*e.OldMember.Nick, e.OldMember.GuildID, *e.Member.Nick, *now.Nick))
		}))
	deliver(t, &turn{kind: kinds.Channels, guild: 100, before: []byte(`{"id":"201","type":0,"name":"old name"}`)},
		gateway.EventTypeChannelUpdate, `{"id":"201","guild_id":"100","type":0,"name":"new name"}`,
		bot.NewListenerFunc(func(e *events.GuildChannelUpdate) {
			now, _ := e.Client().Caches.Channel(201)
			got = append(got, fmt.Sprint(e.OldChannel.Name(), e.OldChannel.GuildID(), e.Channel.Name(), now.Name()))
		}))
	deliver(t, &turn{kind: kinds.Guilds, guild: 77, leaving: true, before: []byte(`{"id":"77","name":"left"}`)},
		gateway.EventTypeGuildDelete, `{"id":"77"}`,
		bot.NewListenerFunc(func(e *events.GuildLeave) {
			_, still := e.Client().Caches.Guild(77)
			n := 0
			for range e.Client().Caches.Channels() {
				n++
			}
			got = append(got, fmt.Sprint(e.Guild.Name, " ", still, n))
		}))
	want := []string{"old100newnew", "old name100new namenew name", "left false 2"}
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], "old 100 ", "old100")
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A guild that the bot has been in is ready; one that it has just joined is joined.
func TestGuildsAreReadyOrJoined(t *testing.T) {
	t.Parallel()
	for _, unready := range []bool{true, false} {
		var got string
		deliver(t, &turn{guild: 100, unready: unready}, gateway.EventTypeGuildCreate, home,
			bot.NewListenerFunc(func(*events.GuildReady) { got += "ready" }),
			bot.NewListenerFunc(func(*events.GuildJoin) { got += "joined" }))
		if want := map[bool]string{true: "ready", false: "joined"}[unready]; got != want {
			t.Errorf("unready %v: %q", unready, got)
		}
	}
}

func TestNewTakesIntentsAndRegistersHandlers(t *testing.T) {
	t.Parallel()
	b := botnode.New()
	if _, err := New(b, ""); !errors.Is(err, ErrNoGateway) {
		t.Errorf("a client without a gateway: %v", err)
	}
	client, err := New(b, "", bot.WithGatewayConfigOpts(gateway.WithIntents(gateway.IntentGuildMessages), gateway.WithPresenceOpts(gateway.WithPlayingActivity("x"))))
	if err != nil {
		t.Fatal(err)
	}
	if uint64(b.Intents) != uint64(gateway.IntentGuildMessages) {
		t.Errorf("intents %v", b.Intents)
	}
	if p := client.Gateway.Presence(); p == nil || len(p.Activities) != 1 {
		t.Errorf("presence %+v", p)
	}
	if err := client.OpenGateway(t.Context()); err != nil {
		t.Errorf("opening: %v", err)
	}
	if client.Gateway.Status() != gateway.StatusUnconnected || client.Gateway.ShardCount() != 1 {
		t.Errorf("before the node starts: %v, %d shards", client.Gateway.Status(), client.Gateway.ShardCount())
	}
	if err := client.UpdateVoiceState(t.Context(), 100, nil, false, false); !errors.Is(err, botnode.ErrNotRunning) {
		t.Errorf("sending before the node starts: %v", err)
	}
	if err := client.Gateway.Send(t.Context(), gateway.OpcodeIdentify, gateway.MessageDataIdentify{}); err == nil {
		t.Error("a client can identify")
	}
	defer func() {
		if recover() == nil {
			t.Error("a second client of the same bot is taken")
		}
	}()
	_, _ = New(b, "", bot.WithDefaultGateway())
}

func TestShardManagerIsTheClusters(t *testing.T) {
	t.Parallel()
	client, err := New(botnode.New(), "", bot.WithShardManagerConfigOpts(sharding.WithShardCount(4), sharding.WithShardIDs(0, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.OpenShardManager(t.Context()); err != nil {
		t.Errorf("opening: %v", err)
	}
	if client.ShardManager.Shard(0) != nil || client.ShardManager.ShardByGuildID(100) != nil {
		t.Error("there are shards before the node starts")
	}
}

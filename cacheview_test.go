package botnode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dgo "github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/snowflake/v2"
	"go.uber.org/zap/zaptest"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/node"
)

func allKinds() cache.Policies {
	var p cache.Policies
	for i := range p {
		p[i].Mode = cache.On
	}
	return p
}

const twoGuilds = `{"id":"100","name":"full","member_count":3,"owner_id":"1","joined_at":"2020-01-01T00:00:00Z",
"channels":[{"id":"201","type":0,"name":"general","position":1},{"id":"202","type":2,"name":"voice"}],
"threads":[{"id":"301","type":11,"parent_id":"201","name":"a thread","thread_metadata":{"archived":false}},
 {"id":"302","type":11,"parent_id":"299","name":"another","thread_metadata":{"archived":false}}],
"roles":[{"id":"401","name":"admin"},{"id":"402","name":"user"}],"emojis":[{"id":"501","name":"smile"}],
"stickers":[{"id":"601","name":"wave","tags":"","type":2,"format_type":1}],
"members":[{"user":{"id":"1","username":"ann"},"roles":["401"],"nick":"A"},{"user":{"id":"2","username":"bob"},"roles":["402"]},
 {"user":{"id":"3","username":"cy"},"roles":["402","401"]}],
"presences":[{"user":{"id":"1"},"status":"online"}],
"voice_states":[{"user_id":"1","channel_id":"202","session_id":"v"},{"user_id":"2","channel_id":"203","session_id":"w"}],
"stage_instances":[{"id":"701","guild_id":"100","channel_id":"202","topic":"t"}],
"guild_scheduled_events":[{"id":"801","guild_id":"100","name":"party"}],
"soundboard_sounds":[{"sound_id":"901","name":"horn","volume":1}]}`

func filledView(p cache.Policies) (*Cache, *cache.Cache) {
	c := cache.New(p)
	apply := func(name, d string) { c.Apply(0, 1, name, []byte(d)) }
	apply("READY", `{"user":{"id":"9","username":"bot"},"guilds":[{"id":"100"},{"id":"101"},{"id":"102","unavailable":true}]}`)
	apply("GUILD_CREATE", twoGuilds)
	apply("GUILD_CREATE", `{"id":"101","name":"small","members":[{"user":{"id":"1","username":"ann"},"roles":[]}]}`)
	for i := range 4 {
		id := discord.SnowflakeAt(time.Date(2024, 1, 1, i, 0, 0, 0, time.UTC))
		apply("MESSAGE_CREATE", fmt.Sprintf(`{"id":"%d","channel_id":"201","guild_id":"100","content":"m%d","author":{"id":"%d","username":"x"}}`, id, i, 1+i%2))
	}
	return CacheOf(c), c
}

// collect drains an iterator into a key of each value; an error is a key too.
func collect[T any](seq iter.Seq2[T, error], key func(T) any) string {
	var out []string
	for v, err := range seq {
		if err != nil {
			out = append(out, err.Error())
			continue
		}
		out = append(out, fmt.Sprint(key(v)))
	}
	return strings.Join(out, " ")
}

func TestCacheGivesSingleObjects(t *testing.T) {
	t.Parallel()
	v, _ := filledView(allKinds())
	one := func(x any, err error) string {
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(x)
	}
	name := func(what string, get func() (any, error), want string) {
		t.Helper()
		if got := one(get()); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	name("self", func() (any, error) { u, err := v.Self(); return u.Username, err }, "bot")
	name("guild", func() (any, error) { g, err := v.Guild(100); return fmt.Sprint(g.Name, g.MemberCount), err }, "full3")
	name("channel", func() (any, error) {
		ch, err := v.Channel(201)
		if err != nil {
			return nil, err
		}
		text := ch.(dgo.GuildTextChannel)
		return fmt.Sprint(ch.Name(), ch.GuildID(), text.LastMessageID() != nil), nil
	}, "general100 true")
	name("thread", func() (any, error) { x, err := v.Thread(301); return fmt.Sprint(x.Name(), x.GuildID()), err }, "a thread100")
	name("no thread", func() (any, error) { _, err := v.Thread(201); return "", err }, ErrNotCached.Error())
	name("role", func() (any, error) { x, err := v.Role(100, 401); return fmt.Sprint(x.Name, x.GuildID), err }, "admin100")
	name("emoji", func() (any, error) { x, err := v.Emoji(100, 501); return fmt.Sprint(x.Name, x.GuildID), err }, "smile100")
	name("sticker", func() (any, error) { x, err := v.Sticker(100, 601); return fmt.Sprint(x.Name, *x.GuildID), err }, "wave100")
	name("member", func() (any, error) {
		m, err := v.Member(100, 1)
		return fmt.Sprint(m.User.ID, m.User.Username, *m.Nick, m.GuildID, m.RoleIDs), err
	}, "1xA100 [401]")
	name("no member", func() (any, error) { _, err := v.Member(100, 7); return "", err }, ErrNotCached.Error())
	name("user", func() (any, error) { x, err := v.User(2); return x.Username, err }, "x")
	name("presence", func() (any, error) { x, err := v.Presence(100, 1); return fmt.Sprint(x.Status, x.GuildID), err }, "online100")
	name("voice", func() (any, error) { x, err := v.VoiceState(100, 1); return fmt.Sprint(*x.ChannelID, x.GuildID), err }, "202 100")
	name("stage", func() (any, error) { x, err := v.StageInstance(100, 701); return x.Topic, err }, "t")
	name("event", func() (any, error) { x, err := v.ScheduledEvent(100, 801); return x.Name, err }, "party")
	name("sound", func() (any, error) { x, err := v.SoundboardSound(100, 901); return x.Name, err }, "horn")
	first := discord.SnowflakeAt(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))
	name("message", func() (any, error) { x, err := v.Message(201, snowflake.ID(first)); return x.Content, err }, "m0")
	name("guild of a channel", func() (any, error) { return v.ChannelGuild(302) }, "100")
	name("shard", func() (any, error) { s, n, err := v.GuildShard(100); return fmt.Sprint(s, n), err }, "0 1")
	name("no shard", func() (any, error) { _, _, err := v.GuildShard(999); return "", err }, ErrNotCached.Error())
	name("unavailable", func() (any, error) { return v.UnavailableGuilds() }, "[102]")
	name("guilds of the shard", func() (any, error) { return v.ShardGuilds(0, 1) }, "[100 101 102]")
	name("count", func() (any, error) { return v.Count(cache.Members) }, "4")
	name("raw", func() (any, error) { b, err := v.Raw().Get(cache.Roles, 100, 402); return string(b), err }, `{"id":"402","name":"user"}`)
}

func TestCacheWalksItsObjects(t *testing.T) {
	t.Parallel()
	v, _ := filledView(allKinds())
	hour := func(h int) time.Time { return time.Date(2024, 1, 1, h, 0, 0, 0, time.UTC) }
	text := func(m dgo.Message) any { return m.Content }
	who := func(m dgo.Member) any { return fmt.Sprint(m.GuildID, "/", m.User.Username) }
	for what, got := range map[string][2]string{
		"guilds":          {collect(v.Guilds(), func(g dgo.Guild) any { return g.Name }), "full small"},
		"channels":        {collect(v.Channels(100), func(c dgo.GuildChannel) any { return c.Name() }), "general voice"},
		"threads":         {collect(v.Threads(100), func(c dgo.GuildThread) any { return c.ID() }), "301 302"},
		"of a channel":    {collect(v.ChannelThreads(100, 201), func(c dgo.GuildThread) any { return c.ID() }), "301"},
		"roles":           {collect(v.Roles(100), func(r dgo.Role) any { return r.Name }), "admin user"},
		"emojis":          {collect(v.Emojis(100), func(e dgo.Emoji) any { return e.Name }), "smile"},
		"stickers":        {collect(v.Stickers(100), func(s dgo.Sticker) any { return s.Name }), "wave"},
		"members":         {collect(v.Members(100), who), "100/x 100/x 100/cy"},
		"with a role":     {collect(v.MembersWithRole(100, 401), func(m dgo.Member) any { return m.User.ID }), "1 3"},
		"memberships":     {collect(v.Memberships(1), who), "100/x 101/x"},
		"users":           {collect(v.Users(), func(u dgo.User) any { return u.ID }), "1 2 3"},
		"presences":       {collect(v.Presences(100), func(p dgo.Presence) any { return p.PresenceUser.ID }), "1"},
		"voice states":    {collect(v.VoiceStates(100), func(s dgo.VoiceState) any { return s.UserID }), "1 2"},
		"in a channel":    {collect(v.ChannelVoiceStates(100, 202), func(s dgo.VoiceState) any { return s.UserID }), "1"},
		"stages":          {collect(v.StageInstances(100), func(s dgo.StageInstance) any { return s.ID }), "701"},
		"events":          {collect(v.ScheduledEvents(100), func(s dgo.GuildScheduledEvent) any { return s.ID }), "801"},
		"sounds":          {collect(v.SoundboardSounds(100), func(s dgo.SoundboardSound) any { return *s.GuildID }), "100"},
		"messages":        {collect(v.Messages(201, Span{}), text), "m0 m1 m2 m3"},
		"in time":         {collect(v.Messages(201, Span{From: hour(1), To: hour(3)}), text), "m1 m2"},
		"by author":       {collect(v.MessagesBy(1, Span{}), text), "m0 m2"},
		"by, in time":     {collect(v.MessagesBy(1, Span{From: hour(1)}), text), "m2"},
		"by, in channel":  {collect(v.ChannelMessagesBy(201, 2, Span{To: hour(3)}), text), "m1"},
		"another channel": {collect(v.Messages(202, Span{}), text), ""},
		"raw list":        {collect(v.Raw().List(cache.Roles, 100), func(o RawObject) any { return o.ID }), "401 402"},
		"all raw":         {collect(v.Raw().All(cache.Members), func(o RawObject) any { return fmt.Sprint(o.Group, len(o.User) > 0) }), "100 true 100 true 100 true 101 true"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %q, want %q", what, got[0], got[1])
		}
	}
}

// What the configuration doesn't keep is told apart from what isn't there.
func TestCacheSaysWhenItIsOff(t *testing.T) {
	t.Parallel()
	v, _ := filledView(cache.DefaultPolicies())
	_, err := v.Message(201, 1)
	if !errors.Is(err, ErrCacheOff) || !errors.Is(err, ErrNotCached) {
		t.Errorf("a message with messages off: %v", err)
	}
	if _, err := v.Role(100, 1); !errors.Is(err, ErrNotCached) || errors.Is(err, ErrCacheOff) {
		t.Errorf("a role that isn't there: %v", err)
	}
	if _, err := v.Count(cache.Presences); !errors.Is(err, ErrCacheOff) {
		t.Errorf("count of what is off: %v", err)
	}
	if got := collect(v.Presences(100), func(dgo.Presence) any { return 1 }); !strings.Contains(got, "off (presences)") {
		t.Errorf("presences with presences off: %q", got)
	}
	none := cache.DefaultPolicies()
	none[cache.Members].Mode = cache.Off
	v, _ = filledView(none)
	if _, err := v.User(1); !errors.Is(err, ErrCacheOff) {
		t.Errorf("a user with members off: %v", err)
	}
	if got := collect(v.Memberships(1), func(dgo.Member) any { return 1 }); !strings.Contains(got, "off (members)") {
		t.Errorf("memberships with members off: %q", got)
	}
}

// What disgo can't read is an error that doesn't quote it, and a loop may go on
// after it.
func TestCacheGoesOnAfterWhatItCannotRead(t *testing.T) {
	t.Parallel()
	v, c := filledView(allKinds())
	c.Apply(0, 1, "CHANNEL_CREATE", []byte(`{"id":"200","guild_id":"100","type":9999,"name":"secret"}`))
	got := collect(v.Channels(100), func(c dgo.GuildChannel) any { return c.Name() })
	if !strings.HasSuffix(got, "general voice") || strings.Contains(got, "secret") || !strings.Contains(got, "doesn't decode") {
		t.Errorf("channels, one of them unknown: %q", got)
	}
}

// Iterators read in pages, hold no lock in the loop's body, and read no more
// than the loop takes.
func TestCacheIteratorsHoldNoLock(t *testing.T) {
	t.Parallel()
	const members = 2*cachePage + 7
	c := cache.New(allKinds())
	c.Apply(0, 1, "READY", []byte(`{"user":{"id":"9"},"guilds":[{"id":"100"}]}`))
	c.Apply(0, 1, "GUILD_CREATE", []byte(`{"id":"100"}`))
	for i := range members {
		c.Apply(0, 1, "GUILD_MEMBER_ADD", fmt.Appendf(nil, `{"guild_id":"100","user":{"id":"%d","username":"u"},"roles":[]}`, i+1))
	}
	var mu sync.Mutex
	looks := 0
	v := &Cache{look: func(f func(*cache.Cache)) error {
		mu.Lock()
		defer mu.Unlock()
		looks++
		f(c)
		return nil
	}}
	seen := 0
	for m, err := range v.Members(100) {
		if err != nil || int(m.User.ID) != seen+1 {
			t.Fatalf("member %d is %v, %v", seen, m.User.ID, err)
		}
		seen++
		if !mu.TryLock() {
			t.Fatal("the lock is held in the loop's body")
		}
		if seen == cachePage/2 { // one that is read already, one that isn't yet
			for _, id := range []int{cachePage - 1, 2*cachePage + 1} {
				c.Apply(0, 1, "GUILD_MEMBER_REMOVE", fmt.Appendf(nil, `{"guild_id":"100","user":{"id":"%d"}}`, id))
			}
		}
		mu.Unlock()
		if seen == 2*cachePage {
			break
		}
	}
	if looks != 2 {
		t.Errorf("%d pages read for %d members", looks, seen)
	}
	if got := len(slices.Collect(keys(v.Members(100)))); got != members-2 {
		t.Errorf("%d members, want %d", got, members-2)
	}
}

func keys[K, V any](seq iter.Seq2[K, V]) iter.Seq[K] {
	return func(yield func(K) bool) {
		for k := range seq {
			if !yield(k) {
				return
			}
		}
	}
}

// A handler on a real node sees what Discord's side has.
func TestHandlersReadTheCache(t *testing.T) {
	s := smallSim(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	type seen struct {
		channels, roles, members []snowflake.ID
		author                   dgo.Member
		err                      error
	}
	got := make(chan seen, 1)
	b := New()
	OnRaw(b, "look", discord.EventMessageCreate, func(c *Context) error {
		var m struct {
			GuildID snowflake.ID `json:"guild_id"`
			Author  dgo.User     `json:"author"`
		}
		if err := json.Unmarshal(c.Raw(), &m); err != nil {
			return err
		}
		var x seen
		for ch, err := range c.Cache().Channels(m.GuildID) {
			x.err = errors.Join(x.err, err)
			x.channels = append(x.channels, ch.ID())
		}
		for r, err := range c.Cache().Roles(m.GuildID) {
			x.err = errors.Join(x.err, err)
			x.roles = append(x.roles, r.ID)
		}
		for m, err := range c.Cache().Members(m.GuildID) {
			x.err = errors.Join(x.err, err)
			x.members = append(x.members, m.User.ID)
		}
		var err error
		x.author, err = c.Cache().Member(m.GuildID, m.Author.ID) // its own event shows the author
		x.err = errors.Join(x.err, err)
		got <- x
		return nil
	})
	n := startBot(t, s, b, "joe", t.TempDir(), zaptest.NewLogger(t), node.Options{Bootstrap: true})
	defer kill(t, n)
	guild := s.GuildIDs()[0]
	waitGuilds(t, ctx, n, s)
	if _, err := s.Say(simSay(guild, "look")); err != nil {
		t.Fatal(err)
	}
	var x seen
	select {
	case x = <-got:
	case <-ctx.Done():
		t.Fatal("the handler didn't run")
	}
	truth, _ := s.Truth(guild)
	if x.err != nil || len(x.channels) != len(truth.Channels) || len(x.roles) != len(truth.Roles) {
		t.Errorf("seen %d channels, %d roles, %v; true are %d, %d", len(x.channels), len(x.roles), x.err, len(truth.Channels), len(truth.Roles))
	}
	// GUILD_CREATE names the members who are online; the author shows in the event.
	if !slices.Contains(x.members, x.author.User.ID) {
		t.Errorf("the author %v isn't among the members %v", x.author.User.ID, x.members)
	}
	for _, id := range x.members {
		if _, ok := truth.Members[sim.ID(id)]; !ok {
			t.Errorf("%v is no member", id)
		}
	}
	if x.author.User.Username == "" || x.author.GuildID == 0 {
		t.Errorf("the author is %+v", x.author)
	}
}

func BenchmarkCacheView(b *testing.B) {
	v, _ := filledView(allKinds())
	b.Run("member", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Member(100, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("raw role", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Raw().Get(cache.Roles, 100, 401); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("walk of a guild of 3, raw", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for range v.Raw().List(cache.Members, 100) {
			}
		}
	})
}

package cache

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/jsonscan"
)

// moved applies the export of a shard's guilds in a to b, and returns how many
// events it took.
func moved(a, b *Cache) (events []string) {
	apply := func(name string, d []byte) {
		events = append(events, name)
		b.Apply(0, 1, name, d)
	}
	if self := a.Self(); self != nil {
		apply("READY", slices.Concat([]byte(`{"user":`), self, []byte("}")))
	}
	for _, guild := range slices.Collect(a.ShardGuilds(0, 1)) {
		x := NewExport(guild)
		for {
			name, d, more := x.Next(a)
			if !more {
				break
			}
			apply(name, d)
		}
	}
	return events
}

// withoutMessages is what of a cache's contents an export brings.
func withoutMessages(c *Cache) map[string]string {
	all := contents(c)
	for path := range all {
		if strings.HasPrefix(path, "messages/") {
			delete(all, path)
		}
	}
	return all
}

func TestExportBringsAWholeGuild(t *testing.T) {
	a, b := filled(everything()), New(everything())
	events := moved(a, b)
	if d := difference(withoutMessages(a), withoutMessages(b)); d != "" {
		t.Errorf("after %v:\n%s", events, d)
	}
	check(t, b)
}

func TestExportInChunks(t *testing.T) {
	a, b := filled(everything()), New(everything())
	for i := range 2*exportPage + 1 {
		a.Apply(0, 1, "GUILD_MEMBER_ADD", fmt.Appendf(nil, `{"guild_id":"100","user":{"id":"%d","username":"u"},"roles":[]}`, 10000+i))
	}
	a.Apply(0, 1, "GUILD_CREATE", []byte(fullGuild)) // all but two are unverified now
	b.Apply(0, 1, "GUILD_CREATE", []byte(`{"id":"100","members":[{"user":{"id":"77"}}],"roles":[{"id":"1"}]}`))
	events := moved(a, b)
	want := "READY GUILD_CREATE" + strings.Repeat(" GUILD_MEMBERS_CHUNK", 3) + " GUILD_CREATE" + strings.Repeat(" GUILD_MEMBERS_CHUNK", 4) // the last has the presences
	if got := strings.Join(events, " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if d := difference(withoutMessages(a), withoutMessages(b)); d != "" {
		t.Errorf("what was stale is left, or something is missing:\n%s", d)
	}
}

// Whatever a cache has seen, its export makes another cache equal to it, as far
// as the guilds go that it has.
func TestExportOfAnyCache(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := everything()
		for _, kind := range []Kind{Members, Presences, Roles, Threads} {
			if rapid.IntRange(0, 3).Draw(t, "off") == 0 {
				p[kind].Mode = Off
			}
		}
		a, b := New(p), New(p)
		fill := func(c *Cache) {
			for range rapid.IntRange(0, 25).Draw(t, "events") {
				e := anyEvent().Draw(t, "event")
				c.Apply(0, 1, e.name, []byte(e.d))
			}
		}
		fill(a)
		stale := rapid.Bool().Draw(t, "stale")
		if stale {
			fill(b)
			for _, guild := range slices.Collect(b.ShardGuilds(0, 1)) {
				if _, _, ok := a.GuildShard(guild); !ok {
					b.Apply(0, 1, "GUILD_DELETE", []byte(`{"id":"`+guild.String()+`"}`))
				}
			}
		}
		moved(a, b)
		check(t, b)
		normal := func(c *Cache) map[string]string {
			all := withoutMessages(c)
			delete(all, "self")
			for path := range all {
				// The order of an object's fields, and what a stale user said more, may
				// differ.
				if strings.HasPrefix(path, "users/") {
					all[path] = ""
				}
				// What was stale may have heard of a later message: the latest one counts.
				if stale && (strings.HasPrefix(path, "channels/") || strings.HasPrefix(path, "threads/")) {
					all[path] = string(jsonscan.Merge(nil, nil, []byte(all[path]), func(name []byte) bool { return string(name) == "last_message_id" }))
				}
				// A guild that READY alone has named has no object yet.
				if g, ok := strings.CutPrefix(path, "guilds/"); ok && all[path] == `{"id":"`+strings.TrimSuffix(g, "/0")+`"}` {
					delete(all, path)
				}
			}
			return all
		}
		if d := difference(normal(a), normal(b)); d != "" {
			t.Fatalf("the copy differs:\n%s", d)
		}
	})
}

func TestExportOfAGuildInAnOutage(t *testing.T) {
	a, b := filled(everything()), New(everything())
	a.Apply(0, 1, "GUILD_DELETE", []byte(`{"id":"100","unavailable":true}`))
	moved(a, b)
	if got := b.UnavailableGuilds(); !slices.Equal(got, []discord.Snowflake{100}) {
		t.Errorf("unavailable: %v", got)
	}
	if d := difference(withoutMessages(a), withoutMessages(b)); d != "" {
		t.Error(d)
	}
}

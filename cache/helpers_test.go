package cache

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/jsonscan"
)

// everything keeps all kinds.
func everything() Policies {
	var p Policies
	for i := range p {
		p[i].Mode = On
	}
	return p
}

// fataler is a test of either kind.
type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

// check verifies what must hold of a cache at any time.
func check(t fataler, c *Cache) {
	t.Helper()
	if got, want := c.Digest(), c.Recompute(); got != want {
		t.Fatalf("digest %v, recomputed %v", got, want)
	}
	want := indexOf(c)
	sameTree(t, "channels", &c.index.channels, &want.channels)
	sameTree(t, "places", &c.index.places, &want.places)
	sameTree(t, "talks", &c.index.talks, &want.talks)
	for i := range c.tables {
		tb := &c.tables[i]
		var bytes int64
		n, ordered := 0, 0
		tb.recs.ascend(key{}, func(k key, r rec) bool {
			n++
			bytes += int64(len(r.raw)) + overhead
			if Kind(i) == Users && !c.placed(k.a) {
				t.Fatalf("user %d is held by nobody", k.a)
			}
			walked := !tb.sweep.active || tb.sweep.walked || k.less(tb.sweep.at)
			if id, ok := tb.order.get(key{r.seq, k.a}); ok && id == k.b {
				ordered++
			} else if tb.policy.Mode == Bounded && walked {
				t.Fatalf("%v %v isn't in the order", tb.kind, k)
			}
			if walked && tb.kind != Members && !c.admits(tb, k, raw(r.raw)) {
				t.Fatalf("%v %v is %s under the filter %v", tb.kind, k, r.raw, tb.policy.Filter)
			}
			return true
		})
		if n != tb.recs.n || bytes != tb.bytes {
			t.Fatalf("%v: %d objects of %d bytes, counted %d of %d", tb.kind, n, bytes, tb.recs.n, tb.bytes)
		}
		if tb.order.n != ordered {
			t.Fatalf("%v: %d in the order, want %d", tb.kind, tb.order.n, ordered)
		}
		if !tb.sweep.active && (tb.policy.exceeded(n, bytes) || tb.policy.Mode == Off && n > 0) {
			t.Fatalf("%v: %d objects of %d bytes under %+v", tb.kind, n, bytes, tb.policy)
		}
	}
	c.stores.unverified.ascend(key{}, func(k key, _ struct{}) bool {
		if !c.tables[Members].recs.has(k) {
			t.Fatalf("%v is unverified and not cached", k)
		}
		return true
	})
}

// indexOf builds the index from the tables.
func indexOf(c *Cache) index {
	var x index
	for _, kind := range []Kind{Channels, Threads} {
		c.tables[kind].recs.ascend(key{}, func(k key, _ rec) bool {
			x.channels.set(key{k.b, 0}, k.a)
			return true
		})
	}
	c.tables[Members].recs.ascend(key{}, func(k key, _ rec) bool {
		x.places.set(key{k.b, k.a}, struct{}{})
		return true
	})
	c.tables[Messages].recs.ascend(key{}, func(k key, r rec) bool {
		talk := key{jsonscan.ID(jsonscan.Get(raw(r.raw), "guild_id")), k.a}
		n, _ := x.talks.get(talk)
		x.talks.set(talk, n+1)
		return true
	})
	return x
}

func sameTree[V comparable](t fataler, name string, got, want *tree[V]) {
	t.Helper()
	gk, gv := pairs(got)
	wk, wv := pairs(want)
	if !slices.Equal(gk, wk) || !slices.Equal(gv, wv) {
		t.Fatalf("index %s is %v %v, want %v %v", name, gk, gv, wk, wv)
	}
}

// same compares two JSON texts by meaning.
func same(t testing.TB, what string, got []byte, want string) {
	t.Helper()
	if want == "" {
		if got != nil {
			t.Errorf("%s: got %s, want nothing", what, got)
		}
		return
	}
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Errorf("%s: got %q: %v", what, got, err)
		return
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("%s: %v", want, err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// contents returns everything that queries show, as text by path: the form in
// which tests say what they expect.
func contents(c *Cache) map[string]string {
	all := map[string]string{}
	for i := range c.tables {
		c.tables[i].recs.ascend(key{}, func(k key, r rec) bool {
			obj := raw(r.raw)
			if Kind(i) == Channels || Kind(i) == Threads {
				obj = c.withLast(obj, k.b)
			}
			all[fmt.Sprintf("%v/%d/%d", Kind(i), k.a, k.b)] = string(obj)
			return true
		})
	}
	c.stores.homes.ascend(key{}, func(k key, h home) bool {
		all[fmt.Sprintf("home/%d", k.a)] = fmt.Sprintf("%d/%d/%v", h.shard, h.total, h.unavailable)
		return true
	})
	c.stores.unverified.ascend(key{}, func(k key, _ struct{}) bool {
		all[fmt.Sprintf("unverified/%d/%d", k.a, k.b)] = "true"
		return true
	})
	if s := c.Self(); s != nil {
		all["self"] = string(s)
	}
	return all
}

// difference describes how two contents differ, one path a line.
func difference(before, after map[string]string) string {
	var lines []string
	for path, v := range after {
		if old, ok := before[path]; !ok {
			lines = append(lines, "+ "+path+" "+v)
		} else if old != v {
			lines = append(lines, "~ "+path+" "+v)
		}
	}
	for path := range before {
		if _, ok := after[path]; !ok {
			lines = append(lines, "- "+path)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// ids collects the ids of a list.
func ids(list Objects) []discord.Snowflake {
	return slices.Collect(maps.Keys(maps.Collect(list)))
}

// full is a guild with one or two of everything, and a READY before it.
const (
	readyEvent = `{"v":10,"user":{"id":"9","username":"bot"},"guilds":[{"id":"100","unavailable":true}],"session_id":"s"}`
	fullGuild  = `{"id":"100","name":"full","member_count":2,"future":{"field":1},"unavailable":false,
		"channels":[{"id":"201","type":0,"name":"general","last_message_id":"50"},{"id":"202","type":15,"name":"forum"}],
		"threads":[{"id":"301","parent_id":"201","guild_id":"100","name":"a thread"},{"id":"302","parent_id":"202","name":"another"}],
		"roles":[{"id":"401","name":"admin"},{"id":"402","name":"user"}],
		"emojis":[{"id":"501","name":"smile"}],"stickers":[{"id":"601","name":"wave"}],
		"members":[{"user":{"id":"1","username":"ann"},"roles":["401"],"nick":null},{"user":{"id":"2","username":"bob"},"roles":[]}],
		"presences":[{"user":{"id":"1"},"status":"online"}],
		"voice_states":[{"user_id":"1","channel_id":"201","session_id":"v"}],
		"stage_instances":[{"id":"701","guild_id":"100","topic":"t"}],
		"guild_scheduled_events":[{"id":"801","guild_id":"100","name":"party","user_count":3}],
		"soundboard_sounds":[{"sound_id":"901","guild_id":"100","name":"boom"}]}`
)

// filled returns a cache that has seen READY, the full guild and a message.
func filled(p Policies) *Cache {
	c := New(p)
	c.Apply(0, 1, "READY", []byte(readyEvent))
	c.Apply(0, 1, "GUILD_CREATE", []byte(fullGuild))
	c.Apply(0, 1, "MESSAGE_CREATE", []byte(`{"id":"60","channel_id":"201","guild_id":"100","content":"hi","author":{"id":"1","username":"ann"},"member":{"roles":["401"],"nick":null},"mentions":[]}`))
	return c
}

// reactionsOf returns the reactions of a message.
func reactionsOf(message []byte) []byte { return jsonscan.Get(message, "reactions") }

package cache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// testEvent is an event as a test makes it.
type testEvent struct{ name, d string }

// someFilters keep some of what anyEvent draws.
var someFilters = func() (all []*Filter) {
	for _, text := range []string{`x == 1`, `x != 1 and nick < 2`, `user.username in [0, 1] or id == 3`, `guild_id != 2`, `user.username != 2`} {
		f, err := ParseFilter(text)
		if err != nil {
			panic(err)
		}
		all = append(all, f)
	}
	return all
}()

// policies draws policies: mostly on, some off, some bounded, some filtered.
func policies() *rapid.Generator[Policies] {
	return rapid.Custom(func(t *rapid.T) Policies {
		p := everything()
		for i := range p {
			switch rapid.IntRange(0, 6).Draw(t, "mode") {
			case 0:
				p[i].Mode = Off
			case 1:
				p[i] = Policy{Mode: Bounded, MaxCount: rapid.IntRange(1, 4).Draw(t, "count")}
			case 2:
				p[i] = Policy{Mode: Bounded, MaxBytes: rapid.Int64Range(1, 500).Draw(t, "bytes")}
			}
			if rapid.IntRange(0, 4).Draw(t, "filtered") == 0 {
				p[i].Filter = rapid.SampledFrom(someFilters).Draw(t, "filter")
			}
		}
		return p
	})
}

// smallID draws one of few ids, so that events meet.
func smallID() *rapid.Generator[int] { return rapid.IntRange(1, 5) }

// anyEvent draws an event of the table with few ids and few fields.
func anyEvent() *rapid.Generator[testEvent] {
	names := []string{"SOMETHING_NEW"}
	for _, row := range rows {
		names = append(names, row.event)
	}
	return rapid.Custom(func(t *rapid.T) testEvent {
		name := rapid.SampledFrom(names).Draw(t, "event")
		id := func() string { return strconv.Quote(strconv.Itoa(smallID().Draw(t, "id"))) }
		some := func(of func() string) string {
			var all []string
			for range rapid.IntRange(0, 3).Draw(t, "length") {
				all = append(all, of())
			}
			return "[" + strings.Join(all, ",") + "]"
		}
		val := func() string { return strconv.Itoa(rapid.IntRange(0, 2).Draw(t, "value")) }
		user := func() string { return `{"id":` + id() + `,"username":` + val() + `}` }
		obj := func() string { return `{"id":` + id() + `,"x":` + val() + `,"parent_id":` + id() + `}` }
		member := func() string { return `{"user":` + user() + `,"nick":` + val() + `}` }
		fields := []string{
			`"id":` + id(), `"guild_id":` + id(), `"channel_id":` + id(), `"message_id":` + id(), `"user_id":` + id(),
			`"user":` + user(), `"author":` + user(), `"member":` + member(), `"role":` + obj(), `"role_id":` + id(),
			`"sound_id":` + id(), `"emoji":{"id":` + id() + `}`, `"x":` + val(), `"nick":` + val(), `"parent_id":` + id(),
			`"roles":` + some(obj), `"channels":` + some(obj), `"threads":` + some(obj), `"members":` + some(member),
			`"emojis":` + some(obj), `"mentions":` + some(user), `"ids":` + some(id), `"channel_ids":` + some(id),
			`"guilds":` + some(obj), `"member_count":` + val(), `"reactions":[]`,
		}
		if rapid.IntRange(0, 3).Draw(t, "rare") == 0 {
			fields = append(fields, `"unavailable":`+rapid.SampledFrom([]string{"true", "false", "null", `"x"`}).Draw(t, "unavailable"),
				`"thread_metadata":{"archived":true}`, `"nonce":"`+VerifyNonce+`"`, `"chunk_index":0`, `"chunk_count":1`)
		}
		kept := fields[:0]
		for _, f := range fields {
			if rapid.IntRange(0, 9).Draw(t, "keep") > 0 {
				kept = append(kept, f)
			}
		}
		return testEvent{name, "{" + strings.Join(kept, ",") + "}"}
	})
}

// Whatever comes, the cache stays sound, and equal events give equal caches.
func TestAnyEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policies().Draw(t, "policies")
		a, b := New(p), New(p)
		var past []testEvent
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			e := anyEvent().Draw(t, "event")
			if len(past) > 0 && rapid.IntRange(0, 2).Draw(t, "again") == 0 {
				e = rapid.SampledFrom(past).Draw(t, "past")
			}
			past = append(past, e)
			clear(b.repeats.slots) // what is remembered must not matter
			a.Before(e.name, []byte(e.d))
			d := append(make([]byte, 0, 2000), e.d...)
			a.ApplySliced(0, 1, e.name, d, Slice(d).Slices)
			d = []byte(e.d)
			b.Apply(0, 1, e.name, d)
			clear(d) // the caller may use it again
			check(t, a)
			check(t, b)
			if rapid.IntRange(0, 20).Draw(t, "change") == 0 {
				p = policies().Draw(t, "policies")
				first := rapid.IntRange(0, 5).Draw(t, "first")
				a.setPolicies(p, first)
				b.setPolicies(p, first)
				check(t, a)
			}
			if rapid.IntRange(0, 3).Draw(t, "sweep") == 0 {
				n := rapid.IntRange(1, 5).Draw(t, "most")
				a.Sweep(n)
				b.Sweep(n)
			}
			if a.Digest() != b.Digest() || !bytes.Equal(saved(t, a), saved(t, b)) {
				t.Fatalf("two caches differ after the same events")
			}
		}
	})
}

// model is the cache as one would write it without a thought for speed.
type model struct {
	guilds map[string]map[string]any
	lists  map[Kind]map[string]map[string]any // by "guild/id"
	users  map[string]map[string]any
}

func newModel() *model {
	m := &model{guilds: map[string]map[string]any{}, lists: map[Kind]map[string]map[string]any{}, users: map[string]map[string]any{}}
	for _, k := range []Kind{Channels, Roles, Members} {
		m.lists[k] = map[string]map[string]any{}
	}
	return m
}

// write overlays an object's fields.
func (m *model) write(kind Kind, guild string, obj map[string]any, whole bool, without ...string) {
	id, _ := obj["id"].(string)
	if kind == Members {
		user := obj["user"].(map[string]any)
		id = user["id"].(string)
		if m.users[id] == nil {
			m.users[id] = map[string]any{}
		}
		maps.Copy(m.users[id], user)
	}
	path := guild + "/" + id
	if whole || m.lists[kind][path] == nil {
		m.lists[kind][path] = map[string]any{}
	}
	maps.Copy(m.lists[kind][path], obj)
	for _, name := range append(without, "guild_id") {
		delete(m.lists[kind][path], name)
	}
}

// prune drops what belongs to a guild, or to no member.
func (m *model) prune(kind Kind, guild string) {
	maps.DeleteFunc(m.lists[kind], func(path string, _ map[string]any) bool { return strings.HasPrefix(path, guild+"/") })
	m.pruneUsers()
}

func (m *model) pruneUsers() {
	maps.DeleteFunc(m.users, func(id string, _ map[string]any) bool {
		for path := range m.lists[Members] {
			if strings.HasSuffix(path, "/"+id) {
				return false
			}
		}
		return true
	})
}

// apply is the table's rows for guilds, channels, roles and members.
func (m *model) apply(name string, d map[string]any) {
	guild, _ := d["guild_id"].(string)
	if strings.HasPrefix(name, "GUILD_") && d["guild_id"] == nil {
		guild = d["id"].(string)
	}
	if m.guilds[guild] == nil && name != "GUILD_CREATE" {
		return
	}
	switch name {
	case "GUILD_CREATE":
		m.guilds[guild] = map[string]any{"id": guild, "x": d["x"]}
		for kind, list := range map[Kind]string{Channels: "channels", Roles: "roles"} {
			m.prune(kind, guild)
			for _, obj := range d[list].([]any) {
				m.write(kind, guild, obj.(map[string]any), true)
			}
		}
		for _, obj := range d["members"].([]any) {
			m.write(Members, guild, obj.(map[string]any), true, "user")
		}
	case "GUILD_DELETE":
		for kind := range m.lists {
			m.prune(kind, guild)
		}
		delete(m.guilds, guild)
	case "CHANNEL_UPDATE":
		m.write(Channels, guild, d, false)
	case "CHANNEL_DELETE":
		delete(m.lists[Channels], guild+"/"+d["id"].(string))
	case "GUILD_ROLE_UPDATE":
		m.write(Roles, guild, d["role"].(map[string]any), false)
	case "GUILD_ROLE_DELETE":
		delete(m.lists[Roles], guild+"/"+d["role_id"].(string))
	case "GUILD_MEMBER_UPDATE":
		m.write(Members, guild, d, false, "user")
	case "GUILD_MEMBER_REMOVE":
		if user := d["user"].(map[string]any); m.users[user["id"].(string)] != nil {
			maps.Copy(m.users[user["id"].(string)], user) // elsewhere it lives on
		}
		delete(m.lists[Members], guild+"/"+d["user"].(map[string]any)["id"].(string))
		m.pruneUsers()
	}
}

// state returns the model as text by path.
func (m *model) state() map[string]map[string]any {
	all := map[string]map[string]any{}
	for id, g := range m.guilds {
		all["guilds/"+id+"/0"] = g
	}
	for kind, list := range m.lists {
		for path, obj := range list {
			all[kind.String()+"/"+path] = obj
		}
	}
	for id, u := range m.users {
		all["users/"+id+"/0"] = u
	}
	return all
}

func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, m := New(everything()), newModel()
		num := func(what string) string { return strconv.Itoa(smallID().Draw(t, what)) }
		object := func(guild string) string {
			fields := []string{}
			for _, f := range []string{"a", "b", `\u0063`} {
				if rapid.Bool().Draw(t, "has") {
					fields = append(fields, fmt.Sprintf(`,"%s":[%s]`, f, num("value")))
				}
			}
			// A channel's id names its guild, as Discord's ids are unique.
			return fmt.Sprintf(`"id":"%s%s"%s`, guild, num("id"), strings.Join(fields, ""))
		}
		user := func() string { return fmt.Sprintf(`"user":{"id":"%s","n":%s}`, num("user"), num("value")) }
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			g := num("guild")
			var name, d string
			switch rapid.IntRange(0, 8).Draw(t, "kind") {
			case 0, 1:
				name = "GUILD_CREATE"
				d = fmt.Sprintf(`{"id":"%s","x":%s,"channels":[{%s},{%s}],"roles":[{%s}],"members":[{%s,"nick":1},{%s}]}`, g, num("value"), object(g), object(g), object(g), user(), user())
			case 2:
				name, d = "GUILD_DELETE", fmt.Sprintf(`{"id":"%s"}`, g)
			case 3:
				name, d = "CHANNEL_UPDATE", fmt.Sprintf(`{"guild_id":"%s",%s}`, g, object(g))
			case 4:
				name, d = "CHANNEL_DELETE", fmt.Sprintf(`{"guild_id":"%s",%s}`, g, object(g))
			case 5:
				name, d = "GUILD_ROLE_UPDATE", fmt.Sprintf(`{"guild_id":"%s","role":{%s}}`, g, object(g))
			case 6:
				name, d = "GUILD_ROLE_DELETE", fmt.Sprintf(`{"guild_id":"%s","role_id":"%s%s"}`, g, g, num("id"))
			case 7:
				name, d = "GUILD_MEMBER_UPDATE", fmt.Sprintf(`{"guild_id":"%s",%s,"nick":%s}`, g, user(), num("value"))
			case 8:
				name, d = "GUILD_MEMBER_REMOVE", fmt.Sprintf(`{"guild_id":"%s",%s}`, g, user())
			}
			var parsed map[string]any
			if err := json.Unmarshal([]byte(d), &parsed); err != nil {
				t.Fatalf("%s: %v", d, err)
			}
			c.Apply(0, 1, name, []byte(d))
			m.apply(name, parsed)
			got := map[string]map[string]any{}
			for path, text := range contents(c) {
				if strings.HasPrefix(path, "home/") || strings.HasPrefix(path, "unverified/") {
					continue
				}
				var obj map[string]any
				if err := json.Unmarshal([]byte(text), &obj); err != nil {
					t.Fatalf("%s holds %q: %v", path, text, err)
				}
				got[path] = obj
			}
			if want := m.state(); !reflect.DeepEqual(got, want) {
				t.Fatalf("after %s %s:\n got %v\nwant %v", name, d, got, want)
			}
		}
		check(t, c)
	})
}

// guildJSON returns a GUILD_CREATE with so many members, users 1 to n.
func guildJSON(id, members int) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, `{"id":"%d","name":"guild","channels":[{"id":"%d000","type":0}],"members":[`, id, id)
	for i := range members {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, `{"user":{"id":"%d","username":"user"},"nick":null}`, i+1)
	}
	out.WriteString("]}")
	return out.Bytes()
}

func FuzzApply(f *testing.F) {
	for _, row := range rows {
		f.Add(row.event, []byte(row.d))
	}
	f.Add("GUILD_CREATE", []byte(strings.Repeat(`{"id":"1","channels":[`, 2000)))
	f.Add("CHANNEL_CREATE", []byte(`{"guild_id":"100","id":"5","x":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`}`))
	f.Add("GUILD_MEMBER_ADD", []byte(`{"guild_id":100,"user":{"id":7},"user":[]}`))
	f.Fuzz(func(t *testing.T, name string, d []byte) {
		p := everything()
		p[Members] = Policy{Mode: Bounded, MaxCount: 3}
		c := filled(p)
		c.Before(name, d)
		c.Apply(0, 1, name, d)
		c.Apply(0, 1, name, d)
		check(t, c)
		restored, err := Read(bytes.NewReader(saved(t, c)), p)
		if err != nil || restored.Digest() != c.Digest() {
			t.Fatalf("round trip: %v", err)
		}
		for list := range c.GuildList(Members, 100, 0) {
			c.MemberWithUser(100, list)
		}
	})
}

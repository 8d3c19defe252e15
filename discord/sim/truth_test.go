package sim_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"testing"

	"github.com/botnode/botnode/discord/sim"
)

// shadow is a guild as a client learns it from events alone.
type shadow struct {
	guild                                                     m
	channels, threads, roles, emojis, members, voice, present map[string]m
}

func index(list any, key func(m) string) map[string]m {
	out := map[string]m{}
	items, _ := list.([]any)
	for _, x := range items {
		o := x.(m)
		out[key(o)] = o
	}
	return out
}

func byID(o m) string   { return o["id"].(string) }
func byUser(o m) string { return o["user"].(m)["id"].(string) }

func newShadow(d m) *shadow {
	s := &shadow{
		channels: index(d["channels"], byID), threads: index(d["threads"], byID), roles: index(d["roles"], byID),
		emojis: index(d["emojis"], byID), members: index(d["members"], byUser), present: index(d["presences"], byUser),
		voice: index(d["voice_states"], func(o m) string { return o["user_id"].(string) }),
	}
	s.base(d)
	return s
}

// base keeps what GUILD_UPDATE has too, and isn't a list.
func (s *shadow) base(d m) {
	s.guild = maps.Clone(d)
	for _, k := range []string{
		"channels", "threads", "roles", "emojis", "members", "voice_states", "presences", "stickers", "stage_instances",
		"guild_scheduled_events", "soundboard_sounds", "embedded_activities", "application_command_counts", "joined_at",
		"large", "unavailable", "member_count",
	} {
		delete(s.guild, k)
	}
}

func (s *shadow) apply(kind string, d m) {
	delete(d, "guild_id")
	switch kind {
	case "GUILD_UPDATE":
		s.base(d)
	case "CHANNEL_CREATE", "CHANNEL_UPDATE":
		s.channels[byID(d)] = d
	case "CHANNEL_DELETE":
		delete(s.channels, byID(d))
		maps.DeleteFunc(s.threads, func(_ string, t m) bool { return t["parent_id"] == d["id"] })
	case "THREAD_CREATE", "THREAD_UPDATE":
		delete(d, "newly_created")
		s.threads[byID(d)] = d
	case "THREAD_DELETE":
		delete(s.threads, byID(d))
	case "GUILD_ROLE_CREATE", "GUILD_ROLE_UPDATE":
		s.roles[byID(d["role"].(m))] = d["role"].(m)
	case "GUILD_ROLE_DELETE":
		delete(s.roles, d["role_id"].(string))
	case "GUILD_MEMBER_ADD", "GUILD_MEMBER_UPDATE":
		s.members[byUser(d)] = d
	case "GUILD_MEMBER_REMOVE":
		delete(s.members, byUser(d))
		delete(s.present, byUser(d))
	case "GUILD_EMOJIS_UPDATE":
		s.emojis = index(d["emojis"], byID)
	case "PRESENCE_UPDATE":
		s.present[byUser(d)] = d
		if d["status"] == "offline" {
			delete(s.present, byUser(d))
		}
	case "VOICE_STATE_UPDATE":
		delete(d, "member")
		s.voice[d["user_id"].(string)] = d
		if d["channel_id"] == nil {
			delete(s.voice, d["user_id"].(string))
		}
	}
}

func same(t *testing.T, what string, got map[string]m, truth map[sim.ID]json.RawMessage) {
	t.Helper()
	want(t, what, len(got), len(truth))
	for id, r := range truth {
		sameObject(t, what+" "+id.String(), got[id.String()], r)
	}
}

func sameObject(t *testing.T, what string, got m, truth json.RawMessage) {
	t.Helper()
	var o m
	if err := json.Unmarshal(truth, &o); err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(o)
	if !bytes.Equal(a, b) {
		t.Errorf("%s:\nseen %s\ntrue %s", what, a, b)
	}
}

// TestTruthIsWhatEventsTell makes random changes of every kind: a client that
// knows only GUILD_CREATE and the events must end with the true state.
func TestTruthIsWhatEventsTell(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 2, Members: 30, Seed: 7})
	c := login(t, srv, all)
	shadows := map[string]*shadow{}
	step := func(f frame) {
		var d m
		if err := json.Unmarshal(f.D, &d); err != nil {
			t.Fatal(err)
		}
		if f.T == "GUILD_CREATE" {
			shadows[byID(d)] = newShadow(d)
			return
		}
		id, _ := d["guild_id"].(string)
		if f.T == "GUILD_UPDATE" {
			id = byID(d)
		}
		shadows[id].apply(f.T, d)
	}
	step(c.event("GUILD_CREATE"))
	step(c.event("GUILD_CREATE"))
	for range 20 {
		if err := srv.Mutate("mixed", 50); err != nil {
			t.Fatal(err)
		}
		for last := srv.LiveSessions()[0].Seq; c.seq < last; {
			step(c.next())
		}
	}
	for _, id := range srv.GuildIDs() {
		s := shadows[id.String()]
		tr, _ := srv.Truth(id)
		sameObject(t, "guild", s.guild, tr.Guild)
		same(t, "channel", s.channels, tr.Channels)
		same(t, "thread", s.threads, tr.Threads)
		same(t, "role", s.roles, tr.Roles)
		same(t, "emoji", s.emojis, tr.Emojis)
		same(t, "member", s.members, tr.Members)
		same(t, "voice state", s.voice, tr.VoiceStates)
		same(t, "presence", s.present, tr.Presences)
		want(t, "count", tr.MemberCount, len(tr.Members))
	}
}

// TestAuthorsAreTrue: the author and member of a message are those of the state,
// also after they changed, since caches learn from them.
func TestAuthorsAreTrue(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 1, Members: 2})
	c := login(t, srv, all).guilds(1)
	for range 3 {
		if err := srv.Mutate("member", 1); err != nil {
			t.Fatal(err)
		}
		srv.Ping()
		var d m
		if err := json.Unmarshal(c.event("MESSAGE_CREATE").D, &d); err != nil {
			t.Fatal(err)
		}
		member := d["member"].(m)
		member["user"] = d["author"]
		tr, _ := srv.Truth(srv.GuildIDs()[0])
		sameObject(t, "author", member, tr.Members[sim.ParseID(byID(d["author"].(m)))])
	}
}

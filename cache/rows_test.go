package cache

import "testing"

// rows has one entry or more for each row of docs/design/cache.md: what an event
// changes in the filled cache. Lines are paths with + new, ~ changed, - gone.
var rows = []struct{ name, event, d, want string }{
	{"ready", "READY", `{"user":{"id":"9","username":"new"},"guilds":[{"id":"100","unavailable":true},{"id":"101","unavailable":true}]}`,
		"+ home/101 0/1/true\n~ home/100 0/1/true\n~ self {\"id\":\"9\",\"username\":\"new\"}"},
	{"own user", "USER_UPDATE", `{"id":"9","username":"renamed"}`, `~ self {"id":"9","username":"renamed"}`},

	{"second guild", "GUILD_CREATE", `{"id":"101","name":"x","members":[{"user":{"id":"1","username":"ann"},"nick":"a"}]}`,
		"+ guilds/101/0 {\"id\":\"101\",\"name\":\"x\"}\n+ home/101 0/1/false\n+ members/101/1 {\"nick\":\"a\"}"},
	{"unavailable guild", "GUILD_CREATE", `{"id":"100","unavailable":true}`, `~ home/100 0/1/true`},
	{"guild again", "GUILD_CREATE", `{"id":"100","name":"full","member_count":2,"channels":[{"id":"201","type":0,"name":"general","last_message_id":"50"}],"threads":[],"roles":[{"id":"402","name":"user"}],"emojis":[],"stickers":[],"members":[{"user":{"id":"1","username":"ann"},"roles":[],"nick":null}],"presences":[],"voice_states":[],"stage_instances":[],"guild_scheduled_events":[],"soundboard_sounds":[]}`,
		"+ unverified/100/2 true\n- channels/100/202\n- emojis/100/501\n- presences/100/1\n- roles/100/401\n- scheduled_events/100/801\n- soundboard_sounds/100/901\n- stage_instances/100/701\n- stickers/100/601\n- threads/100/301\n- threads/100/302\n- voice_states/100/1\n~ guilds/100/0 {\"id\":\"100\",\"name\":\"full\",\"member_count\":2}\n~ members/100/1 {\"roles\":[],\"nick\":null}"},
	{"guild update", "GUILD_UPDATE", `{"id":"100","name":"new","roles":[{"id":"401","name":"admin"}],"emojis":[],"stickers":[]}`,
		"- emojis/100/501\n- roles/100/402\n- stickers/100/601\n~ guilds/100/0 {\"id\":\"100\",\"name\":\"new\",\"member_count\":2,\"future\":{\"field\":1}}"},
	{"guild update, unknown guild", "GUILD_UPDATE", `{"id":"555","name":"new","roles":[{"id":"1"}]}`, ""},
	{"outage", "GUILD_DELETE", `{"id":"100","unavailable":true}`, "~ home/100 0/1/true"},
	{"emojis", "GUILD_EMOJIS_UPDATE", `{"guild_id":"100","emojis":[{"id":"502","name":"new"}]}`, "+ emojis/100/502 {\"id\":\"502\",\"name\":\"new\"}\n- emojis/100/501"},
	{"emojis of a wrong type", "GUILD_EMOJIS_UPDATE", `{"guild_id":"100","emojis":{"id":"502"}}`, ""},
	{"stickers", "GUILD_STICKERS_UPDATE", `{"guild_id":"100","stickers":[]}`, "- stickers/100/601"},
	{"role create", "GUILD_ROLE_CREATE", `{"guild_id":"100","role":{"id":"403","name":"new"}}`, `+ roles/100/403 {"id":"403","name":"new"}`},
	{"role update", "GUILD_ROLE_UPDATE", `{"guild_id":"100","role":{"id":"401","color":5}}`, `~ roles/100/401 {"id":"401","name":"admin","color":5}`},
	{"role delete", "GUILD_ROLE_DELETE", `{"guild_id":"100","role_id":"401"}`, "- roles/100/401"},

	{"channel create", "CHANNEL_CREATE", `{"guild_id":"100","id":"203","type":2}`, `+ channels/100/203 {"id":"203","type":2}`},
	{"channel create in an unknown guild", "CHANNEL_CREATE", `{"guild_id":"555","id":"203","type":2}`, ""},
	{"direct channel", "CHANNEL_CREATE", `{"id":"203","type":1}`, ""},
	{"channel update", "CHANNEL_UPDATE", `{"guild_id":"100","id":"201","name":"renamed","last_message_id":"70"}`, `~ channels/100/201 {"id":"201","type":0,"name":"renamed","last_message_id":"70"}`},
	{"channel delete", "CHANNEL_DELETE", `{"guild_id":"100","id":"201"}`, "- channels/100/201\n- messages/201/60\n- threads/100/301"},
	{"pins", "CHANNEL_PINS_UPDATE", `{"guild_id":"100","channel_id":"202","last_pin_timestamp":"2025"}`, `~ channels/100/202 {"id":"202","type":15,"name":"forum","last_pin_timestamp":"2025"}`},
	{"pins of a thread", "CHANNEL_PINS_UPDATE", `{"guild_id":"100","channel_id":"302"}`, `~ threads/100/302 {"id":"302","parent_id":"202","name":"another","last_pin_timestamp":null}`},
	{"channel info", "CHANNEL_INFO", `{"guild_id":"100","channels":[{"id":"202","status":"s"},{"id":"999","status":"s"}]}`, `~ channels/100/202 {"id":"202","type":15,"name":"forum","status":"s"}`},
	{"voice channel status", "VOICE_CHANNEL_STATUS_UPDATE", `{"guild_id":"100","id":"202","status":"s"}`, `~ channels/100/202 {"id":"202","type":15,"name":"forum","status":"s"}`},
	{"voice channel start", "VOICE_CHANNEL_START_TIME_UPDATE", `{"guild_id":"100","id":"202","voice_start_time":5}`, `~ channels/100/202 {"id":"202","type":15,"name":"forum","voice_start_time":5}`},
	{"moved channel", "CHANNEL_CREATE", `{"guild_id":"100","id":"301","type":0}`, "+ channels/100/301 {\"id\":\"301\",\"type\":0}\n- threads/100/301"},

	{"thread create in a forum", "THREAD_CREATE", `{"guild_id":"100","id":"303","parent_id":"202","newly_created":true}`,
		"+ threads/100/303 {\"id\":\"303\",\"parent_id\":\"202\"}\n~ channels/100/202 {\"id\":\"202\",\"type\":15,\"name\":\"forum\",\"last_message_id\":\"303\"}"},
	{"thread create under a text channel", "THREAD_CREATE", `{"guild_id":"100","id":"303","parent_id":"201","newly_created":true}`, `+ threads/100/303 {"id":"303","parent_id":"201"}`},
	{"thread update", "THREAD_UPDATE", `{"guild_id":"100","id":"301","name":"renamed","thread_metadata":{"archived":false}}`, `~ threads/100/301 {"id":"301","parent_id":"201","name":"renamed","thread_metadata":{"archived":false}}`},
	{"thread archived", "THREAD_UPDATE", `{"guild_id":"100","id":"301","thread_metadata":{"archived":true}}`, "- threads/100/301"},
	{"thread delete", "THREAD_DELETE", `{"guild_id":"100","id":"301","parent_id":"201","type":11}`, "- threads/100/301"},
	{"thread sync of one channel", "THREAD_LIST_SYNC", `{"guild_id":"100","channel_ids":["201"],"threads":[{"id":"304","parent_id":"201"}],"members":[{"id":"304","user_id":"9"}]}`,
		"+ threads/100/304 {\"id\":\"304\",\"parent_id\":\"201\",\"member\":{\"id\":\"304\",\"user_id\":\"9\"}}\n- threads/100/301"},
	{"thread sync of the guild", "THREAD_LIST_SYNC", `{"guild_id":"100","threads":[{"id":"302","parent_id":"202","name":"another"}],"members":[]}`, "- threads/100/301"},
	{"thread sync of a wrong type", "THREAD_LIST_SYNC", `{"guild_id":"100","channel_ids":"201","threads":[]}`, ""},
	{"thread sync without threads", "THREAD_LIST_SYNC", `{"guild_id":"100"}`, ""},
	{"own thread membership", "THREAD_MEMBER_UPDATE", `{"guild_id":"100","id":"301","user_id":"9","flags":1}`, `~ threads/100/301 {"id":"301","parent_id":"201","name":"a thread","member":{"id":"301","user_id":"9","flags":1}}`},
	{"own membership of an unknown thread", "THREAD_MEMBER_UPDATE", `{"guild_id":"100","id":"999","user_id":"9","flags":1}`, ""},
	{"thread members", "THREAD_MEMBERS_UPDATE", `{"guild_id":"100","id":"301","member_count":5,"added_members":[{"id":"301","user_id":"3","member":{"user":{"id":"3","username":"cat"},"roles":[]},"presence":null}]}`,
		"+ members/100/3 {\"roles\":[]}\n+ users/3/0 {\"id\":\"3\",\"username\":\"cat\"}\n~ threads/100/301 {\"id\":\"301\",\"parent_id\":\"201\",\"name\":\"a thread\",\"member_count\":5}"},

	{"member add", "GUILD_MEMBER_ADD", `{"guild_id":"100","user":{"id":"3","username":"cat"},"roles":[]}`,
		"+ members/100/3 {\"roles\":[]}\n+ users/3/0 {\"id\":\"3\",\"username\":\"cat\"}\n~ guilds/100/0 {\"id\":\"100\",\"name\":\"full\",\"member_count\":3,\"future\":{\"field\":1}}"},
	{"known member add", "GUILD_MEMBER_ADD", `{"guild_id":"100","user":{"id":"2","username":"bob"},"roles":[]}`, ""},
	{"member update", "GUILD_MEMBER_UPDATE", `{"guild_id":"100","user":{"id":"1","username":"anne"},"nick":"A"}`,
		"~ members/100/1 {\"roles\":[\"401\"],\"nick\":\"A\"}\n~ users/1/0 {\"id\":\"1\",\"username\":\"anne\"}"},
	{"member remove", "GUILD_MEMBER_REMOVE", `{"guild_id":"100","user":{"id":"1","username":"ann"}}`,
		"- members/100/1\n- presences/100/1\n- users/1/0\n- voice_states/100/1\n~ guilds/100/0 {\"id\":\"100\",\"name\":\"full\",\"member_count\":1,\"future\":{\"field\":1}}"},
	{"members chunk", "GUILD_MEMBERS_CHUNK", `{"guild_id":"100","members":[{"user":{"id":"4","username":"dan"},"roles":[]}],"presences":[{"user":{"id":"4"},"status":"idle"}],"chunk_index":0,"chunk_count":1}`,
		"+ members/100/4 {\"roles\":[]}\n+ presences/100/4 {\"user\":{\"id\":\"4\"},\"status\":\"idle\"}\n+ users/4/0 {\"id\":\"4\",\"username\":\"dan\"}"},
	{"ban", "GUILD_BAN_ADD", `{"guild_id":"100","user":{"id":"1","username":"bad"}}`, `~ users/1/0 {"id":"1","username":"bad"}`},
	{"unban", "GUILD_BAN_REMOVE", `{"guild_id":"100","user":{"id":"77","username":"bad"}}`, ""},
	{"interaction", "INTERACTION_CREATE", `{"id":"1","guild_id":"100","member":{"user":{"id":"5","username":"eve"},"roles":[],"permissions":"8"},"channel_id":"201"}`,
		"+ members/100/5 {\"roles\":[]}\n+ users/5/0 {\"id\":\"5\",\"username\":\"eve\"}"},
	{"typing", "TYPING_START", `{"guild_id":"100","channel_id":"201","user_id":"1","member":{"user":{"id":"1","username":"ann"},"roles":[]}}`, `~ members/100/1 {"roles":[],"nick":null}`},
	{"presence", "PRESENCE_UPDATE", `{"guild_id":"100","user":{"id":"1","username":"Ann"},"status":"dnd"}`,
		"~ presences/100/1 {\"user\":{\"id\":\"1\",\"username\":\"Ann\"},\"status\":\"dnd\"}\n~ users/1/0 {\"id\":\"1\",\"username\":\"Ann\"}"},
	{"offline", "PRESENCE_UPDATE", `{"guild_id":"100","user":{"id":"1"},"status":"offline"}`, "- presences/100/1"},
	{"presence of wrong types", "PRESENCE_UPDATE", `{"guild_id":"100","user":{"id":"1"},"status":7,"activities":"none"}`, `~ presences/100/1 {"user":{"id":"1"},"status":7,"activities":"none"}`},
	{"voice move", "VOICE_STATE_UPDATE", `{"guild_id":"100","user_id":"1","channel_id":"202","member":{"user":{"id":"1","username":"ann"},"roles":["401"]}}`, `~ voice_states/100/1 {"user_id":"1","channel_id":"202"}`},
	{"voice leave", "VOICE_STATE_UPDATE", `{"guild_id":"100","user_id":"1","channel_id":null}`, "- voice_states/100/1"},

	{"event create", "GUILD_SCHEDULED_EVENT_CREATE", `{"guild_id":"100","id":"802","name":"n"}`, `+ scheduled_events/100/802 {"id":"802","name":"n"}`},
	{"event update", "GUILD_SCHEDULED_EVENT_UPDATE", `{"guild_id":"100","id":"801","name":"n"}`, `~ scheduled_events/100/801 {"id":"801","name":"n","user_count":3}`},
	{"event delete", "GUILD_SCHEDULED_EVENT_DELETE", `{"guild_id":"100","id":"801"}`, "- scheduled_events/100/801"},
	{"event user", "GUILD_SCHEDULED_EVENT_USER_ADD", `{"guild_id":"100","guild_scheduled_event_id":"801","user_id":"1"}`, `~ scheduled_events/100/801 {"id":"801","name":"party","user_count":4}`},
	{"event user gone", "GUILD_SCHEDULED_EVENT_USER_REMOVE", `{"guild_id":"100","guild_scheduled_event_id":"801","user_id":"1"}`, `~ scheduled_events/100/801 {"id":"801","name":"party","user_count":2}`},
	{"stage create", "STAGE_INSTANCE_CREATE", `{"guild_id":"100","id":"702","topic":"n"}`, `+ stage_instances/100/702 {"id":"702","topic":"n"}`},
	{"stage update", "STAGE_INSTANCE_UPDATE", `{"guild_id":"100","id":"701","topic":"n"}`, `~ stage_instances/100/701 {"id":"701","topic":"n"}`},
	{"stage delete", "STAGE_INSTANCE_DELETE", `{"guild_id":"100","id":"701"}`, "- stage_instances/100/701"},
	{"sound create", "GUILD_SOUNDBOARD_SOUND_CREATE", `{"guild_id":"100","sound_id":"902","name":"n"}`, `+ soundboard_sounds/100/902 {"sound_id":"902","name":"n"}`},
	{"sound update", "GUILD_SOUNDBOARD_SOUND_UPDATE", `{"guild_id":"100","sound_id":"901","volume":1}`, `~ soundboard_sounds/100/901 {"sound_id":"901","name":"boom","volume":1}`},
	{"sound delete", "GUILD_SOUNDBOARD_SOUND_DELETE", `{"guild_id":"100","sound_id":"901"}`, "- soundboard_sounds/100/901"},
	{"sounds update", "GUILD_SOUNDBOARD_SOUNDS_UPDATE", `{"guild_id":"100","soundboard_sounds":[]}`, "- soundboard_sounds/100/901"},
	{"sounds", "SOUNDBOARD_SOUNDS", `{"guild_id":"100","soundboard_sounds":[]}`, "- soundboard_sounds/100/901"},

	{"message", "MESSAGE_CREATE", `{"id":"61","channel_id":"201","guild_id":"100","author":{"id":"1","username":"ann"},"member":{"nick":null},"mentions":[{"id":"6","username":"fay","member":{"nick":"f"}}]}`,
		"+ members/100/6 {\"nick\":\"f\"}\n+ messages/201/61 {\"id\":\"61\",\"channel_id\":\"201\",\"guild_id\":\"100\",\"author\":{\"id\":\"1\",\"username\":\"ann\"},\"member\":{\"nick\":null},\"mentions\":[{\"id\":\"6\",\"username\":\"fay\",\"member\":{\"nick\":\"f\"}}]}\n+ users/6/0 {\"id\":\"6\",\"username\":\"fay\"}\n~ channels/100/201 {\"id\":\"201\",\"type\":0,\"name\":\"general\",\"last_message_id\":\"61\"}"},
	{"webhook message", "MESSAGE_CREATE", `{"id":"61","channel_id":"999","guild_id":"100","webhook_id":"8","author":{"id":"8","username":"hook"}}`,
		`+ messages/999/61 {"id":"61","channel_id":"999","guild_id":"100","webhook_id":"8","author":{"id":"8","username":"hook"}}`},
	{"direct message", "MESSAGE_CREATE", `{"id":"61","channel_id":"999","author":{"id":"1","username":"annie"}}`,
		"+ messages/999/61 {\"id\":\"61\",\"channel_id\":\"999\",\"author\":{\"id\":\"1\",\"username\":\"annie\"}}\n~ users/1/0 {\"id\":\"1\",\"username\":\"annie\"}"},
	{"ephemeral message", "MESSAGE_CREATE", `{"id":"61","channel_id":"201","flags":64,"author":{"id":"1","username":"annie"}}`, ""},
	{"message of an unknown guild", "MESSAGE_CREATE", `{"id":"61","channel_id":"999","guild_id":"555","author":{"id":"1","username":"annie"},"member":{}}`, ""},
	{"message update", "MESSAGE_UPDATE", `{"id":"60","channel_id":"201","guild_id":"100","content":"edited"}`,
		`~ messages/201/60 {"id":"60","channel_id":"201","guild_id":"100","content":"edited","author":{"id":"1","username":"ann"},"member":{"roles":["401"],"nick":null},"mentions":[]}`},
	{"update of an unknown message", "MESSAGE_UPDATE", `{"id":"61","channel_id":"201","guild_id":"100","content":"edited"}`, ""},
	{"message delete", "MESSAGE_DELETE", `{"id":"60","channel_id":"201","guild_id":"100"}`, "- messages/201/60"},
	{"bulk delete", "MESSAGE_DELETE_BULK", `{"ids":["59","60"],"channel_id":"201","guild_id":"100"}`, "- messages/201/60"},
	{"reactions cleared", "MESSAGE_REACTION_REMOVE_ALL", `{"message_id":"60","channel_id":"201","guild_id":"100"}`,
		`~ messages/201/60 {"id":"60","channel_id":"201","guild_id":"100","content":"hi","author":{"id":"1","username":"ann"},"member":{"roles":["401"],"nick":null},"mentions":[],"reactions":[]}`},

	{"no effect", "GUILD_INTEGRATIONS_UPDATE", `{"guild_id":"100"}`, ""},
	{"unknown event", "SOMETHING_NEW", `{"id":"100"}`, ""},
	{"not an object", "GUILD_CREATE", `[1]`, ""},
	{"truncated", "GUILD_DELETE", `{"id":"100"`, ""},
}

// counting events change a number each time; all others are idempotent.
var counting = map[string]bool{
	"GUILD_SCHEDULED_EVENT_USER_ADD": true, "GUILD_SCHEDULED_EVENT_USER_REMOVE": true, "GUILD_MEMBER_REMOVE": true,
}

func TestRows(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c := filled(everything())
			check(t, c)
			before := contents(c)
			c.Apply(0, 1, row.event, []byte(row.d))
			check(t, c)
			if got := difference(before, contents(c)); got != row.want {
				t.Errorf("%s\n got:\n%s\nwant:\n%s", row.event, got, row.want)
			}
			digest, seq := c.Digest(), c.seq
			if counting[row.event] {
				return
			}
			c.Apply(0, 1, row.event, []byte(row.d))
			if c.Digest() != digest {
				t.Error("the same event once more changes something")
			}
			if c.seq != seq && row.event != "THREAD_LIST_SYNC" { // which replaces a thread, then adds its member
				t.Errorf("the same event once more costs %d writes", c.seq-seq)
			}
		})
	}
}

// Every event of the table has a row.
func TestRowsAreComplete(t *testing.T) {
	tested := map[string]bool{"MESSAGE_REACTION_ADD": true, "MESSAGE_REACTION_REMOVE": true, "MESSAGE_REACTION_REMOVE_EMOJI": true} // TestReactions
	for _, row := range rows {
		tested[row.event] = true
	}
	for name := range effects {
		if !tested[name] {
			t.Errorf("%s has no row", name)
		}
	}
}

func TestRemovedGuildLeavesNothing(t *testing.T) {
	c := New(everything())
	c.Apply(0, 1, "READY", []byte(`{"user":{"id":"9"},"guilds":[]}`))
	empty := c.Digest()
	c.Apply(0, 1, "GUILD_CREATE", []byte(fullGuild))
	c.Apply(0, 1, "GUILD_CREATE", []byte(fullGuild)) // once more: members were unverified
	for _, row := range rows {
		if row.event != "READY" && row.event != "USER_UPDATE" && row.event != "GUILD_DELETE" {
			c.Apply(0, 1, row.event, []byte(row.d))
		}
	}
	check(t, c)
	for _, id := range []string{"100", "101"} {
		c.Apply(0, 1, "GUILD_DELETE", []byte(`{"id":"`+id+`"}`))
	}
	c.Apply(0, 1, "MESSAGE_DELETE", []byte(`{"id":"61","channel_id":"999"}`)) // the direct one
	check(t, c)
	for _, s := range c.Stats() {
		if s.Count != 0 || s.Bytes != 0 {
			t.Errorf("%v: %d objects of %d bytes are left", s.Kind, s.Count, s.Bytes)
		}
	}
	if c.Digest() != empty {
		t.Errorf("left: %v", contents(c))
	}
	if n := c.index.channels.n + c.index.places.n + c.index.talks.n + c.stores.lasts.n + c.stores.chunks.n; n != 0 {
		t.Errorf("%d entries of stores and index are left", n)
	}
	for _, row := range rows { // events that come late
		if row.event != "READY" && row.event != "USER_UPDATE" && row.event != "GUILD_CREATE" && row.event != "GUILD_DELETE" && row.event != "MESSAGE_CREATE" {
			c.Apply(0, 1, row.event, []byte(row.d))
		}
	}
	if c.Digest() != empty {
		t.Errorf("late events left: %v", contents(c))
	}
}

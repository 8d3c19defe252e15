package sim

import "fmt"

// The objects that make a guild, with every field that Discord's documents list
// as always present (resources/guild.mdx, channel.mdx, emoji.mdx).

func baseGuild(g *guild) raw {
	owner := g.members.id(0)
	if g.members.n > 1 {
		owner = g.members.id(1)
	}
	return encode(obj{
		"id": g.id, "name": fmt.Sprintf("Guild %d", g.index), "icon": nil, "description": nil, "splash": nil,
		"discovery_splash": nil, "features": []string{}, "banner": nil, "owner_id": owner, "application_id": nil,
		"region": "deprecated", "afk_channel_id": nil, "afk_timeout": 300, "system_channel_id": nil,
		"system_channel_flags": 0, "widget_enabled": false, "widget_channel_id": nil, "verification_level": 0,
		"default_message_notifications": 0, "mfa_level": 0, "explicit_content_filter": 0, "max_presences": nil,
		"max_members": 25_000_000, "max_video_channel_users": 25, "max_stage_video_channel_users": 50,
		"vanity_url_code": nil, "premium_tier": 0, "premium_subscription_count": 0, "preferred_locale": "en-US",
		"rules_channel_id": nil, "safety_alerts_channel_id": nil, "public_updates_channel_id": nil, "hub_type": nil,
		"premium_progress_bar_enabled": false, "nsfw": false, "nsfw_level": 0, "incidents_data": nil,
		"latest_onboarding_question_id": nil, "home_header": nil,
	})
}

func roleObject(id ID, name string, pos int) raw {
	return encode(obj{
		"id": id, "name": name, "color": pos * 1001, "hoist": false, "position": pos, "permissions": "2248473465835073",
		"managed": false, "mentionable": false, "icon": nil, "unicode_emoji": nil, "flags": 0, "description": nil,
		"colors": obj{"primary_color": pos * 1001, "secondary_color": nil, "tertiary_color": nil},
	})
}

func channelObject(id ID, kind int, name string, pos int) raw {
	o := obj{
		"id": id, "type": kind, "name": name, "position": pos, "permission_overwrites": []any{}, "parent_id": nil,
		"flags": 0, "nsfw": false, "rate_limit_per_user": 0, "last_message_id": nil,
	}
	switch kind {
	case 2:
		o["bitrate"], o["user_limit"], o["rtc_region"] = 64000, 0, nil
	case 0, 5:
		o["topic"], o["last_pin_timestamp"] = nil, nil
	}
	return encode(o)
}

func emojiObject(id ID, name string) raw {
	return encode(obj{
		"id": id, "name": name, "roles": []any{}, "require_colons": true, "managed": false,
		"animated": false, "available": true,
	})
}

func threadObject(id, parent, owner ID, name string) raw {
	return encode(obj{
		"id": id, "type": 11, "parent_id": parent, "owner_id": owner, "name": name, "last_message_id": nil,
		"rate_limit_per_user": 0, "message_count": 0, "member_count": 1, "total_message_sent": 0, "flags": 0,
		"thread_metadata": obj{
			"archived": false, "auto_archive_duration": 1440, "archive_timestamp": "2024-01-02T03:04:05.000000+00:00",
			"create_timestamp": "2024-01-02T03:04:05.000000+00:00", "locked": false,
		},
	})
}

func presenceObject(user ID, status string) raw {
	return encode(obj{
		"user": obj{"id": user}, "status": status, "activities": []any{}, "client_status": obj{"desktop": status},
	})
}

func voiceObject(user, channel ID, session string, mute, deaf bool) raw {
	return encode(obj{
		"user_id": user, "channel_id": channel, "session_id": session, "deaf": false, "mute": false,
		"self_deaf": deaf, "self_mute": mute, "self_video": false, "suppress": false,
		"request_to_speak_timestamp": nil,
	})
}

// guildView is what decides which members a GUILD_CREATE lists.
type guildView struct {
	intents   int64
	threshold int
}

// create renders GUILD_CREATE (events/gateway-events.mdx, "Guild Create" and
// "Request Guild Members"): without the presence intent only those in voice and
// the bot; above the threshold only those that are online or in voice.
func (g *guild) create(v guildView) raw {
	var members []raw
	all := v.intents&intentPresences != 0 && g.members.count() <= v.threshold
	if all {
		g.members.each(func(_ ID, r raw) bool { members = append(members, r); return true })
	} else {
		members = g.someMembers(v)
	}
	presences := []raw{}
	if v.intents&intentPresences != 0 {
		presences = sortedRows(g.presences)
	}
	b := append([]byte(nil), g.base[:len(g.base)-1]...)
	b = fmt.Appendf(b, `,"joined_at":%q,"large":%t,"unavailable":false,"member_count":%d`,
		g.joined, g.members.count() > v.threshold, g.members.count())
	for _, part := range []struct {
		key string
		val raw
	}{
		{"roles", g.roles.array()},
		{"emojis", g.emojis.array()},
		{"stickers", raw("[]")},
		{"channels", g.channels.array()},
		{"threads", g.threads.array()},
		{"voice_states", joinArray(sortedRows(g.voice))},
		{"members", joinArray(members)},
		{"presences", joinArray(presences)},
		{"stage_instances", raw("[]")},
		{"guild_scheduled_events", raw("[]")},
		{"soundboard_sounds", raw("[]")},
		{"embedded_activities", raw("[]")},
		{"application_command_counts", raw("{}")},
	} {
		b = append(b, `,"`+part.key+`":`...)
		b = append(b, part.val...)
	}
	return append(b, '}')
}

func (g *guild) someMembers(v guildView) []raw {
	var out []raw
	add := func(id ID) {
		if r, ok := g.members.get(id); ok {
			out = append(out, r)
		}
	}
	add(BotID)
	for _, id := range sortedKeys(g.voice) {
		if id != BotID {
			add(id)
		}
	}
	if v.intents&intentPresences == 0 {
		return out
	}
	for _, id := range sortedKeys(g.presences) {
		if _, inVoice := g.voice[id]; !inVoice && id != BotID {
			add(id)
		}
	}
	return out
}

// object is the guild as GET /guilds/{id} answers it.
func (g *guild) object() raw {
	b := append([]byte(nil), g.base[:len(g.base)-1]...)
	b = append(b, `,"roles":`...)
	b = append(b, g.roles.array()...)
	b = append(b, `,"emojis":`...)
	b = append(b, g.emojis.array()...)
	return append(b, `,"stickers":[]}`...)
}

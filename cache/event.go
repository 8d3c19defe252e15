package cache

import "github.com/botnode/botnode/internal/jsonscan"

// event is one dispatch event, sliced once: the members of d that any effect
// looks at, as raw values, nil if absent.
type event struct {
	shard, total int
	d            []byte

	id, guild, channel, message, userID uint64

	user, author, member, role, roleID, soundID, emoji, unavailable, burst []byte
	memberCount, lastPin, chunkIndex, chunkCount, nonce, status            []byte
	threadMetadata, guildEventID                                           []byte
	mentions, ids, guilds, channels, threads, roles, emojis, stickers      []byte
	members, presences, voiceStates, stages, events, sounds                []byte
	channelIDs, addedMembers, removedIDs                                   []byte
}

// scan slices d. It returns false if d isn't an object.
func (e *event) scan(d []byte) bool {
	e.d = d
	return jsonscan.Fields(d, func(name, val []byte) bool {
		if dst, id := e.field(name); dst != nil {
			*dst = val
		} else if id != nil {
			*id = jsonscan.ID(val)
		}
		return true
	}) == nil
}

// field returns where a member of d goes: as it stands, or as a snowflake. It is
// one switch, and not a table or several, because every event of a bot comes
// through here on every node, some twenty times.
func (e *event) field(name []byte) (val *[]byte, id *uint64) {
	switch string(name) {
	case "id":
		return nil, &e.id
	case "guild_id":
		return nil, &e.guild
	case "channel_id":
		return nil, &e.channel
	case "message_id":
		return nil, &e.message
	case "user_id":
		return nil, &e.userID
	case "user":
		return &e.user, nil
	case "author":
		return &e.author, nil
	case "member":
		return &e.member, nil
	case "role":
		return &e.role, nil
	case "role_id":
		return &e.roleID, nil
	case "sound_id":
		return &e.soundID, nil
	case "emoji":
		return &e.emoji, nil
	case "unavailable":
		return &e.unavailable, nil
	case "burst":
		return &e.burst, nil
	case "member_count":
		return &e.memberCount, nil
	case "last_pin_timestamp":
		return &e.lastPin, nil
	case "chunk_index":
		return &e.chunkIndex, nil
	case "chunk_count":
		return &e.chunkCount, nil
	case "nonce":
		return &e.nonce, nil
	case "status":
		return &e.status, nil
	case "thread_metadata":
		return &e.threadMetadata, nil
	case "guild_scheduled_event_id":
		return &e.guildEventID, nil
	case "mentions":
		return &e.mentions, nil
	case "ids":
		return &e.ids, nil
	case "guilds":
		return &e.guilds, nil
	case "channels":
		return &e.channels, nil
	case "threads":
		return &e.threads, nil
	case "roles":
		return &e.roles, nil
	case "emojis":
		return &e.emojis, nil
	case "stickers":
		return &e.stickers, nil
	case "members":
		return &e.members, nil
	case "presences":
		return &e.presences, nil
	case "voice_states":
		return &e.voiceStates, nil
	case "stage_instances":
		return &e.stages, nil
	case "guild_scheduled_events":
		return &e.events, nil
	case "soundboard_sounds":
		return &e.sounds, nil
	case "channel_ids":
		return &e.channelIDs, nil
	case "added_members":
		return &e.addedMembers, nil
	case "removed_member_ids":
		return &e.removedIDs, nil
	}
	return nil, nil
}

// clear forgets the event.
func (e *event) clear() { *e = event{} }

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
		if dst := e.id64(name); dst != nil {
			*dst = jsonscan.ID(val)
		} else if dst := e.value(name); dst != nil {
			*dst = val
		} else if dst := e.list(name); dst != nil {
			*dst = val
		}
		return true
	}) == nil
}

// id64 returns where a member that is a snowflake goes.
func (e *event) id64(name []byte) *uint64 {
	switch string(name) {
	case "id":
		return &e.id
	case "guild_id":
		return &e.guild
	case "channel_id":
		return &e.channel
	case "message_id":
		return &e.message
	case "user_id":
		return &e.userID
	}
	return nil
}

// value returns where a member that is an object or a scalar goes.
func (e *event) value(name []byte) *[]byte {
	switch string(name) {
	case "user":
		return &e.user
	case "author":
		return &e.author
	case "member":
		return &e.member
	case "role":
		return &e.role
	case "role_id":
		return &e.roleID
	case "sound_id":
		return &e.soundID
	case "emoji":
		return &e.emoji
	case "unavailable":
		return &e.unavailable
	case "burst":
		return &e.burst
	case "member_count":
		return &e.memberCount
	case "last_pin_timestamp":
		return &e.lastPin
	case "chunk_index":
		return &e.chunkIndex
	case "chunk_count":
		return &e.chunkCount
	case "nonce":
		return &e.nonce
	case "status":
		return &e.status
	case "thread_metadata":
		return &e.threadMetadata
	case "guild_scheduled_event_id":
		return &e.guildEventID
	}
	return nil
}

// list returns where a member that is an array goes.
func (e *event) list(name []byte) *[]byte {
	switch string(name) {
	case "mentions":
		return &e.mentions
	case "ids":
		return &e.ids
	case "guilds":
		return &e.guilds
	case "channels":
		return &e.channels
	case "threads":
		return &e.threads
	case "roles":
		return &e.roles
	case "emojis":
		return &e.emojis
	case "stickers":
		return &e.stickers
	case "members":
		return &e.members
	case "presences":
		return &e.presences
	case "voice_states":
		return &e.voiceStates
	case "stage_instances":
		return &e.stages
	case "guild_scheduled_events":
		return &e.events
	case "soundboard_sounds":
		return &e.sounds
	case "channel_ids":
		return &e.channelIDs
	case "added_members":
		return &e.addedMembers
	case "removed_member_ids":
		return &e.removedIDs
	}
	return nil
}

// clear forgets the event.
func (e *event) clear() { *e = event{} }

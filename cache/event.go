package cache

import "github.com/botnode/botnode/internal/jsonscan"

// event is one dispatch event, sliced once: the members of d that any effect
// looks at, as raw values, nil if absent.
type event struct {
	shard, total int
	d            []byte

	id, guild, channel, message, userID uint64
	authorID                            uint64 // of author; 0 if it wasn't looked for

	user, author, member, role, roleID, soundID, emoji, unavailable, burst []byte
	memberCount, lastPin, chunkIndex, chunkCount, nonce, status            []byte
	threadMetadata, guildEventID                                           []byte
	mentions, ids, guilds, channels, threads, roles, emojis, stickers      []byte
	members, presences, voiceStates, stages, events, sounds                []byte
	channelIDs, addedMembers, removedIDs                                   []byte
}

// field says where a member of d goes: as a snowflake, or as it stands.
type field struct {
	name string
	id   func(*event) *uint64
	val  func(*event) *[]byte
}

// authorIDField is the field that isn't d's but that of its author.
const authorIDField = 1

// fields are the members that effects look at. Their places in this list are in
// slices, and so in the log: they never change, new ones are appended.
var fields = [...]field{
	{},
	authorIDField: {name: "author.id", id: func(e *event) *uint64 { return &e.authorID }},

	{name: "id", id: func(e *event) *uint64 { return &e.id }},
	{name: "guild_id", id: func(e *event) *uint64 { return &e.guild }},
	{name: "channel_id", id: func(e *event) *uint64 { return &e.channel }},
	{name: "message_id", id: func(e *event) *uint64 { return &e.message }},
	{name: "user_id", id: func(e *event) *uint64 { return &e.userID }},

	{name: "user", val: func(e *event) *[]byte { return &e.user }},
	{name: "author", val: func(e *event) *[]byte { return &e.author }},
	{name: "member", val: func(e *event) *[]byte { return &e.member }},
	{name: "role", val: func(e *event) *[]byte { return &e.role }},
	{name: "role_id", val: func(e *event) *[]byte { return &e.roleID }},
	{name: "sound_id", val: func(e *event) *[]byte { return &e.soundID }},
	{name: "emoji", val: func(e *event) *[]byte { return &e.emoji }},
	{name: "unavailable", val: func(e *event) *[]byte { return &e.unavailable }},
	{name: "burst", val: func(e *event) *[]byte { return &e.burst }},
	{name: "member_count", val: func(e *event) *[]byte { return &e.memberCount }},
	{name: "last_pin_timestamp", val: func(e *event) *[]byte { return &e.lastPin }},
	{name: "chunk_index", val: func(e *event) *[]byte { return &e.chunkIndex }},
	{name: "chunk_count", val: func(e *event) *[]byte { return &e.chunkCount }},
	{name: "nonce", val: func(e *event) *[]byte { return &e.nonce }},
	{name: "status", val: func(e *event) *[]byte { return &e.status }},
	{name: "thread_metadata", val: func(e *event) *[]byte { return &e.threadMetadata }},
	{name: "guild_scheduled_event_id", val: func(e *event) *[]byte { return &e.guildEventID }},
	{name: "mentions", val: func(e *event) *[]byte { return &e.mentions }},
	{name: "ids", val: func(e *event) *[]byte { return &e.ids }},
	{name: "guilds", val: func(e *event) *[]byte { return &e.guilds }},
	{name: "channels", val: func(e *event) *[]byte { return &e.channels }},
	{name: "threads", val: func(e *event) *[]byte { return &e.threads }},
	{name: "roles", val: func(e *event) *[]byte { return &e.roles }},
	{name: "emojis", val: func(e *event) *[]byte { return &e.emojis }},
	{name: "stickers", val: func(e *event) *[]byte { return &e.stickers }},
	{name: "members", val: func(e *event) *[]byte { return &e.members }},
	{name: "presences", val: func(e *event) *[]byte { return &e.presences }},
	{name: "voice_states", val: func(e *event) *[]byte { return &e.voiceStates }},
	{name: "stage_instances", val: func(e *event) *[]byte { return &e.stages }},
	{name: "guild_scheduled_events", val: func(e *event) *[]byte { return &e.events }},
	{name: "soundboard_sounds", val: func(e *event) *[]byte { return &e.sounds }},
	{name: "channel_ids", val: func(e *event) *[]byte { return &e.channelIDs }},
	{name: "added_members", val: func(e *event) *[]byte { return &e.addedMembers }},
	{name: "removed_member_ids", val: func(e *event) *[]byte { return &e.removedIDs }},
}

// fieldOf finds a member's place in fields; nothing writes to it.
var fieldOf = func() map[string]uint8 {
	m := make(map[string]uint8, len(fields))
	for i, f := range fields {
		if i > authorIDField {
			m[f.name] = uint8(i)
		}
	}
	return m
}()

// set stores a member.
func (e *event) set(f uint8, val []byte) {
	if at := &fields[f]; at.id != nil {
		*at.id(e) = jsonscan.ID(val)
	} else {
		*at.val(e) = val
	}
}

// scan slices d. It returns false if d isn't an object.
func (e *event) scan(d []byte) bool {
	e.d = d
	return jsonscan.Fields(d, func(name, val []byte) bool {
		if f, ok := fieldOf[string(name)]; ok {
			e.set(f, val)
		}
		return true
	}) == nil
}

// clear forgets the event.
func (e *event) clear() { *e = event{} }

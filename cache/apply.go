package cache

import "github.com/botnode/botnode/internal/jsonscan"

// effect is what an event does. Effects of guilds happen only to guilds that the
// bot is in: an event that arrives after a guild's removal must not leave
// something behind that nothing would ever delete.
type effect struct {
	guild bool // d.guild_id must name a guild that the bot is in
	apply func(c *Cache, e *event)
}

// effects is the table of docs/design/cache.md; nothing writes to it. Events
// that it doesn't name change nothing that is cached.
var effects = map[string]effect{
	"READY":       {apply: (*Cache).ready},
	"USER_UPDATE": {apply: (*Cache).userUpdate},

	"GUILD_CREATE":          {apply: (*Cache).guildCreate},
	"GUILD_UPDATE":          {apply: (*Cache).guildUpdate},
	"GUILD_DELETE":          {apply: (*Cache).guildDelete},
	"GUILD_EMOJIS_UPDATE":   {true, func(c *Cache, e *event) { c.replaceAll(Emojis, e.guild, e.emojis) }},
	"GUILD_STICKERS_UPDATE": {true, func(c *Cache, e *event) { c.replaceAll(Stickers, e.guild, e.stickers) }},
	"GUILD_ROLE_CREATE":     {true, func(c *Cache, e *event) { c.roleWrite(e, replace) }},
	"GUILD_ROLE_UPDATE":     {true, func(c *Cache, e *event) { c.roleWrite(e, overlay) }},
	"GUILD_ROLE_DELETE":     {true, func(c *Cache, e *event) { c.drop(Roles, key{e.guild, jsonscan.ID(e.roleID)}) }},

	"CHANNEL_CREATE":                  {true, func(c *Cache, e *event) { c.ownID(Channels, e, replace) }},
	"CHANNEL_UPDATE":                  {true, func(c *Cache, e *event) { c.ownID(Channels, e, overlay) }},
	"CHANNEL_DELETE":                  {true, (*Cache).channelDelete},
	"CHANNEL_PINS_UPDATE":             {true, (*Cache).channelPins},
	"CHANNEL_INFO":                    {true, (*Cache).channelInfo},
	"VOICE_CHANNEL_STATUS_UPDATE":     {true, func(c *Cache, e *event) { c.ownID(Channels, e, amend) }},
	"VOICE_CHANNEL_START_TIME_UPDATE": {true, func(c *Cache, e *event) { c.ownID(Channels, e, amend) }},

	"THREAD_CREATE":         {true, (*Cache).threadWrite},
	"THREAD_UPDATE":         {true, (*Cache).threadWrite},
	"THREAD_DELETE":         {true, func(c *Cache, e *event) { c.dropChannel(Threads, e.guild, e.id) }},
	"THREAD_LIST_SYNC":      {true, (*Cache).threadSync},
	"THREAD_MEMBER_UPDATE":  {true, func(c *Cache, e *event) { c.threadMember(e.guild, e.id, e.d) }},
	"THREAD_MEMBERS_UPDATE": {true, (*Cache).threadMembers},

	"GUILD_MEMBER_ADD":    {true, (*Cache).memberAdd},
	"GUILD_MEMBER_UPDATE": {true, func(c *Cache, e *event) { c.member(e.guild, e.user, e.d, overlay) }},
	"GUILD_MEMBER_REMOVE": {true, (*Cache).memberRemove},
	"GUILD_MEMBERS_CHUNK": {true, (*Cache).membersChunk},
	"GUILD_BAN_ADD":       {true, func(c *Cache, e *event) { c.user(e.user, amend) }},
	"GUILD_BAN_REMOVE":    {true, func(c *Cache, e *event) { c.user(e.user, amend) }},
	"INTERACTION_CREATE":  {true, (*Cache).memberSeen},
	"TYPING_START":        {true, (*Cache).memberSeen},
	"PRESENCE_UPDATE":     {true, (*Cache).presenceUpdate},
	"VOICE_STATE_UPDATE":  {true, (*Cache).voiceUpdate},

	"GUILD_SCHEDULED_EVENT_CREATE":      {true, func(c *Cache, e *event) { c.ownID(ScheduledEvents, e, replace) }},
	"GUILD_SCHEDULED_EVENT_UPDATE":      {true, func(c *Cache, e *event) { c.ownID(ScheduledEvents, e, overlay) }},
	"GUILD_SCHEDULED_EVENT_DELETE":      {true, func(c *Cache, e *event) { c.drop(ScheduledEvents, key{e.guild, e.id}) }},
	"GUILD_SCHEDULED_EVENT_USER_ADD":    {true, func(c *Cache, e *event) { c.subscribers(e, 1) }},
	"GUILD_SCHEDULED_EVENT_USER_REMOVE": {true, func(c *Cache, e *event) { c.subscribers(e, -1) }},
	"STAGE_INSTANCE_CREATE":             {true, func(c *Cache, e *event) { c.ownID(StageInstances, e, replace) }},
	"STAGE_INSTANCE_UPDATE":             {true, func(c *Cache, e *event) { c.ownID(StageInstances, e, overlay) }},
	"STAGE_INSTANCE_DELETE":             {true, func(c *Cache, e *event) { c.drop(StageInstances, key{e.guild, e.id}) }},
	"GUILD_SOUNDBOARD_SOUND_CREATE":     {true, func(c *Cache, e *event) { c.soundWrite(e, replace) }},
	"GUILD_SOUNDBOARD_SOUND_UPDATE":     {true, func(c *Cache, e *event) { c.soundWrite(e, overlay) }},
	"GUILD_SOUNDBOARD_SOUND_DELETE":     {true, func(c *Cache, e *event) { c.drop(SoundboardSounds, key{e.guild, jsonscan.ID(e.soundID)}) }},
	"GUILD_SOUNDBOARD_SOUNDS_UPDATE":    {true, func(c *Cache, e *event) { c.replaceAll(SoundboardSounds, e.guild, e.sounds) }},
	"SOUNDBOARD_SOUNDS":                 {true, func(c *Cache, e *event) { c.replaceAll(SoundboardSounds, e.guild, e.sounds) }},

	"MESSAGE_CREATE":                {apply: (*Cache).messageCreate},
	"MESSAGE_UPDATE":                {apply: (*Cache).messageUpdate},
	"MESSAGE_DELETE":                {apply: func(c *Cache, e *event) { c.drop(Messages, key{e.channel, e.id}) }},
	"MESSAGE_DELETE_BULK":           {apply: (*Cache).messageDeleteBulk},
	"MESSAGE_REACTION_ADD":          {apply: (*Cache).reactionAdd},
	"MESSAGE_REACTION_REMOVE":       {apply: (*Cache).reactionRemove},
	"MESSAGE_REACTION_REMOVE_ALL":   {apply: (*Cache).reactionRemoveAll},
	"MESSAGE_REACTION_REMOVE_EMOJI": {apply: (*Cache).reactionRemoveEmoji},
}

// Apply gives a dispatch event its effect: name is the t and d the d of its
// payload, seen by one of total shards. d may be reused afterwards.
func (c *Cache) Apply(shard, total int, name string, d []byte) {
	c.ApplySliced(shard, total, name, d, nil)
}

// ApplySliced is Apply with what Slice found in d, which saves looking through
// it. Slices that can't be of d are as good as none.
func (c *Cache) ApplySliced(shard, total int, name string, d, slices []byte) {
	eff, ok := effects[name]
	if !ok {
		return
	}
	e := &c.ev
	e.shard, e.total = shard, total
	if (len(slices) > 0 && e.take(d, slices) || e.scan(d)) && (!eff.guild || c.known(e.guild)) {
		eff.apply(c, e)
	}
	c.reset()
}

// reset lets go of the event, whose slices would keep a whole batch alive, and
// of a scratch buffer that one huge object made large.
func (c *Cache) reset() {
	const roomy = 64 << 10
	c.ev.clear()
	if cap(c.buf) > roomy {
		c.buf = nil
	}
	if cap(c.hashed) > roomy {
		c.hashed = nil
	}
}

// known reports whether the bot is in a guild.
func (c *Cache) known(guild uint64) bool { return guild != 0 && c.stores.homes.has(key{guild, 0}) }

// ownID writes an event that is an object with an id of its own.
func (c *Cache) ownID(kind Kind, e *event, m manner) {
	if e.id != 0 {
		c.store(kind, key{e.guild, e.id}, e.d, m, skipGuildID)
	}
}

// Fields that are left out of what is stored: the guild is in the key, the user
// is held once, lists are kinds of their own, and the rest is said of the event
// rather than of the object.

func skipGuildID(name []byte) bool { return string(name) == "guild_id" }

func skipMember(name []byte) bool {
	switch string(name) {
	case "guild_id", "user", "permissions", "presence":
		return true
	}
	return false
}

func skipVoice(name []byte) bool {
	switch string(name) {
	case "guild_id", "member":
		return true
	}
	return false
}

func skipUser(name []byte) bool { return string(name) == "member" }

func skipThread(name []byte) bool {
	switch string(name) {
	case "guild_id", "newly_created":
		return true
	}
	return false
}

func skipGuild(name []byte) bool {
	switch string(name) {
	case "channels", "threads", "roles", "emojis", "stickers", "members", "presences", "voice_states",
		"stage_instances", "guild_scheduled_events", "soundboard_sounds", "unavailable":
		return true
	}
	return false
}

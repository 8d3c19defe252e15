package cache

import (
	"encoding/binary"
	"slices"

	"github.com/botnode/botnode/internal/jsonscan"
)

// ready takes the bot's own user and the guilds that the shard will serve. They
// start unavailable; what is cached of them stays until their GUILD_CREATE.
// Guilds that READY doesn't name are the caller's to delete: see MissingGuilds.
func (c *Cache) ready(e *event) {
	c.setSelf(e.user, replace)
	_ = jsonscan.Elements(e.guilds, func(guild []byte) bool {
		if id := idOf(guild); id != 0 {
			outage, _ := jsonscan.Bool(jsonscan.Get(guild, "unavailable"))
			c.setHome(id, home{uint32(e.shard), uint32(e.total), outage})
		}
		return true
	})
}

// userUpdate changes the bot's own user.
func (c *Cache) userUpdate(e *event) {
	if e.id != 0 {
		c.setSelf(e.d, overlay)
		c.user(e.d, amend)
	}
}

// setSelf stores the bot's own user.
func (c *Cache) setSelf(user []byte, m manner) {
	if idOf(user) == 0 {
		return
	}
	var base []byte
	if m == overlay {
		base = raw(c.stores.self)
	}
	next := string(jsonscan.Merge(nil, base, user, skipUser))
	if c.stores.self != "" {
		c.unhash(tagSelf, key{}, c.stores.self)
	}
	c.stores.self = next
	c.hash(tagSelf, key{}, next)
}

// setHome stores which shard sees a guild.
func (c *Cache) setHome(guild uint64, h home) {
	k := key{guild, 0}
	old, had := c.stores.homes.get(k)
	if had && old == h {
		return
	}
	if had {
		c.unhash(tagHome, k, old.encode())
	}
	c.stores.homes.set(k, h)
	c.hash(tagHome, k, h.encode())
}

// encode returns the bytes of a home in digests and snapshots.
func (h home) encode() string {
	var b [9]byte
	binary.LittleEndian.PutUint32(b[:], h.shard)
	binary.LittleEndian.PutUint32(b[4:], h.total)
	if h.unavailable {
		b[8] = 1
	}
	return string(b[:])
}

// guildCreate takes a guild as it is now. All lists replace what is cached but
// the members': that one is partial (developers/events/gateway-events.mdx,
// "Guild Create"), so members that it doesn't name become unverified.
func (c *Cache) guildCreate(e *event) {
	if e.id == 0 {
		return
	}
	if outage, _ := jsonscan.Bool(e.unavailable); outage {
		c.setHome(e.id, home{uint32(e.shard), uint32(e.total), true})
		return
	}
	c.setHome(e.id, home{uint32(e.shard), uint32(e.total), false})
	c.store(Guilds, key{e.id, 0}, e.d, replace, skipGuild)
	c.replaceLists(e.id, e)
	c.replaceAll(Channels, e.id, e.channels)
	c.replaceAll(Threads, e.id, e.threads)
	c.replaceAll(StageInstances, e.id, e.stages)
	c.replaceAll(ScheduledEvents, e.id, e.events)
	c.replaceAll(SoundboardSounds, e.id, e.sounds)
	c.unverify(e.id)
	c.memberList(e.id, e.members)
	c.replaceAll(Presences, e.id, e.presences)
	c.replaceAll(VoiceStates, e.id, e.voiceStates)
}

// replaceLists replaces the lists that a guild object has in every event.
func (c *Cache) replaceLists(guild uint64, e *event) {
	c.replaceAll(Roles, guild, e.roles)
	c.replaceAll(Emojis, guild, e.emojis)
	c.replaceAll(Stickers, guild, e.stickers)
}

// guildUpdate changes a guild that is cached.
func (c *Cache) guildUpdate(e *event) {
	if c.known(e.id) {
		c.store(Guilds, key{e.id, 0}, e.d, amend, skipGuild)
		c.replaceLists(e.id, e)
	}
}

// guildDelete tells an outage, which keeps everything, from the bot's removal,
// which leaves nothing behind.
func (c *Cache) guildDelete(e *event) {
	outage, isBool := jsonscan.Bool(e.unavailable)
	removed := e.unavailable == nil || jsonscan.IsNull(e.unavailable) || isBool && !outage
	switch {
	case e.id == 0:
	case removed:
		c.removeGuild(e.id)
	default:
		c.setHome(e.id, home{uint32(e.shard), uint32(e.total), true})
	}
}

// removeGuild forgets a guild and everything in it.
func (c *Cache) removeGuild(guild uint64) {
	for _, channel := range c.index.talks.ids(guild) {
		c.dropMessages(channel)
	}
	for kind := range kindCount {
		if kind == Users || kind == Messages {
			continue // the first go with their last member, the second just went
		}
		for _, id := range c.tables[kind].recs.ids(guild) {
			c.drop(kind, key{guild, id})
		}
	}
	c.forgetMarks(guild)
	k := key{guild, 0}
	if h, had := c.stores.homes.remove(k); had {
		c.unhash(tagHome, k, h.encode())
	}
}

// element returns the id and the fields to leave out of a list's element.
func element(kind Kind, val []byte) (id uint64, skip func([]byte) bool) {
	switch kind {
	case VoiceStates:
		return jsonscan.ID(jsonscan.Get(val, "user_id")), skipVoice
	case Presences:
		return jsonscan.ID(jsonscan.Get(jsonscan.Get(val, "user"), "id")), skipGuildID
	case SoundboardSounds:
		return jsonscan.ID(jsonscan.Get(val, "sound_id")), skipGuildID
	case Threads:
		return idOf(val), skipThread
	}
	return idOf(val), skipGuildID
}

// replaceAll makes a guild's objects of a kind those of the list. An absent list
// changes nothing, and neither does one that isn't an array.
func (c *Cache) replaceAll(kind Kind, guild uint64, list []byte) {
	if t := &c.tables[kind]; list == nil || t.policy.Mode == Off && t.recs.n == 0 {
		return
	}
	if jsonscan.Elements(list, func([]byte) bool { return true }) != nil {
		return
	}
	before := c.tables[kind].recs.ids(guild)
	var now []uint64
	_ = jsonscan.Elements(list, func(val []byte) bool {
		if id, skip := element(kind, val); id != 0 {
			c.store(kind, key{guild, id}, val, replace, skip)
			if len(before) > 0 {
				now = append(now, id)
			}
		}
		return true
	})
	slices.Sort(now)
	for _, id := range before {
		if _, kept := slices.BinarySearch(now, id); !kept {
			c.drop(kind, key{guild, id})
		}
	}
}

// roleWrite writes the role of an event.
func (c *Cache) roleWrite(e *event, m manner) {
	if id := idOf(e.role); id != 0 {
		c.store(Roles, key{e.guild, id}, e.role, m, skipGuildID)
	}
}

// soundWrite writes the soundboard sound of an event.
func (c *Cache) soundWrite(e *event, m manner) {
	if id := jsonscan.ID(e.soundID); id != 0 {
		c.store(SoundboardSounds, key{e.guild, id}, e.d, m, skipGuildID)
	}
}

// subscribers counts the users of a scheduled event, if it has a count.
func (c *Cache) subscribers(e *event, by int64) {
	c.count(ScheduledEvents, key{e.guild, jsonscan.ID(e.guildEventID)}, "user_count", by)
}

// count adds to a number in a cached object, if the object has it.
func (c *Cache) count(kind Kind, k key, field string, by int64) {
	r, ok := c.tables[kind].recs.get(k)
	if !ok {
		return
	}
	n, ok := jsonscan.Int(jsonscan.Get(raw(r.raw), field))
	if !ok || n+by < 0 || n > 1<<53 {
		return
	}
	c.store(kind, k, number(field, n+by), amend, noFields)
}

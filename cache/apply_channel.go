package cache

import (
	"slices"

	"github.com/botnode/botnode/internal/jsonscan"
)

// channelDelete removes a channel with its threads.
func (c *Cache) channelDelete(e *event) {
	for _, thread := range c.threadsOf(e.guild, []uint64{e.id}) {
		c.dropChannel(Threads, e.guild, thread)
	}
	c.dropChannel(Channels, e.guild, e.id)
}

// dropChannel removes a channel or thread with its messages.
func (c *Cache) dropChannel(kind Kind, guild, id uint64) {
	c.drop(kind, key{guild, id})
	if c.index.talks.has(key{guild, id}) {
		c.dropMessages(id)
	}
}

// dropMessages removes the messages of a channel.
func (c *Cache) dropMessages(channel uint64) {
	for _, id := range c.tables[Messages].recs.ids(channel) {
		c.drop(Messages, key{channel, id})
	}
}

// threadsOf returns a guild's cached threads under these parents, sorted; nil
// parents mean all.
func (c *Cache) threadsOf(guild uint64, parents []uint64) []uint64 {
	var ids []uint64
	c.tables[Threads].recs.group(guild, func(id uint64, r rec) bool {
		if parents == nil || slices.Contains(parents, jsonscan.ID(jsonscan.Get(raw(r.raw), "parent_id"))) {
			ids = append(ids, id)
		}
		return true
	})
	return ids
}

// channelPins notes the last pin of a channel or thread. A null or absent time
// means that nothing is pinned any more.
func (c *Cache) channelPins(e *event) {
	pin := e.lastPin
	if pin == nil {
		pin = []byte("null")
	}
	patch := object("last_pin_timestamp", pin)
	c.store(Channels, key{e.guild, e.channel}, patch, amend, noFields)
	c.store(Threads, key{e.guild, e.channel}, patch, amend, noFields)
}

// channelInfo takes the volatile fields of voice channels.
func (c *Cache) channelInfo(e *event) {
	_ = jsonscan.Elements(e.channels, func(val []byte) bool {
		id := idOf(val)
		c.store(Channels, key{e.guild, id}, val, amend, skipGuildID)
		return true
	})
}

// threadWrite creates or changes a thread. Archived ones aren't kept: a new
// session would not name them either, and their number has no bound.
func (c *Cache) threadWrite(e *event) {
	if archived, _ := jsonscan.Bool(jsonscan.Get(e.threadMetadata, "archived")); archived {
		c.drop(Threads, key{e.guild, e.id})
		return
	}
	if e.id != 0 {
		c.store(Threads, key{e.guild, e.id}, e.d, overlay, skipThread)
		c.post(e)
	}
}

// post makes a new thread the last message of its parent if that is a forum or
// media channel, whose messages threads are.
func (c *Cache) post(e *event) {
	const forum, media = 15, 16
	parent := jsonscan.ID(jsonscan.Get(e.d, "parent_id"))
	if fresh, _ := jsonscan.Bool(jsonscan.Get(e.d, "newly_created")); !fresh {
		return
	}
	r, ok := c.tables[Channels].recs.get(key{e.guild, parent})
	if !ok {
		return
	}
	if typ, _ := jsonscan.Int(jsonscan.Get(raw(r.raw), "type")); typ == forum || typ == media {
		c.last(parent, e.id)
	}
}

// threadSync replaces the threads of the named parents, or of the guild.
func (c *Cache) threadSync(e *event) {
	var parents []uint64
	if e.channelIDs != nil {
		parents = []uint64{}
		if jsonscan.Elements(e.channelIDs, func(id []byte) bool {
			parents = append(parents, jsonscan.ID(id))
			return true
		}) != nil {
			return
		}
	}
	if jsonscan.Elements(e.threads, func([]byte) bool { return true }) != nil {
		return
	}
	gone := c.threadsOf(e.guild, parents)
	_ = jsonscan.Elements(e.threads, func(val []byte) bool {
		if id := idOf(val); id != 0 {
			c.store(Threads, key{e.guild, id}, val, replace, skipThread)
			if i, ok := slices.BinarySearch(gone, id); ok {
				gone = slices.Delete(gone, i, i+1)
			}
		}
		return true
	})
	for _, id := range gone {
		c.drop(Threads, key{e.guild, id})
	}
	_ = jsonscan.Elements(e.members, func(val []byte) bool {
		c.threadMember(e.guild, idOf(val), val)
		return true
	})
}

// threadMember notes the bot's own membership of a thread.
func (c *Cache) threadMember(guild, thread uint64, member []byte) {
	if !c.tables[Threads].recs.has(key{guild, thread}) {
		return
	}
	member = jsonscan.Merge(nil, nil, member, skipGuildID)
	patch := object("member", member)
	c.store(Threads, key{guild, thread}, patch, amend, noFields)
}

// threadMembers notes a thread's number of members, the members seen, and
// whether the bot was taken out.
func (c *Cache) threadMembers(e *event) {
	k := key{e.guild, e.id}
	if e.memberCount != nil {
		patch := object("member_count", e.memberCount)
		c.store(Threads, k, patch, amend, noFields)
	}
	_ = jsonscan.Elements(e.addedMembers, func(val []byte) bool {
		member := jsonscan.Get(val, "member")
		c.member(e.guild, jsonscan.Get(member, "user"), member, overlay)
		return true
	})
	self := jsonscan.ID(jsonscan.Get(raw(c.stores.self), "id"))
	_ = jsonscan.Elements(e.removedIDs, func(id []byte) bool {
		if r, ok := c.tables[Threads].recs.get(k); ok && self != 0 && jsonscan.ID(id) == self {
			rest := jsonscan.Merge(nil, nil, raw(r.raw), func(name []byte) bool { return string(name) == "member" })
			c.store(Threads, k, rest, replace, noFields)
		}
		return true
	})
}

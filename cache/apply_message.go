package cache

import "github.com/botnode/botnode/internal/jsonscan"

// messageCreate takes a message, and the members whom it shows: its author and
// those that it mentions. Messages outside guilds are cached, too.
func (c *Cache) messageCreate(e *event) {
	if e.guild != 0 && !c.known(e.guild) || e.guild == 0 && ephemeral(e.d) {
		return
	}
	c.people(e)
	c.last(e.channel, e.id)
	if e.id != 0 && e.channel != 0 {
		c.store(Messages, key{e.channel, e.id}, e.d, replace, noFields)
	}
}

// ephemeral reports whether a message is shown to one user only. Such messages
// aren't in their channel, and name no guild whose removal would drop them
// (developers/events/gateway-events.mdx, "Messages").
func ephemeral(message []byte) bool {
	const flag = 1 << 6
	flags, _ := jsonscan.Int(jsonscan.Get(message, "flags"))
	return flags&flag != 0
}

// messageUpdate changes a cached message. The event may be partial, so it can't
// make one.
func (c *Cache) messageUpdate(e *event) {
	if e.guild != 0 && !c.known(e.guild) {
		return
	}
	c.people(e)
	c.store(Messages, key{e.channel, e.id}, e.d, amend, noFields)
}

// people takes the author and the mentioned members of a message.
func (c *Cache) people(e *event) {
	id := e.authorID
	if id == 0 {
		id = idOf(e.author)
	}
	c.shown(e.guild, id, e.author, e.member)
	if len(e.mentions) <= len("[]") {
		return
	}
	_ = jsonscan.Elements(e.mentions, func(user []byte) bool {
		c.shown(e.guild, idOf(user), user, jsonscan.Get(user, "member"))
		return true
	})
}

// shown takes a user, and its member if the event has one (webhooks have none).
func (c *Cache) shown(guild, id uint64, user, member []byte) {
	if guild == 0 || member == nil {
		c.userOf(id, user, amend)
		return
	}
	c.memberOf(guild, id, user, member, overlay)
}

// messageDeleteBulk removes messages of a channel.
func (c *Cache) messageDeleteBulk(e *event) {
	_ = jsonscan.Elements(e.ids, func(id []byte) bool {
		c.drop(Messages, key{e.channel, jsonscan.ID(id)})
		return true
	})
}

// last notes the last message of a cached channel or thread. Discord announces
// it in no other way (developers/events/gateway-events.mdx, "Channel Update").
// It isn't written into the channel's object, since that would rewrite the
// object with every message: readers splice it in.
func (c *Cache) last(channel, message uint64) {
	k := key{channel, 0}
	old, had := c.stores.lasts.get(k)
	if message == 0 || had && old >= message || !had && !c.index.channels.has(k) {
		return
	}
	if had {
		c.unhash(tagLasts, k, encodeCount(old))
	}
	c.stores.lasts.set(k, message)
	c.hash(tagLasts, k, encodeCount(message))
}

// forgetLast forgets the last message of a channel that is dropped.
func (c *Cache) forgetLast(channel uint64) {
	k := key{channel, 0}
	if old, had := c.stores.lasts.remove(k); had {
		c.unhash(tagLasts, k, encodeCount(old))
	}
}

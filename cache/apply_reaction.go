package cache

import (
	"slices"
	"strconv"

	"github.com/botnode/botnode/internal/jsonscan"
)

// reactionAdd counts a reaction of a cached message.
func (c *Cache) reactionAdd(e *event) {
	if c.known(e.guild) {
		c.memberSeen(e)
	}
	c.react(e, 1)
}

// reactionRemove takes a reaction back.
func (c *Cache) reactionRemove(e *event) { c.react(e, -1) }

// reactionRemoveAll takes all reactions of a message away.
func (c *Cache) reactionRemoveAll(e *event) {
	c.store(Messages, key{e.channel, e.message}, []byte(`{"reactions":[]}`), amend, noFields)
}

// reactionRemoveEmoji takes all reactions with one emoji away.
func (c *Cache) reactionRemoveEmoji(e *event) {
	c.editReactions(e, func([]byte) []byte { return nil }, nil)
}

// react changes the count of one emoji of a message, and whether the bot itself
// is among those who reacted (developers/resources/message.mdx, "Reaction Object").
func (c *Cache) react(e *event, by int64) {
	burst, _ := jsonscan.Bool(e.burst)
	self := jsonscan.ID(jsonscan.Get(raw(c.stores.self), "id"))
	me := e.userID != 0 && e.userID == self
	blank := jsonscan.Merge(nil, []byte(`{"count":0,"count_details":{"burst":0,"normal":0},"me":false,"me_burst":false}`),
		object("emoji", e.emoji), nil)
	change := func(reaction []byte) []byte { return counted(reaction, by, burst, me) }
	if by < 0 {
		blank = nil
	}
	c.editReactions(e, change, blank)
}

// counted returns a reaction with one user more or less, or nil if none is left.
func counted(reaction []byte, by int64, burst, me bool) []byte {
	count, _ := jsonscan.Int(jsonscan.Get(reaction, "count"))
	if count += by; count <= 0 {
		return nil
	}
	which, mine := "normal", "me"
	if burst {
		which, mine = "burst", "me_burst"
	}
	details := jsonscan.Get(reaction, "count_details")
	part, _ := jsonscan.Int(jsonscan.Get(details, which))
	details = jsonscan.Merge(nil, details, number(which, max(0, part+by)), nil)
	out := jsonscan.Merge(nil, reaction, number("count", count), nil)
	out = jsonscan.Merge(nil, out, object("count_details", details), nil)
	if me {
		out = jsonscan.Merge(nil, out, object(mine, strconv.AppendBool(nil, by > 0)), nil)
	}
	return out
}

// editReactions applies change to the reaction with the event's emoji; nil takes
// it away. If there is none, change gets blank, unless that is nil.
func (c *Cache) editReactions(e *event, change func([]byte) []byte, blank []byte) {
	k := key{e.channel, e.message}
	r, ok := c.tables[Messages].recs.get(k)
	name := emojiName(e.emoji)
	if !ok || name == "" {
		return
	}
	list := []byte{'['}
	add := func(reaction []byte) {
		if reaction == nil {
			return
		}
		if len(list) > 1 {
			list = append(list, ',')
		}
		list = append(list, reaction...)
	}
	found := false
	_ = jsonscan.Elements(jsonscan.Get(raw(r.raw), "reactions"), func(reaction []byte) bool {
		if !found && emojiName(jsonscan.Get(reaction, "emoji")) == name {
			found, reaction = true, change(reaction)
		}
		add(reaction)
		return true
	})
	if !found && blank != nil {
		add(change(blank))
	}
	if found || blank != nil {
		c.store(Messages, k, object("reactions", append(list, ']')), amend, noFields)
	}
}

// emojiName tells emojis apart: custom ones by id, the others by their character.
func emojiName(emoji []byte) string {
	if id := idOf(emoji); id != 0 {
		return strconv.FormatUint(id, 10)
	}
	return jsonscan.String(jsonscan.Get(emoji, "name"))
}

// object returns an object of one member.
func object(name string, val []byte) []byte {
	return slices.Concat([]byte(`{"`+name+`":`), val, []byte("}"))
}

// number returns an object of one number.
func number(name string, n int64) []byte { return object(name, strconv.AppendInt(nil, n, 10)) }

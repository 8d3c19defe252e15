package sim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// emojiOf reads an emoji of a path: "name:id", or a unicode one.
func emojiOf(s string) obj {
	name, id, custom := strings.Cut(s, ":")
	if custom {
		return obj{"id": id, "name": name}
	}
	return obj{"id": nil, "name": s}
}

// setReaction changes the bot's reaction on a message; the caller holds the
// world's lock. Nobody else reacts in this world.
func (c *call) setReaction(r raw, emoji string, add bool) raw {
	o := decode(r)
	list, _ := o["reactions"].([]any)
	want := encode(emojiOf(emoji))
	same := func(x any) bool { return string(encode(x.(obj)["emoji"])) == string(want) }
	list = slices.DeleteFunc(list, same)
	if add {
		list = append(list, obj{
			"emoji": emojiOf(emoji), "count": 1, "me": true, "me_burst": false, "burst_colors": []any{},
			"count_details": obj{"burst": 0, "normal": 1},
		})
	}
	o["reactions"] = list
	return encode(o)
}

func addReaction(c *call) reply { return c.react(c.p[2], true, "MESSAGE_REACTION_ADD") }

func removeReaction(c *call) reply { return c.react(c.p[2], false, "MESSAGE_REACTION_REMOVE") }

func (c *call) react(emoji string, add bool, kind string) reply {
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	r, channel, id, found := c.message()
	if !found {
		return unknown(10008, "Message")
	}
	w.history(channel).put(id, c.setReaction(r, emoji, add))
	c.emitIn(channel, kind, obj{
		"user_id": BotID, "channel_id": channel, "message_id": id, "emoji": emojiOf(emoji), "burst": false, "type": 0,
	})
	return noContent()
}

func listReactions(c *call) reply {
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	r, _, _, found := c.message()
	if !found {
		return unknown(10008, "Message")
	}
	list, _ := decode(r)["reactions"].([]any)
	want := string(encode(emojiOf(c.p[2])))
	if slices.ContainsFunc(list, func(x any) bool { return string(encode(x.(obj)["emoji"])) == want }) {
		return ok([]raw{botUser})
	}
	return ok([]raw{})
}

func clearReactions(c *call) reply {
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	r, channel, id, found := c.message()
	if !found {
		return unknown(10008, "Message")
	}
	o := obj{"channel_id": channel, "message_id": id}
	if len(c.p) == 3 {
		o["emoji"] = emojiOf(c.p[2])
		w.history(channel).put(id, c.setReaction(r, c.p[2], false))
		c.emitIn(channel, "MESSAGE_REACTION_REMOVE_EMOJI", o)
		return noContent()
	}
	w.history(channel).put(id, with(r, obj{"reactions": []any{}}))
	c.emitIn(channel, "MESSAGE_REACTION_REMOVE_ALL", o)
	return noContent()
}

// pinMessage pins with PUT and unpins with DELETE.
func pinMessage(c *call) reply {
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	r, channel, id, found := c.message()
	if !found {
		return unknown(10008, "Message")
	}
	pinned := c.r.Method == http.MethodPut
	r = with(r, obj{"pinned": pinned})
	w.history(channel).put(id, r)
	c.emitIn(channel, "CHANNEL_PINS_UPDATE", obj{"channel_id": channel, "last_pin_timestamp": ts(time.Now())})
	c.srv.echo(w.owner[channel], "MESSAGE_UPDATE", r)
	return noContent()
}

func (c *call) pinned() []raw {
	h := c.srv.world.history(c.id(0))
	out := []raw{}
	for _, k := range h.keys {
		if p, _ := decode(h.rows[k])["pinned"].(bool); p {
			out = append(out, h.rows[k])
		}
	}
	return out
}

func listPins(c *call) reply {
	c.srv.world.mu.Lock()
	defer c.srv.world.mu.Unlock()
	items := []obj{}
	for _, r := range c.pinned() {
		items = append(items, obj{"pinned_at": ts(time.Now()), "message": r})
	}
	return ok(obj{"items": items, "has_more": false})
}

func listOldPins(c *call) reply {
	c.srv.world.mu.Lock()
	defer c.srv.world.mu.Unlock()
	return ok(c.pinned())
}

package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

func messageRoutes() []route {
	const one = "/channels/{channel}/messages/{message}"
	return []route{
		on("POST", "/channels/{channel}/messages", "messages.create", createMessage),
		on("GET", "/channels/{channel}/messages", "messages.list", listMessages),
		on("GET", "/channels/{channel}/messages/pins", "pins.list", listPins),
		on("GET", "/channels/{channel}/pins", "pins.list", listOldPins),
		on("GET", one, "messages.get", getMessage),
		on("PATCH", one, "messages.edit", editMessage),
		on("DELETE", one, "messages.delete", deleteMessage),
		on("POST", "/channels/{channel}/messages/bulk-delete", "messages.bulk", bulkDelete),
		on("POST", one+"/crosspost", "messages.crosspost", getMessage),
		on("PUT", one+"/reactions/{emoji}/@me", "reactions.modify", addReaction),
		on("DELETE", one+"/reactions/{emoji}/{user}", "reactions.modify", removeReaction),
		on("GET", one+"/reactions/{emoji}", "reactions.list", listReactions),
		on("DELETE", one+"/reactions/{emoji}", "reactions.modify", clearReactions),
		on("DELETE", one+"/reactions", "reactions.modify", clearReactions),
		on("PUT", "/channels/{channel}/messages/pins/{message}", "pins.modify", pinMessage),
		on("DELETE", "/channels/{channel}/messages/pins/{message}", "pins.modify", pinMessage),
		on("PUT", "/channels/{channel}/pins/{message}", "pins.modify", pinMessage),
		on("DELETE", "/channels/{channel}/pins/{message}", "pins.modify", pinMessage),
		on("POST", "/channels/{channel}/typing", "typing", startTyping),
	}
}

// messageBody is what creates or edits a message.
type messageBody struct {
	Content      string            `json:"content"`
	Nonce        json.RawMessage   `json:"nonce"`
	EnforceNonce bool              `json:"enforce_nonce"`
	TTS          bool              `json:"tts"`
	Embeds       []json.RawMessage `json:"embeds"`
	Components   []json.RawMessage `json:"components"`
	Stickers     []json.RawMessage `json:"sticker_ids"`
	Poll         json.RawMessage   `json:"poll"`
	Flags        int               `json:"flags"`
	Reference    *struct {
		MessageID ID `json:"message_id"`
	} `json:"message_reference"`
}

func (b *messageBody) nonce() string { return strings.Trim(string(b.Nonce), `"`) }

func (b *messageBody) empty(files []attached) bool {
	return b.Content == "" && len(b.Embeds)+len(b.Components)+len(b.Stickers)+len(files) == 0 && b.Poll == nil
}

// invalidForm is Discord's answer to a field that breaks a rule (50035).
func invalidForm(field, code, message string) reply {
	return reply{status: http.StatusBadRequest, body: obj{
		"code": 50035, "message": "Invalid Form Body",
		"errors": obj{field: obj{"_errors": []obj{{"code": code, "message": message}}}},
	}}
}

// check is what can be wrong with a message by itself (resources/message.mdx).
func (b *messageBody) check(files []attached) (reply, bool) {
	switch {
	case len([]rune(b.Content)) > 2000:
		return invalidForm("content", "BASE_TYPE_MAX_LENGTH", "Must be 2000 or fewer in length."), false
	case len(b.nonce()) > 25:
		return invalidForm("nonce", "NONCE_TYPE_TOO_LONG", "Nonce is too long."), false
	case len(b.Embeds) > 10:
		return invalidForm("embeds", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length."), false
	case b.empty(files):
		return apiError(http.StatusBadRequest, 50006, "Cannot send an empty message"), false
	}
	return reply{}, true
}

// createMessage is Create Message with nonce and enforce_nonce.
func createMessage(c *call) reply {
	var b messageBody
	if !c.json(&b) {
		return invalidForm("content", "BASE_TYPE_BAD_STRING", "Could not interpret this as a message.")
	}
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	channel := c.id(0)
	g, dm := w.owner[channel], w.dms[channel]
	if g == nil && dm == 0 {
		return unknown(10003, "Channel")
	}
	if rep, good := b.check(c.files); !good {
		return rep
	}
	if rep, known := c.srv.dedupe(c, channel, &b); known {
		return rep
	}
	id := w.ids.next()
	r := c.srv.botMessage(id, channel, &b, c.files, obj{})
	w.history(channel).add(id, r)
	c.srv.nonces.keep(channel, b.nonce(), id, r)
	c.record(id, channel, &b, false, 0)
	c.srv.echo(g, "MESSAGE_CREATE", r)
	return ok(r)
}

// record enters a posted message in the ledger.
func (c *call) record(id, channel ID, b *messageBody, deduped bool, interaction ID) {
	c.srv.ledger.post(Posted{
		Remote: c.r.RemoteAddr, UserAgent: c.r.UserAgent(), ID: id, Channel: channel, Content: b.Content,
		Nonce: b.nonce(), Deduped: deduped, Interaction: interaction,
	})
}

// echo is the event of the bot's own message, which keeps its content whatever
// the intents.
func (s *Server) echo(g *guild, kind string, r raw) {
	if s.opts.NoEcho && kind == "MESSAGE_CREATE" {
		return
	}
	if g == nil {
		s.hub.deliver(0, kind, r, nil, true)
		return
	}
	if member, ok := g.members.get(BotID); ok {
		m := decode(member)
		delete(m, "user")
		r = splice(r, "member", encode(m))
	}
	s.emit(g.id, kind, g.in(r))
}

// botMessage renders a message of the bot (resources/message.mdx, "Message Object").
func (s *Server) botMessage(id, channel ID, b *messageBody, files []attached, more obj) raw {
	o := obj{
		"id": id, "type": 0, "channel_id": channel, "content": b.Content, "author": botUser,
		"timestamp": ts(time.Now()), "edited_timestamp": nil, "tts": b.TTS, "mention_everyone": false,
		"mentions": []any{}, "mention_roles": []any{}, "attachments": attachments(id, channel, files),
		"embeds": orList(b.Embeds), "components": orList(b.Components), "pinned": false, "flags": b.Flags,
	}
	if len(b.Nonce) > 0 {
		o["nonce"] = b.Nonce
	}
	if b.Reference != nil {
		o["type"] = 19
		o["message_reference"] = obj{"type": 0, "message_id": b.Reference.MessageID, "channel_id": channel}
		if h := s.world.msgs[channel]; h != nil {
			o["referenced_message"] = h.rows[b.Reference.MessageID]
		}
	}
	maps.Copy(o, more)
	return encode(o)
}

func orList(l []json.RawMessage) []json.RawMessage {
	if l == nil {
		return []json.RawMessage{}
	}
	return l
}

func attachments(id, channel ID, files []attached) []obj {
	out := []obj{}
	for i, f := range files {
		link := fmt.Sprintf("https://cdn.invalid/attachments/%d/%d/%s", channel, id, f.name)
		out = append(out, obj{
			"id": id + ID(i) + 1, "filename": f.name, "size": f.size, "url": link, "proxy_url": link, "content_type": f.kind,
		})
	}
	return out
}

// message finds a message; the caller holds the world's lock.
func (c *call) message() (raw, ID, ID, bool) {
	channel, id := c.id(0), c.id(1)
	h := c.srv.world.msgs[channel]
	if h == nil {
		return nil, channel, id, false
	}
	r, found := h.rows[id]
	return r, channel, id, found
}

func getMessage(c *call) reply {
	c.srv.world.mu.Lock()
	defer c.srv.world.mu.Unlock()
	if r, _, _, found := c.message(); found {
		return ok(r)
	}
	return unknown(10008, "Message")
}

func listMessages(c *call) reply {
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.owner[c.id(0)] == nil && w.dms[c.id(0)] == 0 {
		return unknown(10003, "Channel")
	}
	q := c.r.URL.Query()
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil {
		limit = 50
	}
	before, after := ParseID(q.Get("before")), ParseID(q.Get("after"))
	h := w.history(c.id(0))
	out := []raw{}
	for i := len(h.keys) - 1; i >= 0 && len(out) < min(limit, 100); i-- {
		if k := h.keys[i]; (before == 0 || k < before) && k > after {
			out = append(out, h.rows[k])
		}
	}
	return ok(joinArray(out))
}

func editMessage(c *call) reply {
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	r, channel, id, found := c.message()
	if !found {
		return unknown(10008, "Message")
	}
	r = with(r, pickFields(c.fields(), "content", "embeds", "components", "flags"))
	r = with(r, obj{"edited_timestamp": ts(time.Now())})
	w.history(channel).put(id, r)
	c.srv.echo(w.owner[channel], "MESSAGE_UPDATE", r)
	return ok(r)
}

// pickFields keeps the fields that a route lets a client change.
func pickFields(o obj, names ...string) obj {
	out := obj{}
	for _, n := range names {
		if v, has := o[n]; has {
			out[n] = v
		}
	}
	return out
}

func deleteMessage(c *call) reply {
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	_, channel, id, found := c.message()
	if !found {
		return unknown(10008, "Message")
	}
	w.history(channel).remove(id)
	c.emitIn(channel, "MESSAGE_DELETE", obj{"id": id, "channel_id": channel})
	return noContent()
}

// emitIn dispatches an event of a channel; the caller holds the world's lock.
func (c *call) emitIn(channel ID, kind string, o obj) {
	g := c.srv.world.owner[channel]
	if g == nil {
		c.srv.hub.deliver(0, kind, encode(o), nil, true)
		return
	}
	o["guild_id"] = g.id
	c.srv.emit(g.id, kind, encode(o))
}

func bulkDelete(c *call) reply {
	var b struct {
		Messages []ID `json:"messages"`
	}
	if !c.json(&b) || len(b.Messages) < 2 || len(b.Messages) > 100 {
		return apiError(http.StatusBadRequest, 50016, "Provided too few or too many messages to delete.")
	}
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range b.Messages {
		w.history(c.id(0)).remove(id)
	}
	c.emitIn(c.id(0), "MESSAGE_DELETE_BULK", obj{"ids": b.Messages, "channel_id": c.id(0)})
	return noContent()
}

func startTyping(c *call) reply {
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.owner[c.id(0)] == nil && w.dms[c.id(0)] == 0 {
		return unknown(10003, "Channel")
	}
	c.emitIn(c.id(0), "TYPING_START", obj{"channel_id": c.id(0), "user_id": BotID, "timestamp": time.Now().Unix()})
	return noContent()
}

package sim

import (
	"encoding/json"
	"net/http"
	"time"
)

func interactionRoutes() []route {
	const hook = "/webhooks/{app}/{token}"
	list := []route{
		on("POST", "/interactions/{id}/{token}/callback", "interactions.callback", callback),
		on("POST", hook, "webhooks.execute", followUp),
		on("GET", hook+"/messages/{message}", "webhooks.get", getFollowUp),
		on("PATCH", hook+"/messages/{message}", "webhooks.edit", editFollowUp),
		on("DELETE", hook+"/messages/{message}", "webhooks.delete", dropFollowUp),
	}
	for i := range list {
		list[i].open, list[i].exempt = true, true
	}
	return list
}

// Interaction callback types (interactions/receiving-and-responding.mdx).
const (
	callbackMessage  = 4
	callbackDeferred = 5
)

// callback is the first answer to an interaction: in 3 s, and once.
func callback(c *call) reply {
	var b struct {
		Type int         `json:"type"`
		Data messageBody `json:"data"`
	}
	if !c.json(&b) || b.Type < 1 {
		return invalidForm("type", "BASE_TYPE_REQUIRED", "This field is required")
	}
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	a := c.srv.acts
	a.mu.Lock()
	defer a.mu.Unlock()
	x := a.byID[c.id(0)]
	switch {
	case x == nil, x.token != c.p[1], !x.acked && time.Since(x.at) > c.srv.opts.AckWindow:
		c.srv.ledger.ack(c.id(0), 10062)
		return unknown(10062, "interaction")
	case x.acked:
		c.srv.ledger.ack(x.id, 40060)
		return apiError(http.StatusBadRequest, 40060, "Interaction has already been acknowledged.")
	}
	if b.Type == callbackMessage {
		if rep, good := b.Data.check(c.files); !good {
			return rep
		}
		c.answerInteraction(x, &b.Data)
	}
	x.acked = true
	c.srv.ledger.ack(x.id, 0)
	if c.r.URL.Query().Get("with_response") != "true" {
		return noContent()
	}
	return ok(c.callbackResponse(x, b.Type))
}

// answerInteraction creates the message of an answer. Interaction tokens know no nonce.
func (c *call) answerInteraction(x *interaction, b *messageBody) raw {
	w := c.srv.world
	id := w.ids.next()
	user := encode(obj{"id": x.user})
	if g := w.guildOf(x.guild); g != nil {
		if m, has := g.members.get(x.user); has {
			user = encode(decode(m)["user"])
		}
	}
	r := c.srv.botMessage(id, x.channel, b, c.files, obj{
		"type": 20, "application_id": BotID, "webhook_id": BotID,
		"interaction_metadata": obj{"id": x.id, "type": 2, "user": user, "authorizing_integration_owners": obj{"0": x.guild}},
	})
	w.history(x.channel).add(id, r)
	if x.original == 0 {
		x.original = id
	}
	c.record(id, x.channel, b, false, x.id)
	c.srv.echo(w.guildOf(x.guild), "MESSAGE_CREATE", r)
	return r
}

func (c *call) callbackResponse(x *interaction, kind int) obj {
	act := obj{"id": x.id, "type": 2, "response_message_loading": kind == callbackDeferred, "response_message_ephemeral": false}
	out := obj{"interaction": act}
	if x.original != 0 {
		act["response_message_id"] = x.original
		out["resource"] = obj{"type": kind, "message": c.srv.world.history(x.channel).rows[x.original]}
	}
	return out
}

// withToken runs f for the interaction of a webhook path, whose token lives 15 minutes.
func (c *call) withToken(f func(*interaction) reply) reply {
	w := c.srv.world
	w.mu.Lock()
	defer w.mu.Unlock()
	a := c.srv.acts
	a.mu.Lock()
	defer a.mu.Unlock()
	x := a.byTok[c.p[1]]
	switch {
	case x == nil:
		return unknown(10015, "Webhook")
	case time.Since(x.at) > c.srv.opts.TokenWindow:
		return apiError(http.StatusUnauthorized, 50027, "Invalid Webhook Token")
	case !x.acked:
		return unknown(10015, "Webhook")
	}
	return f(x)
}

// followUp is a further message; after a deferred answer the first one fills it.
func followUp(c *call) reply {
	var b messageBody
	if !c.json(&b) {
		return invalidForm("content", "BASE_TYPE_BAD_STRING", "Could not interpret this as a message.")
	}
	if rep, good := b.check(c.files); !good {
		return rep
	}
	return c.withToken(func(x *interaction) reply { return ok(c.answerInteraction(x, &b)) })
}

// target is the message of a webhook path, where "@original" is the answer.
func (c *call) target(x *interaction) ID {
	if c.p[2] == "@original" {
		return x.original
	}
	return c.id(2)
}

func getFollowUp(c *call) reply {
	return c.withToken(func(x *interaction) reply {
		if r, has := c.srv.world.history(x.channel).rows[c.target(x)]; has {
			return ok(r)
		}
		return unknown(10008, "Message")
	})
}

// editFollowUp edits a message; "@original" of a deferred answer creates it.
func editFollowUp(c *call) reply {
	var b messageBody
	if json.Unmarshal(c.body, &b) != nil && len(c.body) > 0 {
		return invalidForm("content", "BASE_TYPE_BAD_STRING", "Could not interpret this as a message.")
	}
	return c.withToken(func(x *interaction) reply {
		h := c.srv.world.history(x.channel)
		id := c.target(x)
		if id == 0 {
			return ok(c.answerInteraction(x, &b))
		}
		r, has := h.rows[id]
		if !has {
			return unknown(10008, "Message")
		}
		r = with(r, pickFields(c.fields(), "content", "embeds", "components"))
		r = with(r, obj{"edited_timestamp": ts(time.Now())})
		h.put(id, r)
		c.srv.echo(c.srv.world.guildOf(x.guild), "MESSAGE_UPDATE", r)
		return ok(r)
	})
}

func dropFollowUp(c *call) reply {
	return c.withToken(func(x *interaction) reply {
		h, id := c.srv.world.history(x.channel), c.target(x)
		if _, has := h.rows[id]; !has {
			return unknown(10008, "Message")
		}
		h.remove(id)
		c.emitIn(x.channel, "MESSAGE_DELETE", obj{"id": id, "channel_id": x.channel})
		return noContent()
	})
}

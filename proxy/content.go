package proxy

import (
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/jsonscan"
)

// contentless is what a message shows in place of its content to an app without
// the MESSAGE_CONTENT intent (events/gateway.mdx, "Message Content Intent"); a
// poll is left out.
var contentless = map[string][]byte{
	"content": []byte(`""`), "embeds": []byte(`[]`), "attachments": []byte(`[]`), "components": []byte(`[]`),
}

// content returns the d that a session gets of an event, and whether it is the
// event's own.
func (f *filter) content(e *fsm.Entry) (d []byte, same bool) {
	switch e.Type {
	case discord.EventMessageCreate, discord.EventMessageUpdate:
		if !f.intents.Has(discord.IntentMessageContent) && e.Guild != 0 {
			return f.blank(e.Raw)
		}
	case discord.EventGuildCreate:
		return f.guild(e.Raw)
	}
	return e.Raw, true
}

// guild empties the lists of a guild that need an intent.
func (f *filter) guild(d []byte) (out []byte, same bool) {
	var patch []byte
	for _, list := range []struct {
		name   string
		intent discord.Intents
	}{{"presences", discord.IntentGuildPresences}, {"voice_states", discord.IntentGuildVoiceStates}} {
		if v := jsonscan.Get(d, list.name); !f.intents.Has(list.intent) && len(v) > len("[]") {
			patch = append(append(append(patch, ",\""...), list.name...), `":[]`...)
		}
	}
	if patch == nil {
		return d, true
	}
	patch[0] = '{'
	return jsonscan.Merge(nil, d, append(patch, '}'), nil), false
}

// blank takes the content out of a message that isn't the bot's own and doesn't
// mention it.
func (f *filter) blank(message []byte) (d []byte, same bool) {
	if f.shown(message) {
		return message, true
	}
	out := make([]byte, 0, len(message))
	out = append(out, '{')
	err := jsonscan.Fields(message, func(key, val []byte) bool {
		name := string(key)
		if name == "poll" {
			return true
		}
		if empty, ok := contentless[name]; ok {
			val = empty
		}
		if name == "referenced_message" && len(val) > 0 && val[0] == '{' {
			val, _ = f.blank(val)
		}
		if name == "message_snapshots" {
			val = []byte("[]")
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), escapeKey(key)...), '"', ':')
		out = append(out, val...)
		return true
	})
	if err != nil {
		return []byte("{}"), false // no message: rather nothing than too much
	}
	return append(out, '}'), false
}

// escapeKey returns a member's name as it may stand in JSON: names of Discord's
// have nothing that needs escaping, and any other is not worth passing on.
func escapeKey(key []byte) []byte {
	for _, c := range key {
		if c < ' ' || c == '"' || c == '\\' {
			return []byte("_")
		}
	}
	return key
}

// shown reports whether a message's content is the bot's to see in any case.
func (f *filter) shown(message []byte) bool {
	if f.isSelf(jsonscan.Get(jsonscan.Get(message, "author"), "id")) {
		return true
	}
	mentioned := false
	_ = jsonscan.Elements(jsonscan.Get(message, "mentions"), func(user []byte) bool {
		mentioned = f.isSelf(jsonscan.Get(user, "id"))
		return !mentioned
	})
	return mentioned
}

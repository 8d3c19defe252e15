package sim

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// keepMessages bounds the messages that a channel remembers.
const keepMessages = 500

// history is the messages of a channel, the oldest first. Deleted ones are told
// from forgotten ones, since their nonces behave differently.
type history struct {
	table
	gone map[ID]bool
}

func (h *history) remove(id ID) {
	h.del(id)
	h.gone[id] = true
}

func (w *world) history(channel ID) *history {
	h := w.msgs[channel]
	if h == nil {
		h = &history{table: newTable(0), gone: map[ID]bool{}}
		w.msgs[channel] = h
	}
	return h
}

func (h *history) add(id ID, r raw) {
	h.put(id, r)
	if len(h.keys) > keepMessages {
		delete(h.rows, h.keys[0])
		h.keys = h.keys[1:]
	}
}

// template is a MESSAGE_CREATE of one author in one channel, rendered but for
// what differs from message to message. Rendering a message is then three
// copies, which is what lets one core make tens of thousands a second.
type template struct {
	guild   ID
	channel ID
	author  ID
	version int // of the guild's members when it was rendered
	head    []byte
	mid     []byte
	tail    []byte
}

// newTemplate renders a template; the caller holds the world's lock.
func newTemplate(g *guild, channel, author ID, pad int) *template {
	member, ok := g.members.get(author)
	if !ok {
		return nil
	}
	m := decode(member)
	user := encode(m["user"])
	delete(m, "user")
	t := &template{guild: g.id, channel: channel, author: author, version: g.members.version}
	t.head = []byte(`{"type":0,"tts":false,"pinned":false,"mentions":[],"mention_roles":[],"mention_everyone":false,"member":`)
	t.head = append(t.head, encode(m)...)
	t.head = append(t.head, `,"flags":0,"edited_timestamp":null,"components":[],"channel_type":0,"channel_id":"`+channel.String()+
		`","guild_id":"`+g.id.String()+`","attachments":[],"author":`...)
	t.head = append(t.head, user...)
	t.head = append(t.head, `,"id":"`...)
	t.mid = []byte(`","content":"`)
	t.tail = []byte(`","embeds":[]}`)
	// The envelope of a dispatch is about 55 bytes, id, timestamp and content 70.
	if fill := pad - len(t.head) - len(t.mid) - len(t.tail) - 125; fill > 40 {
		t.tail = []byte(`","embeds":[{"type":"rich","description":"` + strings.Repeat("lorem ", fill/6) + `"}]}`)
	}
	return t
}

// render makes the event's data. content must be escaped for JSON.
func (t *template) render(id ID, at time.Time, content string) raw {
	b := make([]byte, 0, len(t.head)+len(t.mid)+len(t.tail)+len(content)+80)
	b = append(b, t.head...)
	b = strconv.AppendUint(b, uint64(id), 10)
	b = append(b, `","timestamp":"`...)
	b = at.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000-07:00")
	b = append(b, t.mid...)
	b = append(b, content...)
	return append(b, t.tail...)
}

// stripped is a message as a session without the message content intent sees it
// (events/gateway.mdx, "Message Content Intent"); nil means as it is.
func stripped(r raw) raw {
	if bytes.Contains(r, []byte(`"mentions":[{"id":"`+BotID.String())) {
		return nil
	}
	return with(r, obj{"content": "", "embeds": []any{}, "attachments": []any{}, "components": []any{}})
}

// emitMessage dispatches a message that isn't the bot's own; the caller holds
// the world's lock.
func (s *Server) emitMessage(g ID, kind string, r raw) int {
	var alt raw
	if s.hub.needsStripped() {
		alt = stripped(r)
	}
	return s.hub.deliver(g, kind, r, alt, g == 0)
}

// needsStripped says whether a session lacks the message content intent.
func (h *hub) needsStripped() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.sessions {
		if s.intents&intentContent == 0 {
			return true
		}
	}
	return false
}

package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
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
	fill    int // bytes of prose in the tail
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
		t.tail = []byte(`","embeds":[{"type":"rich","description":"`)
		t.fill = fill
	}
	return t
}

// render makes the event's data. content must be escaped for JSON.
func (t *template) render(id ID, at time.Time, content string) raw {
	b := make([]byte, 0, len(t.head)+len(t.mid)+len(t.tail)+t.fill+len(content)+85)
	b = append(b, t.head...)
	b = strconv.AppendUint(b, uint64(id), 10)
	b = append(b, `","timestamp":"`...)
	b = at.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000-07:00")
	b = append(b, t.mid...)
	b = append(b, content...)
	b = append(b, t.tail...)
	if t.fill > 0 {
		b = append(b, prose(uint64(id), t.fill)...)
		b = append(b, `"}]}`...)
	}
	return b
}

// proseText is where the padding of messages comes from: words in no order, so
// that it compresses about as well as what people write, and not as well as one
// word repeated.
var proseText = sync.OnceValue(func() string {
	words := strings.Fields("the of and to in is you that it he was for on are as with his they at be this have from or " +
		"one had by word but not what all were we when your can said there use an each which she do how their if will " +
		"up other about out many then them these so some her would make like him into time has look two more write go " +
		"see number no way could people my than first water been call who oil its now find long down day did get come " +
		"made may part server channel bot message role thanks lol okay yes maybe tomorrow game stream music guild raid")
	rng := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < 256<<10 {
		b.WriteString(words[rng.IntN(len(words))])
		if rng.IntN(3) == 0 {
			fmt.Fprintf(&b, " %d", rng.IntN(100000))
		}
		b.WriteByte(' ')
	}
	return b.String()
})

// prose returns n bytes of text that depend on seed.
func prose(seed uint64, n int) string {
	text := proseText()
	n = min(n, len(text))
	at := int(seed * 0x9e3779b97f4a7c15 >> 32 % uint64(len(text)-n+1))
	return text[at : at+n]
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

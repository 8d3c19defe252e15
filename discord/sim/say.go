package sim

import (
	"context"
	"errors"
	"time"
)

// ErrUnknown is returned for a guild, channel or user that isn't there.
var ErrUnknown = errors.New("sim: unknown guild, channel or user")

// Say is a message that a user writes.
type Say struct {
	// Guild is the guild; 0 is the first.
	Guild ID `json:"guild,omitempty"`
	// Channel is the channel or thread; 0 is the guild's first text channel.
	Channel ID `json:"channel,omitempty"`
	// User is the author, a member; 0 is one of the members.
	User ID `json:"user,omitempty"`
	// Content is the text.
	Content string `json:"content"`
}

// Said is a message that was said, and a way to wait for the answer.
type Said struct {
	// ID and Channel are those of the message.
	ID      ID `json:"id"`
	Channel ID `json:"channel"`
	// Delivered is the number of sessions that took it.
	Delivered int `json:"delivered"`

	ledger *Ledger
	from   int
}

// Answer waits for the first message that the bot creates in the same channel
// after this one was said.
func (m *Said) Answer(ctx context.Context) (Posted, error) {
	return m.ledger.WaitPosted(ctx, m.from, func(p Posted) bool { return p.Channel == m.Channel && !p.Deduped })
}

// Say lets a user write a message.
func (s *Server) Say(m Say) (*Said, error) {
	w := s.world
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.at(0)
	if m.Channel != 0 {
		g = w.owner[m.Channel]
	} else if m.Guild != 0 {
		g = w.guildOf(m.Guild)
	}
	if g == nil {
		return nil, ErrUnknown
	}
	if m.Channel == 0 && len(g.text) > 0 {
		m.Channel = g.text[0]
	}
	if m.User == 0 {
		m.User = g.members.author(0)
	}
	t := newTemplate(g, m.Channel, m.User, s.opts.PadMessages)
	if t == nil || m.Channel == 0 {
		return nil, ErrUnknown
	}
	content := encode(m.Content)
	said := &Said{ID: w.ids.next(), Channel: m.Channel, ledger: s.ledger}
	r := t.render(said.ID, time.Now(), string(content[1:len(content)-1]))
	w.history(m.Channel).add(said.ID, r)
	s.ledger.mu.Lock()
	said.from = len(s.ledger.posted)
	s.ledger.mu.Unlock()
	said.Delivered = s.emitMessage(g.id, "MESSAGE_CREATE", r)
	return said, nil
}

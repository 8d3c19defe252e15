package sim

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// interaction is one slash command that a user ran, and what became of it.
type interaction struct {
	id, channel ID
	guild       ID
	user        ID
	name        string
	token       string
	at          time.Time
	acked       bool
	original    ID // the message of the answer, 0 while deferred
}

// interactions is all of them. A token is never reused.
type interactions struct {
	mu    sync.Mutex // guards the maps and the interactions in them
	byID  map[ID]*interaction
	byTok map[string]*interaction
}

func newInteractions() *interactions {
	return &interactions{byID: map[ID]*interaction{}, byTok: map[string]*interaction{}}
}

// Interact is a slash command that a user runs.
type Interact struct {
	// Guild and Channel are as in Say.
	Guild   ID `json:"guild,omitempty"`
	Channel ID `json:"channel,omitempty"`
	// User is the one who runs it; 0 is one of the members.
	User ID `json:"user,omitempty"`
	// Name is the command's name; its id is that of a registered command, if any.
	Name string `json:"name"`
	// Options are the options, as Discord writes them.
	Options []map[string]any `json:"options,omitempty"`
	// Type is the interaction's type; 0 is 2, a command. A component (3) and a
	// modal (5) have their Data as Discord writes it, and no name.
	Type int            `json:"type,omitempty"`
	Data map[string]any `json:"data,omitempty"`
	// Message is the message whose component is used.
	Message ID `json:"message,omitempty"`
}

// Interacted is an interaction that was sent.
type Interacted struct {
	// ID and Token are those of the interaction.
	ID    ID     `json:"id"`
	Token string `json:"token"`
	// Delivered is the number of sessions that took it.
	Delivered int `json:"delivered"`

	ledger *Ledger
	from   int
}

// Answer waits for the first message that answers the interaction.
func (i *Interacted) Answer(ctx context.Context) (Posted, error) {
	return i.ledger.WaitPosted(ctx, i.from, func(p Posted) bool { return p.Interaction == i.ID })
}

// Interact lets a user run a slash command.
func (s *Server) Interact(in Interact) (*Interacted, error) {
	w := s.world
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.at(0)
	if in.Channel != 0 {
		g = w.owner[in.Channel]
	} else if in.Guild != 0 {
		g = w.guildOf(in.Guild)
	}
	if g == nil {
		return nil, ErrUnknown
	}
	if in.Channel == 0 && len(g.text) > 0 {
		in.Channel = g.text[0]
	}
	if in.User == 0 {
		in.User = g.members.author(0)
	}
	member, found := g.members.get(in.User)
	if !found || in.Channel == 0 {
		return nil, ErrUnknown
	}
	return s.sendInteraction(g, &in, member), nil
}

func (s *Server) sendInteraction(g *guild, in *Interact, member raw) *Interacted {
	id := s.world.ids.next()
	x := &interaction{
		id: id, channel: in.Channel, guild: g.id, user: in.User, name: in.Name, at: time.Now(),
		token: fmt.Sprintf("aW50ZXJhY3Rpb246%d", id),
	}
	s.acts.mu.Lock()
	s.acts.byID[id], s.acts.byTok[x.token] = x, x
	s.acts.mu.Unlock()
	kind, data := in.Type, obj(in.Data)
	if kind == 0 {
		kind = 2
	}
	if data == nil {
		data = obj{"id": s.apps.find(in.Name), "name": in.Name, "type": 1}
	}
	if in.Options != nil {
		data["options"] = in.Options
	}
	if resolved := g.resolve(in.Options); len(resolved) > 0 {
		data["resolved"] = resolved
	}
	body := obj{
		"id": id, "application_id": BotID, "type": kind, "data": data, "guild_id": g.id, "channel_id": in.Channel,
		"member": with(member, obj{"permissions": allPermissions}), "token": x.token, "version": 1,
		"app_permissions": allPermissions, "locale": "en-US", "guild_locale": "en-US", "entitlements": []any{},
		"authorizing_integration_owners": obj{"0": g.id}, "context": 0, "attachment_size_limit": 26214400,
		"guild":   obj{"id": g.id, "locale": "en-US", "features": []any{}},
		"channel": g.in(g.channels.rows[in.Channel]),
	}
	if m, has := s.world.history(in.Channel).rows[in.Message]; has {
		body["message"] = m
	}
	r := encode(body)
	sent := &Interacted{ID: id, Token: x.token, ledger: s.ledger}
	s.ledger.mu.Lock()
	sent.from = len(s.ledger.posted)
	s.ledger.acts.sent = append(s.ledger.acts.sent, id)
	s.ledger.mu.Unlock()
	sent.Delivered = s.emit(g.id, "INTERACTION_CREATE", r)
	return sent
}

// find is the id of the registered command of a name, or 0.
func (a *apps) find(name string) ID {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.scopes {
		for _, k := range t.keys {
			if decode(t.rows[k])["name"] == name {
				return k
			}
		}
	}
	return 0
}

// interactAt is interaction i of a load.
func (s *Server) interactAt(i int) {
	s.world.mu.Lock()
	g, channel := s.slot(i)
	s.world.mu.Unlock()
	if g != nil {
		_, _ = s.Interact(Interact{Guild: g.id, Channel: channel, Name: "ping"})
	}
}

// actCounts is the score of the interactions; the ledger's lock guards it.
type actCounts struct {
	sent  []ID
	acked map[ID]int
	again int // 40060: acknowledged before
	late  int // 10062: too late, or never known
}

// InteractionSummary is the score of the interactions at one moment.
type InteractionSummary struct {
	// Sent is the number of interactions, Acked of those acknowledged.
	Sent  int `json:"sent"`
	Acked int `json:"acked"`
	// Unacked lists those that weren't.
	Unacked []ID `json:"unacked"`
	// Again counts callbacks to an acknowledged interaction (40060), Late those
	// to one that was unknown or too old (10062).
	Again int `json:"again"`
	Late  int `json:"late"`
}

func (a *actCounts) summary() InteractionSummary {
	s := InteractionSummary{Sent: len(a.sent), Again: a.again, Late: a.late, Unacked: []ID{}}
	for _, id := range a.sent {
		if a.acked[id] > 0 {
			s.Acked++
		} else {
			s.Unacked = append(s.Unacked, id)
		}
	}
	return s
}

func (l *Ledger) ack(id ID, code int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch code {
	case 40060:
		l.acts.again++
	case 10062:
		l.acts.late++
	default:
		if l.acts.acked == nil {
			l.acts.acked = map[ID]int{}
		}
		l.acts.acked[id]++
	}
	l.wakeLocked()
}

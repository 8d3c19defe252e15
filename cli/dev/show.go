package dev

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/botnode/botnode/discord/sim"
)

func (s *session) printf(format string, args ...any) {
	s.out.Lock()
	defer s.out.Unlock()
	_, _ = fmt.Fprintf(s.o.Stdout, format, args...)
}

func (s *session) prompt() {
	if s.o.Prompt {
		s.printf("#%s> ", s.current.name)
	}
}

func (s *session) greet() {
	s.printf("The bot is connected to a simulated Discord. What you type, a user writes in #%s; \":help\" shows what else there is.\n",
		s.current.name)
}

// follow shows what the bot does, as it happens.
func (s *session) follow(ctx context.Context) {
	l := s.lab.Discord().Ledger()
	_ = l.Wait(ctx, func() bool { // until ctx ends: it is called after every record
		s.show()
		return false
	})
}

// show prints what the bot has done since the last time.
func (s *session) show() {
	l := s.lab.Discord().Ledger()
	s.out.Lock()
	defer s.out.Unlock()
	posted := l.PostedFrom(s.seen.posted)
	s.seen.posted += len(posted)
	for _, p := range posted {
		if !p.Deduped {
			_, _ = fmt.Fprintln(s.o.Stdout, s.messageLine(p))
		}
	}
	requests := l.RequestsFrom(s.seen.requests)
	s.seen.requests += len(requests)
	for _, r := range requests {
		if line := requestLine(r); line != "" {
			_, _ = fmt.Fprintln(s.o.Stdout, line)
		}
	}
}

// messageLine is a message of the bot; where it isn't in the current channel it
// says where.
func (s *session) messageLine(p sim.Posted) string {
	where := ""
	if p.Channel != s.current.id {
		where = " in #" + s.channelName(p.Channel)
	}
	text := p.Content
	if text == "" {
		text = "(a message without text)"
	}
	return fmt.Sprintf("bot%s: %s", where, strings.ReplaceAll(text, "\n", "\n     "))
}

// requestLine is a request that changes something, other than a message, or one
// that Discord refused; "" for the rest.
func requestLine(r sim.Request) string {
	done := r.Status/100 == 2
	switch {
	case done && r.Method == http.MethodGet, done && r.Bucket == "interactions.callback",
		done && r.Method == http.MethodPost && (r.Bucket == "messages.create" || r.Bucket == "webhooks.execute"):
		return ""
	}
	return fmt.Sprintf("bot: %s %s -> %d %s", r.Method, r.Path, r.Status, http.StatusText(r.Status))
}

// channelsOf lists a guild's text channels.
func channelsOf(d *sim.Server, guild sim.ID) []channel {
	truth, _ := d.Truth(guild)
	var out []channel
	for _, id := range d.TextChannels(guild) {
		var o struct {
			Name string `json:"name"`
		}
		_ = json.Unmarshal(truth.Channels[id], &o) // the simulator's own JSON
		out = append(out, channel{id, o.Name})
	}
	return out
}

func (s *session) channelName(id sim.ID) string {
	for _, c := range s.channels {
		if c.id == id {
			return c.name
		}
	}
	return id.String()
}

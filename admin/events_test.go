package admin

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/fsm"
)

var errEnough = errors.New("enough")

// collect streams until n events and gaps came.
func collect(t *testing.T, c *Client, q EventsQuery, n int) (got []string, next uint64) {
	t.Helper()
	add := func(s string) error {
		got = append(got, s)
		if len(got) == n {
			return errEnough
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	next, err := c.StreamEvents(ctx, q,
		func(e Event) error { return add(fmt.Sprintf("%d %s %s", e.Pos, e.Type, e.Guild)) },
		func(g Gap) error { return add(fmt.Sprintf("gap %d-%d", g.From, g.To)) })
	if err != nil && !errors.Is(err, errEnough) {
		t.Errorf("stream: %v after %v", err, got)
	}
	return got, next
}

func TestEventsResume(t *testing.T) {
	f := newFake(t)
	base := serve(t, ServerOptions{Backend: f})
	c := &Client{BaseURL: base}
	for s := int64(3); s < 6; s++ {
		f.event(s, "MESSAGE_CREATE", `{"id":"1","channel_id":"2"}`)
	}
	all := []string{"1 GUILD_CREATE " + testGuild, "2 MESSAGE_CREATE " + testGuild, "3 MESSAGE_CREATE " + testGuild, "4 MESSAGE_CREATE " + testGuild}
	if got, _ := collect(t, c, EventsQuery{}, 0); !reflect.DeepEqual(got, all) {
		t.Errorf("what there is: %v", got)
	}
	got, next := collect(t, c, EventsQuery{From: 1, Follow: true}, 2)
	if !reflect.DeepEqual(got, all[:2]) || next != 3 {
		t.Errorf("the first two: %v, go on at %d", got, next)
	}
	if got, _ = collect(t, c, EventsQuery{From: next}, 0); !reflect.DeepEqual(got, all[2:]) {
		t.Errorf("the rest: %v", got)
	}
	if got, _ = collect(t, c, EventsQuery{Type: "GUILD_CREATE"}, 0); !reflect.DeepEqual(got, all[:1]) {
		t.Errorf("of a type: %v", got)
	}
	if got, _ = collect(t, c, EventsQuery{Guild: "5"}, 0); len(got) != 0 {
		t.Errorf("of a guild without events: %v", got)
	}
	raw := ask(t, "GET", base+"/v1/events?follow=0", "", "Last-Event-ID", "3")
	if !strings.Contains(raw.body, "id: 4\ndata: {") || strings.Contains(raw.body, "id: 3\ndata") || raw.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("Last-Event-ID: %+v", raw)
	}
	for _, bad := range []string{"?from=x", "?guild=x", "?bot=x"} {
		if got := ask(t, "GET", base+"/v1/events"+bad, ""); got.status/100 != 4 {
			t.Errorf("%s: %+v", bad, got)
		}
	}
}

func TestEventsFollow(t *testing.T) {
	f := newFake(t)
	c := &Client{BaseURL: serve(t, ServerOptions{Backend: f})}
	done := make(chan []string, 1)
	go func() {
		got, _ := collect(t, c, EventsQuery{From: 2, Follow: true}, 3)
		done <- got
	}()
	for s := int64(3); s < 6; s++ {
		f.event(s, "MESSAGE_CREATE", `{"id":"1"}`)
	}
	want := []string{"2 MESSAGE_CREATE " + testGuild, "3 MESSAGE_CREATE " + testGuild, "4 MESSAGE_CREATE " + testGuild}
	if got := <-done; !reflect.DeepEqual(got, want) {
		t.Errorf("followed: %v", got)
	}
}

func TestEventsGapIsSaid(t *testing.T) {
	f := newFake(t)
	c := &Client{BaseURL: serve(t, ServerOptions{Backend: f})}
	f.apply(&fsm.Configure{Bot: "default", Rev: 1, Config: []byte(`{"intents":513,"retain_bytes":1}`)})
	for s := int64(3); s < 6; s++ {
		f.event(s, "MESSAGE_CREATE", `{"id":"1","content":"`+strings.Repeat("x", 2000)+`"}`)
	}
	got, _ := collect(t, c, EventsQuery{From: 1}, 0)
	if len(got) == 0 || !strings.HasPrefix(got[0], "gap 1-") {
		t.Fatalf("behind the retention: %v", got)
	}
	got, next := collect(t, c, EventsQuery{From: 99}, 0)
	if len(got) != 1 || !strings.HasPrefix(got[0], "gap 5-98") || next != 5 {
		t.Errorf("ahead of everything: %v, go on at %d", got, next)
	}
}

// TestEventsPositionIsKnownAtOnce: a follower that breaks off before the first
// event must be able to go on from where it was.
func TestEventsPositionIsKnownAtOnce(t *testing.T) {
	f := newFake(t)
	f.addBot("quiet")
	for bot, want := range map[string]uint64{"default": 2, "quiet": 1} {
		c := &Client{BaseURL: serve(t, ServerOptions{Backend: f}), Bot: bot}
		if next, err := c.StreamEvents(t.Context(), EventsQuery{From: want}, nil, nil); err != nil || next != want {
			t.Errorf("%s: go on at %d, %v, want %d", bot, next, err, want)
		}
		got := ask(t, "GET", c.BaseURL+"/v1/events?follow=0&bot="+bot+"&from="+number(want), "").body
		if !strings.Contains(got, fmt.Sprintf("\nid: %d\n\n", want-1)) {
			t.Errorf("%s: %q", bot, got)
		}
	}
}

// lagging is a node that has still to apply what another has shown.
type lagging struct {
	*fake
	catchUp func() error
}

// Sync implements Backend.
func (l *lagging) Sync(context.Context) error { return l.catchUp() }

// TestEventsOfANodeThatLags moves a reader to a node that is behind the one it
// has read from: it must not see an event twice.
func TestEventsOfANodeThatLags(t *testing.T) {
	f := newFake(t)
	f.event(3, "MESSAGE_CREATE", `{"id":"1"}`) // 3
	l := &lagging{fake: f, catchUp: func() error {
		f.event(4, "MESSAGE_CREATE", `{"id":"2"}`)
		f.event(5, "MESSAGE_CREATE", `{"id":"3"}`)
		return nil
	}}
	c := &Client{BaseURL: serve(t, ServerOptions{Backend: l})}
	_, end := collect(t, c, EventsQuery{}, 0)
	if got, next := collect(t, c, EventsQuery{From: end}, 0); len(got) != 0 || next != end {
		t.Errorf("a reader that is not ahead: %v, go on at %d", got, next)
	}
	want := []string{fmt.Sprintf("%d MESSAGE_CREATE %s", end+1, testGuild)}
	if got, next := collect(t, c, EventsQuery{From: end + 1}, 0); !reflect.DeepEqual(got, want) || next != end+2 {
		t.Errorf("a reader that is ahead: %v, go on at %d; want %v", got, next, want)
	}
	l.catchUp = func() error { return ErrNoQuorum }
	if _, err := c.StreamEvents(t.Context(), EventsQuery{From: 99}, nil, nil); !errors.Is(err, ErrNoQuorum) {
		t.Errorf("a node that can't catch up: %v", err)
	}
}

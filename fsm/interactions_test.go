package fsm

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/botnode/botnode/discord"
)

// interacted has the bot be sent an interaction, and returns its number in the
// session.
func (b *bench) interacted(s, at int64, token string) {
	b.t.Helper()
	e := events(1, s-1, Event{S: s, Type: discord.EventInteractionCreate, Raw: fmt.Appendf(nil, `{"id":"7","application_id":"8","token":%q}`, token)})
	e.At = at
	b.must(e)
}

// TestInteractionsAreRemembered: of a bot with clients, for as long as a token is
// good, whether anybody wants the event or not, and across a snapshot.
func TestInteractionsAreRemembered(t *testing.T) {
	b := setup(t)
	b.interacted(2, 1000, "of a bot without clients")
	if b.bot().InteractionCount() != 0 {
		t.Error("a bot without a client key remembers interactions")
	}
	b.must(&PutClientKey{Bot: testBot, Key: webKey})
	b.interacted(3, 1000, "under older rules")
	if b.bot().InteractionCount() != 0 {
		t.Error("a node of an older version would have another state")
	}
	b.must(&Rules{N: rulesInteractions})
	b.interacted(4, 1000, "a")
	b.interacted(5, 1001, "b")
	b.interacted(6, 9000, "a") // the same again: it ends when it would have
	if n := b.bot().InteractionCount(); n != 2 {
		t.Fatalf("%d interactions", n)
	}
	want := Interaction{ID: 7, Application: 8, At: 1000}
	if got, ok := b.bot().Interaction("a"); !ok || got != want {
		t.Errorf("%+v, %t", got, ok)
	}
	if _, ok := b.bot().Interaction("c"); ok {
		t.Error("an interaction that never was")
	}

	other := newBench(t)
	if err := other.Restore(bytes.NewReader(b.snapshot())); err != nil {
		t.Fatal(err)
	}
	other.next = b.next
	for _, m := range []*bench{b, other} {
		if got, ok := m.bot().Interaction("a"); !ok || got != want {
			t.Errorf("after a snapshot: %+v, %t", got, ok)
		}
		m.interacted(7, 1000+InteractionLife, "d")
		_, a := m.bot().Interaction("a")
		_, b := m.bot().Interaction("b")
		if a || !b {
			t.Errorf("whose time is over is there: %t; whose isn't: %t", a, b)
		}
	}
	if b.state.Digest() != other.state.Digest() {
		t.Error("the digests differ")
	}
	b.must(&DropClientKey{Bot: testBot, Name: "web", Hash: webKey.Hash})
	if n := b.bot().InteractionCount(); n != 0 {
		t.Errorf("%d interactions that nobody can answer", n)
	}
}

// TestInteractionsAreBounded: the oldest go first, and memory with them.
func TestInteractionsAreBounded(t *testing.T) {
	b := newBot(testBot)
	b.clients.putKey(webKey)
	for i := range MaxInteractions + 10 {
		b.noteInteraction(fmt.Appendf(nil, `{"id":"7","token":"%d"}`, i), 1)
	}
	if n := b.InteractionCount(); n != MaxInteractions || len(b.interactions.byToken) != n {
		t.Errorf("%d interactions, %d tokens", n, len(b.interactions.byToken))
	}
	for i, want := range map[int]bool{0: false, 9: false, 10: true, MaxInteractions + 9: true} {
		if _, ok := b.Interaction(fmt.Sprint(i)); ok != want {
			t.Errorf("interaction %d is there: %t", i, ok)
		}
	}
	for b.InteractionCount() > 0 {
		b.interactions.forgetOldest()
	}
	if (b.interactions.digest != Digest{}) || len(b.interactions.byToken) != 0 {
		t.Errorf("left over: %v, %d tokens", b.interactions.digest, len(b.interactions.byToken))
	}
}

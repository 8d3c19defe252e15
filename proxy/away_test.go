package proxy

import (
	"fmt"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// isSentAway reads op 7 and a close that leaves the session alone.
func (c *client) isSentAway() {
	c.t.Helper()
	for {
		m := c.next()
		if m.Op == discord.OpReconnect {
			break
		}
	}
	if code, reason := c.closed(); code != 4000 || reason == "" {
		c.t.Errorf("%d %q", code, reason)
	}
}

// A node that may not serve sends its clients away; they go on elsewhere.
func TestClientsAreSentAway(t *testing.T) {
	b := newBed(t, bedOptions{nodes: 2, guilds: 1})
	c := b.nodes[0].dial("")
	c.begun(bedIntents, "")
	begun := time.Now()
	b.nodes[0].setAway("it isn't fresh")
	c.isSentAway()
	if d := time.Since(begun); d < patience {
		t.Errorf("after %v already: a moment is no reason", d)
	}
	b.say(guildID(0), "missed")
	d := b.nodes[1].dial("")
	d.resume(c.sid, c.seq)
	equal(t, "replayed", d.replayed(), []string{"missed"})

	// A node that is leaving doesn't wait for anything.
	begun = time.Now()
	leaving := fmt.Errorf("%w: it drains", ErrLeaving)
	b.nodes[1].away.Store(&leaving)
	d.isSentAway()
	if _, res, err := websocket.DefaultDialer.Dial("ws://"+b.nodes[1].server.Addr().String()+"/", nil); err == nil {
		t.Error("it takes another client")
	} else {
		_ = res.Body.Close()
	}
	if d := time.Since(begun); d > 2*patience {
		t.Errorf("it took %v", d)
	}

	// A moment is waited for.
	b.nodes[0].setAway("")
	e := b.nodes[0].dial("")
	b.nodes[0].setAway("it isn't fresh")
	e.identify(bedIntents, "")
	e.send(discord.OpHeartbeat, "null")
	if m := e.next(); m.Op != discord.OpHeartbeatACK {
		t.Errorf("while it waits: %+v", m)
	}
	b.nodes[0].setAway("")
	e.isReady()
}

// The end of a server sends its clients away, too.
func TestCloseSendsClientsAway(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	c := b.nodes[0].dial("v=10")
	c.begun(bedIntents, "")
	closed := make(chan error, 1)
	s := b.nodes[0].server
	go func() { closed <- s.Close() }()
	c.isSentAway()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(wait):
		t.Fatal("the server doesn't end")
	}
	if n := len(b.nodes[0].sessions()); n != 1 {
		t.Errorf("%d sessions: a server that ends leaves them alone", n)
	}
}

// Before the bot has had a session of its own there is nothing to begin with.
func TestWaitsForTheBotsOwnSession(t *testing.T) {
	b := newBed(t, bedOptions{noReady: true})
	c := b.nodes[0].dial("")
	c.identify(0, "")
	c.send(discord.OpHeartbeat, "null")
	if m := c.next(); m.Op != discord.OpHeartbeatACK {
		t.Errorf("%+v", m)
	}
	b.ready(0)
	if r := c.isReady(); r.User.ID != "99" {
		t.Errorf("%+v", r)
	}
}

// A session ends with its key, and with its time; the client hears of it.
func TestSessionsEnd(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	c := b.nodes[0].dial("")
	c.begun(bedIntents, "")
	sid, seq := c.sid, c.seq
	b.must(&fsm.ExpireClients{Bot: bedBot, Now: time.Now().Add(time.Hour).UnixMilli()})
	if m := c.next(); m.Op != discord.OpInvalidSession || string(m.D) != "false" {
		t.Fatalf("%+v", m)
	}
	c.resume(sid, seq) // on the same connection
	if m := c.next(); m.Op != discord.OpInvalidSession || string(m.D) != "false" {
		t.Fatalf("%+v", m)
	}
	c.begun(bedIntents, "")
	b.say(guildID(0), "again")
	c.event(discord.EventMessageCreate)
	var key fsm.ClientKey
	b.nodes[0].ViewState(func(s *fsm.State) { key = s.Bot(bedBot).ClientKeys()[0] })
	b.must(&fsm.DropClientKey{Bot: bedBot, Name: key.Name, Hash: key.Hash})
	if code, _ := c.closed(); code != 4004 {
		t.Errorf("with a revoked key: %d", code)
	}
}

// A key doesn't open another's sessions, nor does it disturb them.
func TestAnotherKeysSession(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	c := b.nodes[0].dial("")
	c.begun(bedIntents, "")
	key, hash := NewKey(bedSelf)
	b.must(&fsm.PutClientKey{Bot: bedBot, Key: fsm.ClientKey{Name: "other", Hash: hash, Rights: fsm.RightEvents, At: 1}})
	rest, hash := NewKey(bedSelf)
	b.must(&fsm.PutClientKey{Bot: bedBot, Key: fsm.ClientKey{Name: "rest", Hash: hash, Rights: fsm.RightREST, At: 1}})
	thief := b.nodes[0].dial("")
	thief.b = &bed{key: key}
	thief.resume(c.sid, c.seq)
	if m := thief.next(); m.Op != discord.OpInvalidSession {
		t.Fatalf("%+v", m)
	}
	b.say(guildID(0), "mine")
	c.event(discord.EventMessageCreate)
	thief.b = &bed{key: rest}
	thief.identify(0, "")
	if code, reason := thief.closed(); code != 4004 || reason != "the client key has no right to events" {
		t.Errorf("a key without the right: %d %s", code, reason)
	}
}

package proxy

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// quickTimes are short where tests wait for their end.
func quickTimes() times {
	q := usualTimes
	q.serve, q.pause = 400*time.Millisecond, 200*time.Millisecond
	return q
}

// silent asserts that a client that has identified is sent nothing but what it
// asks for. That the second heartbeat is answered shows that time has passed.
func (c *client) silent(d time.Duration) {
	c.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		c.send(discord.OpHeartbeat, "null")
		if m := c.next(); m.Op != discord.OpHeartbeatACK {
			c.t.Fatalf("too early: op %d %s %.200s", m.Op, m.T, m.D)
		}
	}
}

// TestReadyWaitsForTheBotsShards: a client that comes before all shards of the bot
// have their guilds isn't told later that the bot has been invited to them. One
// that has no guild of such a shard doesn't wait.
func TestReadyWaitsForTheBotsShards(t *testing.T) {
	b := newBed(t, bedOptions{shards: 2, begun: 1, guilds: 1})
	n := b.nodes[0]
	c := n.dial("")
	c.identify(bedIntents, "")
	half := n.dial("")
	if r := half.begun(bedIntents, `,"shard":[0,2]`); len(r.Guilds) != 1 {
		t.Errorf("a shard that shares none: %+v", r.Guilds)
	}
	quarter := n.dial("")
	quarter.identify(bedIntents, `,"shard":[1,4]`)
	quarter.silent(2 * pollEvery)
	c.silent(pollEvery)
	b.ready(1, guildID(1), guildID(3))
	c.silent(2 * pollEvery)
	b.guildOf(1, guildID(1))
	c.silent(2 * pollEvery)
	b.guildOf(1, guildID(3))
	if r := c.isReady(); len(r.Guilds) != 3 {
		t.Errorf("READY names %+v", r.Guilds)
	}
	for range 3 {
		c.event(discord.EventGuildCreate)
	}
	if r := quarter.isReady(); len(r.Guilds) != 1 {
		t.Errorf("READY of [1, 4] names %+v", r.Guilds)
	}
}

// guildOf has a guild of another of the bot's shards come.
func (b *bed) guildOf(shard int, id discord.Snowflake) {
	b.t.Helper()
	b.emitOn(shard, discord.EventGuildCreate, id, fmt.Appendf(nil, `{"id":"%d","name":"guild","channels":[],"roles":[],"members":[]}`, id))
}

// emitOn has an event come on another of the bot's shards than the first.
func (b *bed) emitOn(shard int, kind string, guild discord.Snowflake, d []byte) {
	b.t.Helper()
	e := b.event(kind, guild, d)
	b.s-- // of shard 0
	e.Shard, e.SID, e.Prev, e.Evs[0].S = b.own(shard), "s"+fmt.Sprint(shard+1), b.others[shard], b.others[shard]+1
	b.others[shard]++
	b.must(e)
}

// TestReadyDoesNotWaitForAnOutage: a guild that doesn't come is named by READY, and
// is no new one when it comes.
func TestReadyDoesNotWaitForAnOutage(t *testing.T) {
	b := newBed(t, bedOptions{noReady: true, times: quickTimes()})
	b.ready(0, guildID(0), guildID(1))
	b.guild(guildID(0), 0)
	c := b.nodes[0].dial("")
	begun := time.Now()
	c.identify(bedIntents, "")
	if r := c.isReady(); len(r.Guilds) != 2 {
		t.Errorf("READY names %+v", r.Guilds)
	}
	if d := time.Since(begun); d < quickTimes().pause {
		t.Errorf("it didn't wait: %v", d)
	}
	c.event(discord.EventGuildCreate)
	if m := c.event(discord.EventGuildDelete); string(m.D) != fmt.Sprintf(`{"id":"%d","unavailable":true}`, guildID(1)) {
		t.Errorf("%s", m.D)
	}
	b.guild(guildID(1), 0)
	c.event(discord.EventGuildCreate)
}

// TestReadyDoesNotWaitForEver: a client that waits for a shard which has never
// begun is told to come again; one that lacks only a session goes on.
func TestReadyDoesNotWaitForEver(t *testing.T) {
	b := newBed(t, bedOptions{shards: 2, begun: 1, times: quickTimes()})
	c := b.nodes[0].dial("")
	c.identify(bedIntents, "")
	if m := c.next(); m.Op != discord.OpReconnect {
		t.Errorf("%+v", m)
	}
	if code, reason := c.closed(); code != 4000 || reason == "" {
		t.Errorf("%d %s", code, reason)
	}
	b.ready(1)
	b.lost(1)
	d := b.nodes[0].dial("")
	begun := time.Now()
	d.begun(bedIntents, "")
	if waited := time.Since(begun); waited < quickTimes().serve {
		t.Errorf("it didn't wait: %v", waited)
	}
}

// TestBeginHasItsTime: what a session begins with is a view of the cache, which
// isn't kept for a client that doesn't read it.
func TestBeginHasItsTime(t *testing.T) {
	q := usualTimes
	q.begin = time.Nanosecond
	b := newBed(t, bedOptions{guilds: 3, times: q})
	c := b.nodes[0].dial("")
	c.identify(bedIntents, "")
	c.isReady()
	if m, err := c.read(); !websocket.IsCloseError(err, 4000) {
		t.Errorf("%+v, %v", m, err)
	}
	d := b.nodes[0].dial("") // in the middle of the begin there is nothing to resume
	d.resume(c.sid, c.seq)
	if m := d.next(); m.Op != discord.OpInvalidSession || string(m.D) != "false" {
		t.Errorf("%+v", m)
	}
}

// TestUserUpdate: each of a client's shards hears once of the bot's user, from the
// first of the bot's own shards that are connected.
func TestUserUpdate(t *testing.T) {
	b := newBed(t, bedOptions{shards: 2})
	n := b.nodes[0]
	update := func(name string) []byte { return fmt.Appendf(nil, `{"id":"%d","username":%q}`, bedSelf, name) }
	heard := func(c *client, name string) {
		t.Helper()
		if m := c.event(discord.EventUserUpdate); !bytes.Contains(m.D, []byte(name)) {
			t.Errorf("want %s: %s", name, m.D)
		}
	}
	var clients []*client
	for i := range 3 {
		c := n.dial("")
		c.begun(bedIntents, fmt.Sprintf(`,"shard":[%d,3]`, i))
		clients = append(clients, c)
	}
	for _, name := range []string{"one", "two"} {
		b.emitOn(1, discord.EventUserUpdate, 0, update(name))
		b.emit(discord.EventUserUpdate, 0, update(name))
	}
	for _, c := range clients {
		heard(c, "one")
		heard(c, "two")
	}
	b.must(&fsm.Disconnect{Bot: bedBot, Shard: b.own(0), Epoch: 1})
	c := n.dial("")
	c.begun(bedIntents, `,"shard":[0,2]`)
	b.emitOn(1, discord.EventUserUpdate, 0, update("three"))
	heard(c, "three")
}

// TestPanicInABatchClosesInOrder: what was sent before it goes out, and the close
// frame too, which tells a library that it can resume.
func TestPanicInABatchClosesInOrder(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	s := b.nodes[0].server
	c := b.nodes[0].dial("")
	c.begun(bedIntents, "")
	f := s.follow(bedBot)
	defer s.leave(f)
	f.cancel() // what comes into the feed is not in the journal: it would be taken for another generation's
	f.mu.Lock()
	good := &fsm.Entry{Pos: f.next, Type: discord.EventMessageCreate, Guild: guildID(0), Raw: []byte(`{"content":"good"}`)}
	f.items = append(f.items, &item{Entry: good}, &item{}) // a mistake: an item of nothing
	f.next += 2
	f.broadcast()
	f.mu.Unlock()
	if m := c.event(discord.EventMessageCreate); m.content() != "good" {
		t.Errorf("%s", m.D)
	}
	if m, err := c.read(); !websocket.IsCloseError(err, 4000) {
		t.Errorf("%+v, %v", m, err)
	}
}

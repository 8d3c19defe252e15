package proxy

import (
	"fmt"
	"testing"
	"time"

	"github.com/botnode/botnode/discord"
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
	e := b.event(discord.EventGuildCreate, id, fmt.Appendf(nil, `{"id":"%d","name":"guild","channels":[],"roles":[],"members":[]}`, id))
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

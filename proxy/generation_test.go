package proxy

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// snapshot takes a snapshot of a node's state, and goBack has all nodes take it
// up, as a restore does.
func (b *bed) snapshot() []byte {
	b.t.Helper()
	c, err := b.nodes[0].machine.Capture()
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Release()
	var buf bytes.Buffer
	if _, err := c.WriteTo(&buf); err != nil {
		b.t.Fatal(err)
	}
	return buf.Bytes()
}

func (b *bed) goBack(snapshot []byte) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.nodes {
		if err := n.machine.Restore(bytes.NewReader(snapshot)); err != nil {
			b.t.Fatal(err)
		}
	}
}

// renewed begins a new generation, in which the bot has a new session.
func (b *bed) renewed(keep bool) {
	b.t.Helper()
	var generation uint64
	b.nodes[0].ViewState(func(st *fsm.State) { generation = st.Generation + 1 })
	b.must(&fsm.Renew{Generation: generation, KeepSessions: keep})
	var sh fsm.Shard
	b.nodes[0].ViewState(func(st *fsm.State) { sh, _ = st.Bot(bedBot).Shard(b.shard) })
	for _, n := range b.nodes {
		b.must(&fsm.Up{Node: n.self})
	}
	b.must(&fsm.Grant{Bot: bedBot, Shard: b.shard, Epoch: sh.Epoch, To: b.nodes[0].self})
	b.epoch = sh.Epoch + 1
	if keep {
		b.s = sh.C
		return
	}
	b.sid, b.s = "s"+fmt.Sprint(generation), 1
	b.must(&fsm.Ready{
		Bot: bedBot, Shard: b.shard, Epoch: b.epoch, SID: b.sid, URL: "wss://a", S: 1, At: 1, After: sh.Sessions,
		Raw: fmt.Appendf(nil, `{"v":10,"user":{"id":"%d"},"guilds":[{"id":"%d"}]}`, bedSelf, guildID(0)),
	})
}

// TestRestoreEndsSessions: after a restore positions begin again, and what had
// one number before has another one now. No session lives through it, whether its
// client is connected or not, and whether the bot's own do or not: a client that
// went on would miss events, or get others again, and not know.
func TestRestoreEndsSessions(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint("keep=", keep), func(t *testing.T) {
			b := newBed(t, bedOptions{nodes: 2, guilds: 1})
			c, away := b.nodes[0].dial(""), b.nodes[0].dial("")
			c.begun(bedIntents, "")
			away.begun(bedIntents, "")
			b.say(guildID(0), "before the snapshot")
			snapshot := b.snapshot()
			for i := range 5 {
				b.say(guildID(0), fmt.Sprint("lost ", i))
			}
			for range 6 {
				c.event(discord.EventMessageCreate)
				away.event(discord.EventMessageCreate)
			}
			away.drop()
			b.goBack(snapshot)
			b.renewed(keep)
			for i := range 20 { // past the positions of before
				b.say(guildID(0), fmt.Sprint("after ", i))
			}
			if m := c.next(); m.Op != discord.OpInvalidSession || string(m.D) != "false" {
				t.Fatalf("connected: %+v", m)
			}
			for _, n := range b.nodes {
				d := n.dial("")
				d.resume(away.sid, away.seq)
				if m := d.next(); m.Op != discord.OpInvalidSession || string(m.D) != "false" {
					t.Fatalf("at %s: %+v", n.self, m)
				}
			}
			c.begun(bedIntents, "")
			b.say(guildID(0), "new")
			if m := c.event(discord.EventMessageCreate); m.content() != "new" {
				t.Errorf("%s", m.D)
			}
		})
	}
}

// TestRewindEndsSessions: between the restore and the new generation the sessions
// of the snapshot are there, with positions that go back.
func TestRewindEndsSessions(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	c := b.nodes[0].dial("")
	c.begun(bedIntents, "")
	snapshot := b.snapshot()
	b.say(guildID(0), "lost")
	c.event(discord.EventMessageCreate)
	b.goBack(snapshot)
	if m := c.next(); m.Op != discord.OpInvalidSession || string(m.D) != "false" {
		t.Errorf("%+v", m)
	}
}

// TestFeedKnowsGenerations: whoever asks for a position of another generation is
// sent nothing of this one, even before it was told.
func TestFeedKnowsGenerations(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	b.nodes[0].dial("").begun(bedIntents, "") // has the journal take messages
	f := b.nodes[0].server.follow(bedBot)
	defer b.nodes[0].server.leave(f)
	b.say(guildID(0), "one")
	first := uint64(0)
	await(t, "the event", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.items) > 0 {
			first = f.items[0].Pos
		}
		return first != 0
	})
	for generation, want := range map[uint64]struct {
		n    int
		lost bool
	}{0: {0, true}, 1: {1, false}, 2: {0, false}} {
		if items, wake, lost := f.after(&follower{generation: generation}, first); len(items) != want.n || lost != want.lost || wake == nil {
			t.Errorf("generation %d: %d items, lost: %t", generation, len(items), lost)
		}
	}
	w := &follower{end: func(*ending) {}}
	if items, _ := f.lagging(w, first); len(items) != 0 || w.ended.Load() == nil {
		t.Errorf("read apart: %d items, %v", len(items), w.ended.Load())
	}
}

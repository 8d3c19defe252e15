package proxy

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// follow is a client of one virtual shard, and what it has still to be sent.
type followed struct {
	*client
	node  *bedNode
	shard int
	due   []string // contents of messages
}

// TestEventsComeOnceAndInOrder has a client of a random virtual shard lose its
// connection at random moments and resume on random nodes, of which some lag:
// it is sent exactly what its filter lets pass, once and in order, or op 9, and
// the latter only if the journal has let go of what it needs.
func TestEventsComeOnceAndInOrder(t *testing.T) {
	lost, resumed := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		b := newBed(t, bedOptions{nodes: 3, guilds: 4, retain: int64(rapid.IntRange(1500, 20_000).Draw(t, "retain"))})
		compress := rapid.SampledFrom([]string{"none", "zlib-stream", "zstd-stream"})
		node := func() *bedNode { return b.nodes[rapid.IntRange(0, 2).Draw(t, "node")] }
		f := &followed{shard: rapid.IntRange(0, 1).Draw(t, "shard")}
		dial := func() {
			kind := compress.Draw(t, "compress")
			f.node = node()
			f.client = f.node.connect("v=10&compress=" + kind)
			if kind != "none" {
				f.inflated(kind)
			}
			f.next() // HELLO
		}
		begin := func() {
			f.identify(bedIntents, fmt.Sprintf(`,"shard":[%d,2]`, f.shard))
			f.isReady()
			f.event(discord.EventGuildCreate)
			f.event(discord.EventGuildCreate)
			f.due = nil
		}
		dial()
		begin()
		said := 0
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0: // events, of all guilds, and of types that nobody wants
				for range rapid.IntRange(1, 40).Draw(t, "events") {
					said++
					text := fmt.Sprint("message ", said)
					guild := rapid.IntRange(0, 3).Draw(t, "guild")
					switch rapid.IntRange(0, 4).Draw(t, "type") {
					case 0:
						b.emit(discord.EventTypingStart, guildID(guild), []byte(`{"content":"no"}`))
					case 1:
						b.emit(discord.EventGuildMembersChunk, guildID(guild), []byte(`{"guild_id":"1","content":"not asked for","nonce":"x"}`))
					default:
						b.say(guildID(guild), text)
						if guild%2 == f.shard {
							f.due = append(f.due, text)
						}
					}
				}
			case 1: // a part of them is read
				f.node.setLag(false)
				if !f.take(t, b, rapid.IntRange(0, len(f.due)).Draw(t, "read")) {
					lost++
					begin()
				}
			case 2:
				n := node()
				n.setLag(!n.lags)
			case 3: // the connection is cut
				sid, seq := f.sid, f.seq
				f.drop()
				dial()
				f.resume(sid, seq)
				f.sid, f.seq = sid, seq
				if f.goesOn(t, b, seq) {
					resumed++
					break
				}
				lost++
				begin()
			}
		}
		for _, n := range b.nodes {
			n.setLag(false)
		}
		f.take(t, b, len(f.due))
		f.drop()
		b.close()
	})
	if !t.Failed() && (lost == 0 || resumed == 0) {
		t.Errorf("%d sessions went on, %d were lost: this test shows less than it should", resumed, lost)
	}
}

// take reads so many of the events that are due. It reports false if the session
// was lost because the journal has passed its client.
func (f *followed) take(t *rapid.T, b *bed, n int) bool {
	for range n {
		seq := f.seq
		m := f.next()
		if m.Op == discord.OpInvalidSession {
			f.isLost(t, b, m, seq)
			return false
		}
		if m.T != discord.EventMessageCreate || m.content() != f.due[0] {
			t.Fatalf("got %d %s %s, want %q", m.Op, m.T, m.D, f.due[0])
		}
		f.due = f.due[1:]
	}
	return true
}

// isLost looks at an op 9 that came after seq.
func (f *followed) isLost(t *rapid.T, b *bed, m message, seq int64) {
	if string(m.D) != "false" {
		t.Fatalf("op 9 %s", m.D)
	}
	if b.retains(f.sid, seq) {
		t.Fatalf("session %s is lost after %d, and the journal has what follows", f.sid, seq)
	}
}

// goesOn reads the answer to a RESUME after seq: what was missed, or op 9.
func (f *followed) goesOn(t *rapid.T, b *bed, seq int64) bool {
	for {
		m := f.next()
		switch {
		case m.Op == discord.OpInvalidSession:
			f.isLost(t, b, m, seq)
			return false
		case m.T == discord.EventResumed:
			return true
		case m.T != discord.EventMessageCreate || len(f.due) == 0 || m.content() != f.due[0]:
			t.Fatalf("replayed %s %s, due are %q", m.T, m.D, f.due)
		}
		f.due = f.due[1:]
	}
}

// retains reports whether the journal of the newest state has what follows a
// number of a session.
func (b *bed) retains(sid string, seq int64) (yes bool) {
	b.mu.Lock()
	b.nodes[0].catchUp()
	b.mu.Unlock()
	b.nodes[0].ViewState(func(s *fsm.State) {
		bot := s.Bot(bedBot)
		cs, ok := bot.ClientSession(sid)
		yes = ok && bot.HasFrom(uint64(cs.Base+seq)+1)
	})
	return yes
}

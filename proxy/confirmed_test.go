package proxy

import (
	"fmt"
	"testing"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// A client that goes on before what it has confirmed once, such as a process that
// began again from a number on disk, is told that what is between is gone.
func TestResumeBeforeWhatWasConfirmed(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1, retain: 3000})
	c := b.nodes[0].dial("")
	r := c.begun(bedIntents, "")
	early := c.seq
	for i := range 10 {
		b.say(guildID(0), fmt.Sprint("missed ", i))
		c.event(discord.EventMessageCreate)
	}
	b.must(touchOf(b, r.SID, c.seq))
	c.drop()
	for i := range 8 { // the journal lets go of a part of what follows early
		b.say(guildID(0), fmt.Sprint("new ", i))
	}
	c = b.nodes[0].dial("")
	c.resume(r.SID, early)
	if m := c.next(); m.Op != discord.OpInvalidSession {
		t.Errorf("what was missed was passed over: %d %s %s", m.Op, m.T, m.content())
	}
}

func touchOf(b *bed, sid string, seq int64) *fsm.TouchClient {
	return &fsm.TouchClient{Bot: bedBot, SID: sid, Attach: 1, Seq: seq, Until: 1 << 60}
}

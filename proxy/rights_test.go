package proxy

import (
	"testing"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// TestLostRightEndsSessions: a key that may have no sessions any more loses those
// that it has, on the node that serves them, and can't resume them anywhere. Those
// of other keys, and of one that gains or keeps the right, go on.
func TestLostRightEndsSessions(t *testing.T) {
	b := newBed(t, bedOptions{nodes: 2, guilds: 1})
	first, second := b.nodes[0], b.nodes[1]
	var web fsm.ClientKey
	first.ViewState(func(s *fsm.State) { web = s.Bot(bedBot).ClientKeys()[0] })
	rights := func(r fsm.Rights) {
		t.Helper()
		web.Rights = r
		b.must(&fsm.PutClientKey{Bot: bedBot, Key: web})
	}
	c, away := first.dial(""), first.dial("")
	c.begun(bedIntents, "")
	away.begun(bedIntents, "")
	away.drop()
	key, hash := NewKey(bedSelf)
	b.must(&fsm.PutClientKey{Bot: bedBot, Key: fsm.ClientKey{Name: "other", Hash: hash, Rights: fsm.RightEvents, At: 1}})
	other := first.dial("")
	other.b = &bed{key: key}
	other.begun(bedIntents, "")

	rights(fsm.RightEvents | fsm.RightREST)
	rights(fsm.RightEvents)
	b.say(guildID(0), "still here")
	c.event(discord.EventMessageCreate)
	rights(fsm.RightREST)
	b.say(guildID(0), "not for the key")
	if _, err := c.read(); err == nil {
		t.Error("sent to a key without the right")
	}
	if code, reason := c.closed(); code != 4004 || reason == "" {
		t.Errorf("the session that was served: %d %s", code, reason)
	}
	d := second.dial("")
	d.resume(away.sid, away.seq)
	if code, _ := d.closed(); code != 4004 {
		t.Errorf("the session that was not served: %d", code)
	}
	for range 2 {
		other.event(discord.EventMessageCreate)
	}
	if all := second.sessions(); len(all) != 1 || all[0].Key != "other" {
		t.Errorf("sessions that are left: %+v", all)
	}
	rights(fsm.RightEvents)
	e := second.dial("")
	e.resume(away.sid, away.seq)
	if m := e.next(); m.Op != discord.OpInvalidSession {
		t.Errorf("a session that was over came back: %+v", m)
	}
}

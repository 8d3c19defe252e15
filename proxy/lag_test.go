package proxy

import (
	"strings"
	"testing"

	"github.com/botnode/botnode/discord"
)

// A client that lags has its heartbeats answered after a bounded number of bytes.
func TestHeartbeatsAreAnsweredWhileEventsAreLarge(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1, retain: 512 << 20})
	c := b.nodes[0].dial("")
	c.begun(bedIntents, "")
	const events, size = 250, 300 << 10
	text := strings.Repeat("x", size)
	for range events {
		b.say(guildID(0), text)
	}
	// What is on its way when the client begins to read again.
	for range 40 {
		c.event(discord.EventMessageCreate)
	}
	c.send(discord.OpHeartbeat, "1")
	for n := 0; ; n++ {
		m := c.next()
		if m.Op == discord.OpHeartbeatACK {
			if n*size > 25<<20 {
				t.Errorf("answered after %d MiB", n*size>>20)
			}
			return
		}
		if n > events {
			t.Fatal("no answer")
		}
	}
}

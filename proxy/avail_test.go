package proxy

import (
	"testing"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/jsonscan"
)

// Libraries tell a guild that was there from one that was joined by it
// (events/gateway-events.mdx, "Guild Create").
func TestGuildsOfTheBeginAreAvailable(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	c := b.nodes[0].dial("")
	c.identify(bedIntents, "")
	c.isReady()
	m := c.event(discord.EventGuildCreate)
	if v := jsonscan.Get(m.D, "unavailable"); string(v) != "false" {
		t.Errorf("unavailable is %q", v)
	}
}

package proxy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/botnode/botnode/discord"
)

// A chunk never shows a member as it was before an event that was sent before it.
func TestNoChunkIsOlderThanAnEventBefore(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1, members: 2100})
	c := b.nodes[0].dial("")
	c.begun(memberIntents, "")
	const asked = 100 // more than the sockets hold
	for range asked {
		c.send(discord.OpRequestGuildMembers, fmt.Sprintf(`{"guild_id":"%d","query":"","limit":0}`, guildID(0)))
	}
	// The last member of the first chunk that was read may be gone by the next.
	c.event(discord.EventGuildMembersChunk)
	b.emit(discord.EventGuildMemberRemove, guildID(0), fmt.Appendf(nil, `{"guild_id":"%d","user":{"id":"1000"}}`, guildID(0)))
	gone, stale := false, 0
	for n := 1; n < 3*asked; {
		m := c.next()
		switch m.T {
		case discord.EventGuildMemberRemove:
			gone = true
		case discord.EventGuildMembersChunk:
			n++
			if gone && strings.Contains(string(m.D), `"1000"`) {
				stale++
			}
		}
	}
	if !gone {
		t.Skip("the event came last")
	}
	if stale > 0 {
		t.Errorf("%d chunks bring back a member after GUILD_MEMBER_REMOVE", stale)
	}
}

package proxy

import (
	"fmt"
	"testing"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/jsonscan"
)

// What goes to Discord in a client's name is made from what was understood, and
// asks for no more than the client may see.
func TestRequestsOfMembersArePassedOnClean(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1})
	b.emit(discord.EventGuildUpdate, guildID(0), fmt.Appendf(nil, `{"id":"%d","member_count":5}`, guildID(0)))
	c := b.nodes[0].dial("")
	c.begun(memberIntents, "")
	c.send(discord.OpRequestGuildMembers, fmt.Sprintf(`{"guild_id":"%d","query":"","limit":"x","presences":true,"other":{}}`, guildID(0)))
	d := []byte(b.spokenNext(0).d)
	if yes, _ := jsonscan.Bool(jsonscan.Get(d, "presences")); yes {
		t.Errorf("presences without the intent: %s", d)
	}
	if _, ok := jsonscan.Int(jsonscan.Get(d, "limit")); !ok || jsonscan.Get(d, "other") != nil {
		t.Errorf("passed on as it came: %s", d)
	}
}

package botnode

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	dgo "github.com/disgoorg/disgo/discord"

	"github.com/botnode/botnode/cache"
)

// A query that the cache has no method for is a loop with a condition: here the
// guilds that are open to all and have more than so many members.
func TestLargeCommunities(t *testing.T) {
	t.Parallel()
	held := cache.New(cache.DefaultPolicies())
	held.Apply(0, 1, "READY", []byte(`{"user":{"id":"9"},"guilds":[{"id":"1"},{"id":"2"},{"id":"3"}]}`))
	for id, g := range []string{`"features":["COMMUNITY"],"member_count":51`, `"features":["NEWS"],"member_count":900`, `"features":["NEWS","COMMUNITY"],"member_count":50`} {
		held.Apply(0, 1, "GUILD_CREATE", fmt.Appendf(nil, `{"id":"%d","name":"g%d",%s}`, id+1, id+1, g))
	}
	larger := func(than int) string {
		var names []string
		for g, err := range CacheOf(held).Guilds() {
			if err != nil {
				t.Error(err)
			}
			if g.MemberCount > than && slices.Contains(g.Features, dgo.GuildFeatureCommunity) {
				names = append(names, g.Name)
			}
		}
		return strings.Join(names, " ")
	}
	if got := larger(50); got != "g1" {
		t.Errorf("communities of more than 50: %q", got)
	}
	if got := larger(40); got != "g1 g3" {
		t.Errorf("communities of more than 40: %q", got)
	}
}

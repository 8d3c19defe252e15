package botnode

import (
	"context"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
)

// TestMembersWhoLeftUnseenAreForgotten ends the session of a guild that is too
// large for its GUILD_CREATE to name everybody, and has members leave before
// the next session: no event tells of them.
func TestMembersWhoLeftUnseenAreForgotten(t *testing.T) {
	s := sim.New(sim.Options{Guilds: 1, Members: 600, GlobalLimit: -1, NoRouteLimits: true})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	n := testNodeWith(t, s, "joe", t.TempDir(), zaptest.NewLogger(t), node.Options{Bootstrap: true},
		DefaultIntents()|discord.IntentGuildMembers)
	defer kill(t, n)
	waitReady(t, ctx, n)
	guild := s.GuildIDs()[0]
	// READY makes the node ready; the guild comes after it.
	until(t, ctx, "the guild is cached", func() bool { return len(cachedMembers(t, n, guild)) > 0 })
	known := len(cachedMembers(t, n, guild))
	mutate(t, s, "join", 60) // GUILD_MEMBER_ADD: these are cached
	until(t, ctx, "the new members are cached", func() bool { return len(cachedMembers(t, n, guild)) == known+60 })

	if err := s.Inject(sim.Fault{Kind: "invalid"}); err != nil {
		t.Fatal(err)
	}
	until(t, ctx, "the session is over", func() bool { return len(s.LiveSessions()) == 0 })
	mutate(t, s, "leave", 300)
	until(t, ctx, "the cache names exactly the members that the guild has", func() bool {
		return slices.Equal(cachedMembers(t, n, guild), trueMembers(s, guild))
	})
}

func mutate(t *testing.T, s *sim.Server, kind string, n int) {
	t.Helper()
	if err := s.Mutate(kind, n); err != nil {
		t.Fatal(err)
	}
}

func cachedMembers(t *testing.T, n *node.Node, guild sim.ID) (ids []discord.Snowflake) {
	t.Helper()
	_, err := n.View("default", func(_ *fsm.Bot, c *cache.Cache) {
		for id := range c.GuildMembers(discord.Snowflake(guild)) {
			ids = append(ids, id)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func trueMembers(s *sim.Server, guild sim.ID) (ids []discord.Snowflake) {
	truth, _ := s.Truth(guild)
	for id := range truth.Members {
		ids = append(ids, discord.Snowflake(id))
	}
	slices.Sort(ids)
	return ids
}

func until(t *testing.T, ctx context.Context, what string, ok func() bool) {
	t.Helper()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("never happened: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

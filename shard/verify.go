package shard

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/gateway"
	"github.com/botnode/botnode/fsm"
)

// Waits of the verification of members. Discord answers a request for a whole
// guild once in 30 s, and takes 120 payloads a minute of a connection
// (events/gateway-events.mdx, "Request Guild Members"; events/gateway.mdx,
// "Rate Limiting"): a request a second leaves half of them to everybody else.
const (
	verifyEvery = time.Second
	verifyAgain = time.Minute
)

// verifyMembers asks Discord for the member lists of a shard's guilds that have
// unverified members, until ctx or the connection ends: after a new session
// somebody may have left whom no event has named. What it asks for follows
// from the applied state, so a new owner goes on where the last one stopped.
func (r *runner) verifyMembers(ctx context.Context, c *gateway.Conn) {
	tick := time.NewTicker(verifyEvery)
	defer tick.Stop()
	asked := make(map[discord.Snowflake]time.Time)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		guild, ok := r.m.unverifiedGuild(r.ref, func(id discord.Snowflake) bool {
			return time.Since(asked[id]) > verifyAgain
		})
		if !ok || !r.m.Fresh() {
			continue
		}
		asked[guild] = time.Now()
		if err := c.Send(ctx, discord.OpRequestGuildMembers, memberListRequest(guild, len(asked))); err != nil {
			return // the connection is over
		}
		r.log.Debug("verifying the members of a guild", zap.Stringer("guild", guild))
	}
}

// memberListRequest is an op 8 for all members of a guild.
func memberListRequest(guild discord.Snowflake, n int) []byte {
	b, _ := json.Marshal(struct { // can't fail
		Guild discord.Snowflake `json:"guild_id"`
		Query string            `json:"query"`
		Limit int               `json:"limit"`
		Nonce string            `json:"nonce"`
	}{Guild: guild, Nonce: fmt.Sprintf("%s-%d", cache.VerifyNonce, n)})
	return b
}

// unverifiedGuild returns a guild of a shard that has unverified members and
// that pick takes, if the bot may ask for them: a whole list needs the members
// intent.
func (m *Manager) unverifiedGuild(ref fsm.ShardRef, pick func(discord.Snowflake) bool) (guild discord.Snowflake, found bool) {
	m.o.Machine.View(func(_ uint64, s *fsm.State) {
		b := s.Bot(ref.Bot)
		if b == nil || !discord.Intents(b.Config.Intents).Has(discord.IntentGuildMembers) {
			return
		}
		for _, id := range b.Cache().UnverifiedGuilds() {
			if discord.ShardOf(id, int(ref.Shard.Layout)) == int(ref.Shard.Index) && pick(id) {
				guild, found = id, true
				return
			}
		}
	})
	return guild, found
}

package shard

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strconv"
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
// "Rate Limiting"): a request a second at most leaves half of them to everybody
// else.
const (
	verifyEvery = time.Second
	verifyLook  = 10 * time.Second // between two looks for guilds to verify
	verifyAgain = time.Minute      // until a request counts as unanswered
)

// verifier asks Discord for the member lists of a shard's guilds that have
// unverified members, one guild at a time: after a new session somebody may
// have left whom no event has named. What it asks for follows from the applied
// state, so a new owner goes on where the last one stopped.
type verifier struct {
	r     *runner
	conn  *gateway.Conn
	queue []discord.Snowflake // guilds found at the last look and not asked for yet
	look  time.Time           // the next look
	asked discord.Snowflake   // the guild whose list is awaited, 0 for none
	until time.Time           // that it is awaited
}

// verifyMembers runs a connection's verifier until ctx or the connection ends.
func (r *runner) verifyMembers(ctx context.Context, c *gateway.Conn) {
	v := &verifier{r: r, conn: c}
	tick := time.NewTicker(verifyEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if err := v.step(ctx, now); err != nil {
				return // the connection is over
			}
		case <-ctx.Done():
			return
		}
	}
}

// step asks for the next guild's list, if the one before has come.
func (v *verifier) step(ctx context.Context, now time.Time) error {
	if v.conn.State() != gateway.Live || !v.r.m.Fresh() {
		return nil
	}
	if v.asked != 0 && now.Before(v.until) && v.r.m.unverified(v.r.ref, v.asked) {
		return nil
	}
	v.asked = 0
	if len(v.queue) == 0 && !now.Before(v.look) {
		v.queue, v.look = v.r.m.unverifiedGuilds(v.r.ref), now.Add(verifyLook)
	}
	for len(v.queue) > 0 && v.asked == 0 {
		if guild := v.queue[0]; v.r.m.unverified(v.r.ref, guild) {
			v.asked, v.until = guild, now.Add(verifyAgain)
		}
		v.queue = v.queue[1:]
	}
	if v.asked == 0 {
		return nil
	}
	v.r.log.Debug("verifying the members of a guild", zap.Stringer("guild", v.asked))
	return v.conn.Send(ctx, discord.OpRequestGuildMembers, memberListRequest(v.asked))
}

// memberListRequest is an op 8 for all members of a guild. Its nonce, at most 32
// bytes, is like no other's: the chunks of two requests must not be confused.
func memberListRequest(guild discord.Snowflake) []byte {
	b, _ := json.Marshal(struct { // can't fail
		Guild discord.Snowflake `json:"guild_id"`
		Query string            `json:"query"`
		Limit int               `json:"limit"`
		Nonce string            `json:"nonce"`
	}{Guild: guild, Nonce: cache.VerifyNonce + "-" + strconv.FormatUint(rand.Uint64(), 36)})
	return b
}

// unverifiedGuilds returns the guilds of a shard that have unverified members,
// if the bot may ask for them: a whole list needs the members intent.
func (m *Manager) unverifiedGuilds(ref fsm.ShardRef) (guilds []discord.Snowflake) {
	m.o.Machine.View(func(_ uint64, s *fsm.State) {
		b := s.Bot(ref.Bot)
		if b == nil || !discord.Intents(b.Config.Intents).Has(discord.IntentGuildMembers) {
			return
		}
		guilds = b.Cache().UnverifiedGuilds()
	})
	return slices.DeleteFunc(guilds, func(id discord.Snowflake) bool {
		return discord.ShardOf(id, int(ref.Shard.Layout)) != int(ref.Shard.Index)
	})
}

// unverified reports whether a guild has unverified members and Discord can
// serve it.
func (m *Manager) unverified(ref fsm.ShardRef, guild discord.Snowflake) (yes bool) {
	m.o.Machine.View(func(_ uint64, s *fsm.State) {
		if b := s.Bot(ref.Bot); b != nil {
			yes = b.Cache().GuildUnverified(guild)
		}
	})
	return yes
}

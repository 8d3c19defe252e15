package botnode

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	dgo "github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/gateway"
	"github.com/disgoorg/snowflake/v2"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
)

// SetPresence sets the bot's presence, on all its shards, from any node. It is
// kept in the replicated state: sessions that begin later show it, too.
func (b *Bot) SetPresence(ctx context.Context, p gateway.MessageDataPresenceUpdate) error {
	return b.SendGateway(ctx, -1, discord.OpPresenceUpdate, p)
}

// SetShardPresence is SetPresence for one shard; it holds until the next
// SetPresence.
func (b *Bot) SetShardPresence(ctx context.Context, shard int, p gateway.MessageDataPresenceUpdate) error {
	return b.SendGateway(ctx, shard, discord.OpPresenceUpdate, p)
}

// UpdateVoiceState joins, moves between, or leaves (nil) voice channels of a
// guild, from any node.
func (b *Bot) UpdateVoiceState(ctx context.Context, guild snowflake.ID, channel *snowflake.ID, mute, deaf bool) error {
	shard, err := b.shardOf(guild)
	if err != nil {
		return err
	}
	return b.SendGateway(ctx, shard, discord.OpVoiceStateUpdate, gateway.MessageDataVoiceStateUpdate{
		GuildID: guild, ChannelID: channel, SelfMute: mute, SelfDeaf: deaf,
	})
}

// shardOf returns the shard that a guild is on (events/gateway.mdx, "Sharding").
func (b *Bot) shardOf(guild snowflake.ID) (int, error) {
	n := b.Shards()
	if n == 0 {
		return 0, ErrNotRunning
	}
	return discord.ShardOf(discord.Snowflake(guild), n), nil
}

// MemberQuery says which members RequestMembers asks for: those whose names
// begin with Query, at most Limit (0 for all, which an empty Query needs the
// intent GUILD_MEMBERS for), or those with the given ids, at most 100.
type MemberQuery struct {
	Query     string
	Limit     int
	Users     []snowflake.ID
	Presences bool
}

// errChunksGone means that the answer was pushed out of the journal before it
// was read.
var errChunksGone = errors.New("botnode: the answer's chunks are no longer in the journal; ask for fewer members")

// RequestMembers asks Discord for members of a guild through the gateway, from
// any node, and returns those of all chunks of the answer. The chunks have
// updated the member cache by then.
func (b *Bot) RequestMembers(ctx context.Context, guild snowflake.ID, q MemberQuery) ([]dgo.Member, error) {
	rt, n, err := b.running()
	if err != nil {
		return nil, err
	}
	shard, err := b.shardOf(guild)
	if err != nil {
		return nil, err
	}
	var nonce [12]byte
	_, _ = rand.Read(nonce[:]) // never fails
	w := &chunkWait{rt: rt, n: n, nonce: hex.EncodeToString(nonce[:])}
	w.look(func(bot *fsm.Bot) { w.pos = bot.LastPos })
	ask := map[string]any{"guild_id": guild, "nonce": w.nonce, "limit": q.Limit, "presences": q.Presences}
	if len(q.Users) > 0 {
		ask["user_ids"] = q.Users
	} else {
		ask["query"] = q.Query
	}
	if err := b.SendGateway(ctx, shard, discord.OpRequestGuildMembers, ask); err != nil {
		return nil, err
	}
	return w.wait(ctx)
}

// chunkWait collects the chunks of an answer from the journal, which every node
// has, whichever of them asked Discord.
type chunkWait struct {
	rt    *runtime
	n     *node.Node
	nonce string
	pos   uint64 // of the last entry that was looked at
	seen  int    // chunks
	of    int    // 0 until the first has come
	out   []dgo.Member
}

func (w *chunkWait) look(f func(*fsm.Bot)) {
	_, _ = w.n.View(w.rt.name, func(b *fsm.Bot, _ *cache.Cache) { f(b) })
}

func (w *chunkWait) wait(ctx context.Context) ([]dgo.Member, error) {
	for {
		changed := w.n.Changed()
		if err := w.take(); err != nil {
			return nil, err
		}
		if w.of > 0 && w.seen >= w.of {
			return w.out, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("botnode: %d of the answer's chunks have come: %w", w.seen, context.Cause(ctx))
		}
	}
}

// take reads the chunks that are new.
func (w *chunkWait) take() error {
	var raws [][]byte
	gone := false
	w.look(func(b *fsm.Bot) {
		gone = w.pos+1 < b.RetainedFirst()
		for e := range b.RetainedFrom(w.pos + 1) {
			w.pos = e.Pos
			if e.Type == discord.EventGuildMembersChunk {
				raws = append(raws, e.Raw)
			}
		}
	})
	if gone {
		return errChunksGone
	}
	for _, raw := range raws {
		var chunk struct {
			Nonce   string       `json:"nonce"`
			Count   int          `json:"chunk_count"`
			Members []dgo.Member `json:"members"`
		}
		if err := json.Unmarshal(raw, &chunk); err != nil || chunk.Nonce != w.nonce {
			continue
		}
		w.seen++
		w.of = max(1, chunk.Count)
		w.out = append(w.out, chunk.Members...)
	}
	return nil
}

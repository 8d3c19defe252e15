package botnode

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

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
// updated the member cache by then. Discord answers a request for all members of
// a guild once in 30 s; what it puts off is asked for again when it says.
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
	w.ask = func() error { return b.SendGateway(ctx, shard, discord.OpRequestGuildMembers, ask) }
	return w.wait(ctx)
}

// chunkWait collects the chunks of an answer from the journal, which every node
// has, whichever of them asked Discord.
type chunkWait struct {
	rt    *runtime
	n     *node.Node
	nonce string
	ask   func() error
	retry time.Duration // after which Discord wants to be asked again; 0 if it doesn't
	pos   uint64        // of the last entry that was looked at
	seen  int           // chunks
	of    int           // 0 until the first has come
	out   []dgo.Member
}

func (w *chunkWait) look(f func(*fsm.Bot)) {
	_, _ = w.n.View(w.rt.name, func(b *fsm.Bot, _ *cache.Cache) { f(b) })
}

func (w *chunkWait) wait(ctx context.Context) ([]dgo.Member, error) {
	if err := w.ask(); err != nil {
		return nil, err
	}
	var again <-chan time.Time
	for {
		changed := w.n.Changed()
		if err := w.take(); err != nil {
			return nil, err
		}
		if w.of > 0 && w.seen >= w.of {
			return w.out, nil
		}
		if w.retry > 0 {
			again, w.retry = time.After(w.retry), 0
		}
		select {
		case <-changed:
		case <-again:
			if err := w.ask(); err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("botnode: %d of the answer's chunks have come: %w", w.seen, context.Cause(ctx))
		}
	}
}

// take reads the chunks that are new.
func (w *chunkWait) take() error {
	var raws []*fsm.Entry
	gone := false
	w.look(func(b *fsm.Bot) {
		gone = w.pos+1 < b.RetainedFirst()
		for e := range b.RetainedFrom(w.pos + 1) {
			w.pos = e.Pos
			if e.Type == discord.EventGuildMembersChunk || e.Type == discord.EventRateLimited {
				raws = append(raws, e)
			}
		}
	})
	if gone {
		return errChunksGone
	}
	for _, e := range raws {
		var chunk struct {
			RetryAfter float64 `json:"retry_after"`
			Meta       struct {
				Nonce string `json:"nonce"`
			} `json:"meta"`
			Nonce   string          `json:"nonce"`
			Count   int             `json:"chunk_count"`
			Members json.RawMessage `json:"members"`
		}
		err := json.Unmarshal(e.Raw, &chunk)
		switch {
		case err != nil:
			continue // what can't be read is nobody's answer
		case e.Type == discord.EventRateLimited:
			if chunk.Meta.Nonce == w.nonce {
				w.retry = time.Duration(max(chunk.RetryAfter, 0.1) * float64(time.Second))
			}
			continue
		case chunk.Nonce != w.nonce:
			continue
		}
		var members []dgo.Member
		if err := json.Unmarshal(chunk.Members, &members); err != nil {
			// Not the cause itself: a decoding error quotes the payload.
			return errors.New("botnode: the answer's members do not decode")
		}
		w.seen++
		w.of = max(1, chunk.Count)
		w.out = append(w.out, members...)
	}
	return nil
}

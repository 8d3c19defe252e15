package disgobot

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"sync"
	"time"

	dgo "github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/gateway"
	"github.com/disgoorg/disgo/sharding"
	"github.com/disgoorg/snowflake/v2"

	"github.com/botnode/botnode"
	"github.com/botnode/botnode/discord"
)

// allShards is the shard of a gateway that stands for every shard of the bot.
const allShards = -1

// clusterGateway is a gateway of disgo whose connection the cluster has.
type clusterGateway struct {
	b     *botnode.Bot
	shard int

	mu       sync.Mutex // guards presence
	presence *gateway.MessageDataPresenceUpdate
}

var _ gateway.Gateway = (*clusterGateway)(nil)

func newGateway(b *botnode.Bot, shard int, p *gateway.MessageDataPresenceUpdate) *clusterGateway {
	return &clusterGateway{b: b, shard: shard, presence: p}
}

// ShardID implements gateway.Gateway.
func (g *clusterGateway) ShardID() int { return max(g.shard, 0) }

// ShardCount implements gateway.Gateway.
func (g *clusterGateway) ShardCount() int { return max(g.b.Shards(), 1) }

// SessionID implements gateway.Gateway: the session is the cluster's.
func (g *clusterGateway) SessionID() *string { return nil }

// LastSequenceReceived implements gateway.Gateway: see SessionID.
func (g *clusterGateway) LastSequenceReceived() *int { return nil }

// ResumeURL implements gateway.Gateway: see SessionID.
func (g *clusterGateway) ResumeURL() *string { return nil }

// Intents implements gateway.Gateway.
func (g *clusterGateway) Intents() gateway.Intents { return gateway.Intents(g.b.Intents) }

// Open implements gateway.Gateway. The node connects by itself.
func (g *clusterGateway) Open(context.Context) error { return nil }

// Close implements gateway.Gateway. The session outlives the process.
func (g *clusterGateway) Close(context.Context) {}

// CloseWithCode implements gateway.Gateway: see Close.
func (g *clusterGateway) CloseWithCode(context.Context, int, string) {}

// Status implements gateway.Gateway: ready once the node knows the bot's shards.
func (g *clusterGateway) Status() gateway.Status {
	if g.b.Shards() == 0 {
		return gateway.StatusUnconnected
	}
	return gateway.StatusReady
}

// Latency implements gateway.Gateway: `botnode status` shows it.
func (g *clusterGateway) Latency() time.Duration { return 0 }

// Presence implements gateway.Gateway.
func (g *clusterGateway) Presence() *gateway.MessageDataPresenceUpdate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.presence == nil {
		return nil
	}
	p := *g.presence
	return &p
}

// Send implements gateway.Gateway: to the shard's owner, whichever node that
// is. Payloads of a guild go to the guild's shard.
func (g *clusterGateway) Send(ctx context.Context, op gateway.Opcode, data gateway.MessageData) error {
	shard := g.shard
	switch op {
	case gateway.OpcodePresenceUpdate:
		if p, ok := data.(gateway.MessageDataPresenceUpdate); ok {
			g.mu.Lock()
			g.presence = &p
			g.mu.Unlock()
			data = whole(p)
		}
	case gateway.OpcodeVoiceStateUpdate, gateway.OpcodeRequestGuildMembers:
		var err error
		if shard, err = g.shardOf(data); err != nil {
			return err
		}
	case gateway.OpcodeRequestSoundboardSounds:
		return g.requestSounds(ctx, data)
	default:
		return fmt.Errorf("disgobot: op %d is the node's to send", op)
	}
	return g.b.SendGateway(ctx, shard, discord.Opcode(op), data)
}

// whole fills in what disgo's options leave out. Discord wants a status, and the
// presence is kept: every later session would end by one without it.
func whole(p gateway.MessageDataPresenceUpdate) gateway.MessageDataPresenceUpdate {
	if p.Status == "" {
		p.Status = dgo.OnlineStatusOnline
	}
	if p.Activities == nil {
		p.Activities = []dgo.Activity{}
	}
	return p
}

// shardOf returns the shard of a payload's guild.
func (g *clusterGateway) shardOf(data gateway.MessageData) (int, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return 0, err
	}
	var of struct {
		GuildID snowflake.ID `json:"guild_id"`
	}
	if err := json.Unmarshal(raw, &of); err != nil || of.GuildID == 0 {
		return 0, fmt.Errorf("disgobot: a %T names no guild", data)
	}
	n := g.b.Shards()
	if n == 0 {
		return 0, botnode.ErrNotRunning
	}
	return discord.ShardOf(discord.Snowflake(of.GuildID), n), nil
}

// requestSounds asks each shard for the sounds of its guilds.
func (g *clusterGateway) requestSounds(ctx context.Context, data gateway.MessageData) error {
	req, ok := data.(gateway.MessageDataRequestSoundboardSounds)
	if !ok {
		return fmt.Errorf("disgobot: a %T is no request for sounds", data)
	}
	n := g.b.Shards()
	if n == 0 {
		return botnode.ErrNotRunning
	}
	by := make(map[int][]snowflake.ID)
	for _, guild := range req.GuildIDs {
		shard := discord.ShardOf(discord.Snowflake(guild), n)
		by[shard] = append(by[shard], guild)
	}
	for shard, guilds := range by {
		part := gateway.MessageDataRequestSoundboardSounds{GuildIDs: guilds}
		if err := g.b.SendGateway(ctx, shard, discord.OpRequestSoundboardSounds, part); err != nil {
			return err
		}
	}
	return nil
}

// shardManager is a shard manager of disgo whose shards the cluster runs.
type shardManager struct {
	b *botnode.Bot

	mu     sync.Mutex // guards shards
	shards map[int]*clusterGateway
}

var _ sharding.ShardManager = (*shardManager)(nil)

// Open implements sharding.ShardManager. The nodes connect by themselves.
func (m *shardManager) Open(context.Context) {}

// Close implements sharding.ShardManager. The sessions outlive the process.
func (m *shardManager) Close(context.Context) {}

// OpenShard implements sharding.ShardManager: see Open.
func (m *shardManager) OpenShard(context.Context, int) error { return nil }

// ResumeShard implements sharding.ShardManager: see Open.
func (m *shardManager) ResumeShard(context.Context, int, sharding.ShardState) error { return nil }

// CloseShard implements sharding.ShardManager: see Close.
func (m *shardManager) CloseShard(context.Context, int) {}

// ShardByGuildID implements sharding.ShardManager.
func (m *shardManager) ShardByGuildID(guild snowflake.ID) gateway.Gateway {
	n := m.b.Shards()
	if n == 0 {
		return nil
	}
	return m.Shard(discord.ShardOf(discord.Snowflake(guild), n))
}

// Shard implements sharding.ShardManager.
func (m *shardManager) Shard(id int) gateway.Gateway {
	if id < 0 || id >= m.b.Shards() {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shards == nil {
		m.shards = make(map[int]*clusterGateway)
	}
	if m.shards[id] == nil {
		m.shards[id] = newGateway(m.b, id, nil)
	}
	return m.shards[id]
}

// Shards implements sharding.ShardManager.
func (m *shardManager) Shards() iter.Seq[gateway.Gateway] {
	return func(yield func(gateway.Gateway) bool) {
		for id := range m.b.Shards() {
			if g := m.Shard(id); g != nil && !yield(g) {
				return
			}
		}
	}
}

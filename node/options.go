package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/gateway"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/shard"
	"github.com/botnode/botnode/transport"
)

// Bot is a bot as a node's program and flags describe it.
type Bot struct {
	// Name keys the bot's replicated state; "default" when there is one.
	Name string
	// Token is Discord's token of the bot. It is never logged.
	Token string
	// Seed is the configuration that the bot gets at its first start in the
	// cluster. Later the replicated one holds.
	Seed fsm.Config
	Program
}

// Program is what a bot's code does on one node. Each node needs its own.
type Program struct {
	// Intents seed the bot's intents; 0 means discord.IntentsDefault.
	Intents discord.Intents
	// Interests are the event types that have handlers.
	Interests []fsm.Interest
	// Handlers run journal entries; nil if the program has none.
	Handlers shard.Handlers
	// Schedules are handlers that are run at times.
	Schedules []shard.Schedule
	// OnLive is told when a shard is live on this node after it came to it, and
	// OnGone when it is this node's no more. They must not block. May be nil.
	OnLive func(fsm.ShardKey, shard.Takeover)
	OnGone func(fsm.ShardKey)
	// Close is called once everything else of the node has stopped. May be nil.
	Close func()
	// Lead, if set, is run whenever this node has begun to lead the cluster and
	// the bot is set up. Its context ends with the leadership; it may return
	// before. Of two runs one may be of a leader that doesn't know yet that it
	// is none any more: what may be done only once must be committed.
	Lead func(context.Context, *Node, *zap.Logger)
	// Attach, if set, is given the node after it was made and before it starts,
	// for handlers that read the node's state.
	Attach func(*Node)
}

// Metrics receives measurements of a node's parts; its methods must not block.
type Metrics interface {
	consensus.Metrics
	shard.Metrics
	// Backup tells of the newest backup, the zero time for none, and what came of
	// the newest attempt.
	Backup(last time.Time, bytes int64, err error)
}

// Options configure a node.
type Options struct {
	ID            string
	DataDir       string
	ClusterAddr   string // host:port that the node binds for other nodes
	AdvertiseAddr string // host:port that others reach it under; "" for the bound one
	HTTPAddr      string // host:port of the admin API
	// Bootstrap makes a cluster of one out of a fresh directory.
	Bootstrap bool
	// Join lists cluster addresses of nodes to join, tried in turn.
	Join []string
	// BootstrapExpect makes a cluster as soon as so many of the nodes in Join,
	// this one included, are up and none belongs to a cluster.
	BootstrapExpect int
	// SyncNodes have to be up before the bots start, if none of them runs in the
	// cluster and this node leads it, but for no longer than SyncTimeout.
	SyncNodes   []string
	SyncTimeout time.Duration
	// Weight is the node's share of the shards relative to the others'. Beside
	// nodes that have one, a node of weight 0 gets only shards that no other can
	// have.
	Weight uint32
	// MaxShards bounds the shards that the node is given; 0 is no bound.
	MaxShards uint32
	// Insecure permits plain TCP to other nodes beyond loopback.
	Insecure bool
	// ClusterTLS has the nodes speak TLS on loopback, too. Beyond it they do
	// unless Insecure.
	ClusterTLS bool
	// JoinToken gets this node a certificate when it joins; it implies ClusterTLS.
	JoinToken   string
	Version     string
	Bots        []*Bot
	Compression gateway.Compression
	Timeouts    consensus.Timeouts
	// Memory, if set, takes the place of DataDir: for tests of a bot.
	Memory *Memory
	// Network makes the sockets to other nodes and to Discord; nil is the
	// machine's own. The admin API isn't the node's, and not on it.
	Network transport.Network
	// Workers bounds the handlers that run at a time; 0 for the default.
	Workers        int
	HandlerTimeout time.Duration
	// StopTimeout bounds how long Stop waits for shards to move away.
	StopTimeout time.Duration
	// Backup has the node save backups while it leads.
	Backup BackupOptions
	// HashEvery is how many entries lie between two comparisons of the nodes'
	// states, equal on all nodes; 0 for fsm.DefaultHashEvery. For tests.
	HashEvery uint64
	// Metrics may be nil.
	Metrics Metrics
	Logger  *zap.Logger
	// Fatal is called when the node must not go on: its log can't be written,
	// or its state can't be trusted. The process has to end.
	Fatal func(error)
}

func (o *Options) validate() error {
	if o.ID == "" {
		return errors.New("a node needs an id: give it with --id")
	}
	if o.DataDir == "" && o.Memory == nil {
		return errors.New("a node needs a directory for its state: give it with --data-dir")
	}
	if o.Bootstrap && len(o.Join) > 0 {
		return errors.New("--bootstrap and --join exclude each other: one node is bootstrapped, the others join it")
	}
	if o.BootstrapExpect > 0 && len(o.Join) == 0 {
		return errors.New("--bootstrap-expect needs --join with the addresses of the nodes to wait for")
	}
	names := make(map[string]bool)
	for _, b := range o.Bots {
		if b.Name == "" || names[b.Name] {
			return fmt.Errorf("bot names must be set and differ: %q", b.Name)
		}
		names[b.Name] = true
		if b.Token == "" {
			return errors.New("no bot token: set BOTNODE_TOKEN or DISCORD_TOKEN, or give --token-file")
		}
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 15 * time.Second
	}
	if o.Timeouts == (consensus.Timeouts{}) {
		o.Timeouts = consensus.Fast()
	}
	if o.Fatal == nil {
		o.Fatal = func(err error) { panic(err) }
	}
	return nil
}

// hashLook is how often a leader looks for a hash point: often where they are
// close together.
func (o *Options) hashLook() time.Duration {
	if o.HashEvery > 0 {
		return hashLook / 20
	}
	return hashLook
}

package admin

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/fsm"
)

// Read says how fresh the state is that a read sees.
type Read struct {
	Index  uint64 // applied index of the state that was read
	Stale  bool   // the node has had no answer of a leader of late
	Leader string // id of the leader that the node knows, or ""
}

// Check is one thing that a node needs to be of use.
type Check struct {
	Name    string
	Problem string // what is wrong, "" if nothing is
}

// Backend is the node that the API shows. Its methods are safe for concurrent
// use. Errors are of the sentinels in errors.go, wrapped.
type Backend interface {
	// Status collects what this node and, as far as they answer, the others know.
	Status(ctx context.Context) (Status, error)
	// Live reports whether the node's loops make progress; Ready lists what a
	// node needs to be of use, and what is wrong with each.
	Live() error
	Ready() []Check
	// Freshness says how fresh reads are now.
	Freshness() Read
	// CaughtUp reports whether the node has been in step with its cluster since its
	// process began: before that it may not have what the cluster has. A node in no
	// cluster has nothing to catch up with.
	CaughtUp() bool
	// BotNames returns the bots of the cluster, sorted.
	BotNames() []string
	// Digest returns the digest of the applied state.
	Digest() Digest

	// Join makes this node join the cluster of the node at peer. stage is told
	// of each step that is reached. token is a join token, "" where this node has a
	// certificate or the cluster no TLS.
	Join(ctx context.Context, peer, token string, stage func(string)) (JoinResult, error)
	// Leave hands everything over and removes this node from its cluster.
	Leave(ctx context.Context) error
	// Drain says whether a node is to have no shards.
	Drain(ctx context.Context, id string, on bool) error
	// RemoveNode removes a node that is gone from the cluster; with force also one
	// that is up.
	RemoveNode(ctx context.Context, id string, force bool) error
	// SetVoter promotes or demotes a node.
	SetVoter(ctx context.Context, id string, voter bool) error
	// TransferLeadership moves leadership to a node, "" for any other.
	TransferLeadership(ctx context.Context, to string) error
	// MoveShard moves a shard as planned, keeps it there, and returns when its new
	// owner has it. To "" it may be placed by the cluster again.
	MoveShard(ctx context.Context, bot string, index int, to string) error
	// DisconnectShard takes a shard off Discord without ending its session, waits
	// for its events to be handled, drain at most, and returns what it takes to go
	// on with the session. What is disconnected already is answered alike.
	DisconnectShard(ctx context.Context, bot string, index int, drain time.Duration) (Resume, error)
	// ConnectShard connects a shard that is disconnected or not known yet, and
	// returns it once it is ready, or after a while as it is. With req.Check it
	// only says whether it would be refused.
	ConnectShard(ctx context.Context, bot string, index int, req ConnectRequest) (Shard, error)
	// ImportShard puts guilds into the caches that a shard brings which is not
	// connected yet.
	ImportShard(ctx context.Context, bot string, index, of int, evs []fsm.Imported) error
	// Takeover is MoveShard for all shards of a bot.
	Takeover(ctx context.Context, bot, to string) error

	// Sync makes the reads that follow linearizable: it returns once this node
	// has applied everything that was committed before the call.
	Sync(ctx context.Context) error
	// View reads a bot's state; ErrUnknownBot if there is none. f must be
	// quick; the byte slices that it gets from caches may be kept.
	View(bot string, f func(b *fsm.Bot, c *cache.Cache)) (Read, error)
	// Changed is closed after the next change of the state.
	Changed() <-chan struct{}

	// WriteKV writes or deletes a key; ifVersion nil means unconditionally. It
	// returns the version that the key has now.
	WriteKV(ctx context.Context, bot, key string, value []byte, del bool, ifVersion *uint64) (uint64, error)
	// DeadLetter retries or drops a dead letter.
	DeadLetter(ctx context.Context, bot string, pos uint64, retry bool) error
	// Configure replaces a bot's configuration if its revision is still rev.
	Configure(ctx context.Context, bot string, rev uint64, config json.RawMessage) (uint64, error)
	// CreateClientKey makes a key for clients of the proxy and returns it: the
	// state keeps its hash alone, so nobody can read it again.
	CreateClientKey(ctx context.Context, bot, name string, rights fsm.Rights) (key string, err error)
	// RevokeClientKey makes a key worthless and ends the sessions that were opened
	// with it.
	RevokeClientKey(ctx context.Context, bot, name string) error
	// CreateJoinToken makes a join token that holds for a while and returns it: the
	// state keeps its hash alone.
	CreateJoinToken(ctx context.Context, life time.Duration) (text string, t JoinToken, err error)
	// JoinTokens lists the join tokens, without the tokens themselves.
	JoinTokens() []JoinToken
	// RevokeJoinToken makes a join token worthless.
	RevokeJoinToken(ctx context.Context, id string) error
	// AdminRight returns the right of an admin token, if the cluster has it as far
	// as this node knows.
	AdminRight(token string) (right fsm.AdminRight, ok bool)
	// HasAdminTokens reports whether the cluster has any admin tokens.
	HasAdminTokens() bool
	// AdminTokens lists the admin tokens, without the tokens themselves.
	AdminTokens() []Token
	// CreateAdminToken makes an admin token and returns it: the state keeps its
	// hash alone. A life of 0 is one without end.
	CreateAdminToken(ctx context.Context, name string, right fsm.AdminRight, life time.Duration) (Token, error)
	// RevokeAdminToken makes an admin token worthless.
	RevokeAdminToken(ctx context.Context, name string) error
	// BotToken says whether the cluster has a bot's Discord token.
	BotToken(bot string) BotToken
	// SetBotToken puts a bot's token into the replicated state, encrypted.
	SetBotToken(ctx context.Context, bot, token string) error
	// DropBotToken takes it out.
	DropBotToken(ctx context.Context, bot string) error
	// TLS shows what the nodes prove themselves with.
	TLS() TLS
	// RotateTLS begins the replacement of the cluster's keys.
	RotateTLS(ctx context.Context) error
	// BackupKey returns the key that opens the cluster's backups.
	BackupKey() (string, error)
	// Examine has every node examine itself: its disk, its clock, whom it reaches.
	Examine(ctx context.Context) []Examination
	// SaveSnapshot writes a backup of the applied state.
	SaveSnapshot(ctx context.Context, w io.Writer) error
	// RestoreSnapshot replaces the state of the whole cluster by that of a backup,
	// in a new generation. Nothing changes before all of the backup was verified.
	RestoreSnapshot(ctx context.Context, from io.Reader, o RestoreOptions) (RestoreResult, error)
}

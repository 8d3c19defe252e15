package fsm

import (
	"fmt"
	"strconv"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/internal/mutant"
)

// NodeRef names one life of a node's process: its id and its incarnation. The
// zero NodeRef means nobody.
type NodeRef struct {
	ID  string
	Inc uint64
}

// None reports whether r names nobody.
func (r NodeRef) None() bool { return r.ID == "" }

// String returns id#incarnation, or "none".
func (r NodeRef) String() string {
	if r.None() {
		return "none"
	}
	return r.ID + "#" + strconv.FormatUint(r.Inc, 10)
}

// ShardKey names a shard of a layout: shard Index of Layout shards in all.
type ShardKey struct {
	Layout uint32
	Index  uint32
}

// String returns index/layout.
func (k ShardKey) String() string { return fmt.Sprintf("%d/%d", k.Index, k.Layout) }

func (k ShardKey) less(o ShardKey) bool {
	if k.Layout != o.Layout {
		return k.Layout < o.Layout
	}
	return k.Index < o.Index
}

// Node is what the cluster agrees on about one of its nodes.
type Node struct {
	Inc      uint64 // of its newest process; 0 until one registers in this generation
	Up       bool   // false once that process is known to be dead
	Draining bool   // gets no shards
	Enlisted bool   // its process belongs to the cluster's present run; see Enlist
	// Weight and MaxShards are as Up carries them.
	Weight, MaxShards uint32
}

// Shard is one gateway session and who owns it.
type Shard struct {
	Key   ShardKey
	Epoch uint64  // rises with every Grant, never falls within a generation
	Owner NodeRef // the one node that may propose events of this shard
	// From and Why say how the owner came to it, for OnStart and the status.
	From NodeRef
	Why  Why
	SID  string // session id, "" while there is none
	URL  string // resume URL of the session
	C    int64  // committed sequence: all events of SID with s <= C are applied, none above
	// Sessions counts the sessions that the shard has had. A READY follows from
	// the number at its IDENTIFY.
	Sessions uint64
	// Parked: an operator has disconnected the shard. Nobody owns it until one
	// connects it again.
	Parked bool
	// Intents are those with which SID, or the last session, was begun.
	Intents uint64
	// Planned: Reidentify has ended the last session, and READY hasn't come yet.
	Planned bool
	// Pin is the node that an operator wants the shard on, "" for none, and
	// PinWhy what a move there is called.
	Pin    string
	PinWhy Why

	pending *pendingTree // entries with handlers left, by position
}

// Why says for what reason a shard changed its owner.
type Why uint8

// The reasons for a Grant.
const (
	WhyNormal   Why = iota // the shard had no owner
	WhyFailover            // the owner died or fell silent
	WhyTakeover            // an operator or fail-back moved the bot
	WhyHandoff             // a planned move of one shard
)

// String returns the reason's name.
func (w Why) String() string {
	switch w {
	case WhyNormal:
		return "normal"
	case WhyFailover:
		return "failover"
	case WhyTakeover:
		return "takeover"
	case WhyHandoff:
		return "handoff"
	}
	return "unknown"
}

// PermitHolder is who may write one IDENTIFY under a concurrency key.
type PermitHolder struct {
	Shard ShardKey
	Epoch uint64
	Ask   uint64 // the owner's number of the request that this permit answers
}

// permit is the newest permit of a key. Its holder is remembered after it was
// cleared, so that a late repeat of the same Permit does nothing, and so that
// a leader notices a key that was used between two looks.
type permit struct {
	PermitHolder
	Held bool
}

// IdentifyBudget is Discord's session start limit as the leader last read it,
// less the permits given since.
type IdentifyBudget struct {
	Remaining, Limit, MaxConcurrency int
}

// GapRecord is a stretch of events that Discord may have withheld.
type GapRecord struct {
	Shard ShardKey
	// Kind is "session" (a new session replaced one), "planned" (so
	// did one on purpose), "jump" (numbers jumped after
	// RESUME), "elsewhere" (another cluster had the session meanwhile) or "state"
	// (a session came without the guilds that it had).
	Kind     string
	From, To int64 // sequences on both sides; To is 0 where the session changed
	At       int64 // Unix milliseconds by the proposer's clock
}

// maxGaps bounds the gap records that are kept; GapCount goes on counting.
const maxGaps = 1000

// Bot is the state of one bot.
type Bot struct {
	Name      string
	Config    Config
	ConfigRev uint64
	// Sweeps counts the steps that changes of cache policies have taken.
	Sweeps uint64
	// Layout is the shard count in force, 0 until it is known.
	Layout uint32
	// interests says which event types the journal takes, and the handlers of
	// owners that registered no program.
	interests handlerTable
	// InterestsRev counts the lists of interests that were in force.
	InterestsRev uint64
	LastPos      uint64 // position of the newest journal entry; never reused
	Budget       IdentifyBudget
	permits      map[uint32]permit // by concurrency key
	shards       map[ShardKey]*Shard
	Gaps         []GapRecord
	GapCount     uint64
	// PinRev counts the changes of pins by operators.
	PinRev      uint64
	journal     journal
	kv          kvStore
	cache       *cache.Cache
	ticks       map[string]int64 // the newest time of each schedule
	locks       map[string]LockState
	fence       uint64 // that of the newest acquisition of a lock
	presences   map[uint32]presence
	presenceRev uint64
	clients     clients // of the proxy
	// interactions are those that clients may answer without a key.
	interactions interactions
	// Application is the raw object that the newest READY named the bot's
	// application by; nil before the first one. Nobody changes its bytes.
	Application []byte
}

// State is everything that is replicated. It is not safe for concurrent use:
// Machine adds the lock.
type State struct {
	// Mutant takes guards out; zero outside the model's tests.
	Mutant mutant.Set

	ClusterID  string
	Generation uint64 // rises with every restore and recovery
	Rules      uint64 // selects the effect of commands that have changed since
	nodes      map[string]*Node
	bots       map[string]*Bot
	programs   map[NodeRef]handlersByBot // of the processes in force, and of those about to come
	trust      Trust
	agreed     HashPoint

	// clientsRev counts what may have ended a client's session or given it to
	// another connection. It is this node's own: neither replicated nor saved.
	clientsRev uint64

	adminTokens AdminTokens
	botTokens   botTokens

	changes *Changes // what the entry being applied does to journals; never nil
	kept    bool     // something refers to the bytes of the entry being applied
}

// NewState returns the state before the first entry.
func NewState() *State {
	return &State{
		Generation: 1,
		Rules:      1,
		nodes:      make(map[string]*Node),
		bots:       make(map[string]*Bot),
		programs:   make(map[NodeRef]handlersByBot),
		trust:      newTrust(),

		adminTokens: AdminTokens{byName: make(map[string]AdminToken)},
		botTokens:   botTokens{byBot: make(map[string]BotToken)},

		changes: new(Changes),
	}
}

func newBot(name string) *Bot {
	return &Bot{
		Name:      name,
		interests: make(handlerTable),
		permits:   make(map[uint32]permit),
		shards:    make(map[ShardKey]*Shard),
		journal:   newJournal(),
		kv:        newKVStore(),
		ticks:     make(map[string]int64),
		locks:     make(map[string]LockState),
		presences: make(map[uint32]presence),
		clients:   newClients(),

		interactions: newInteractions(),
	}
}

// node returns the node that ref names if that process is up, or nil.
func (s *State) node(ref NodeRef) *Node {
	n := s.nodes[ref.ID]
	if n == nil || !n.Up || n.Inc != ref.Inc {
		return nil
	}
	return n
}

// Common refusals.
var (
	noBot   = refused("no such bot")
	noShard = refused("no such shard")
	noNode  = refused("no such node, or its process is not up")
)

// shard finds a bot's shard.
func (s *State) shard(bot string, k ShardKey) (*Bot, *Shard, Result) {
	b := s.bots[bot]
	if b == nil {
		return nil, nil, noBot
	}
	sh := b.shards[k]
	if sh == nil {
		return b, nil, noShard
	}
	return b, sh, Result{}
}

// inForce reports whether an owner may speak under an epoch: that of a parked
// shard was given to nobody, and once an owner is gone nothing says which
// handlers the events of its program would have. What it had not committed comes
// to the next owner.
func (sh *Shard) inForce(epoch uint64) bool {
	return sh.Epoch == epoch && !sh.Parked && !sh.Owner.None()
}

func (sh *Shard) fenced() Result { return Result{Code: Fenced, Epoch: sh.Epoch, C: sh.C} }

func (sh *Shard) ok() Result { return Result{Code: OK, Epoch: sh.Epoch, C: sh.C} }

package shard

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/gateway"
	"github.com/botnode/botnode/fsm"
)

// ErrTooLarge is in a Proposer's error about a command that no log takes.
var ErrTooLarge = errors.New("too large for the log")

// Proposer brings commands to the leader.
type Proposer interface {
	// Submit blocks while too much waits. done is called once; ErrTooLarge means that
	// the command never was and never will be taken, any other error that the outcome is
	// unknown.
	Submit(cmd []byte, done func(res []byte, err error))
	// Lead proposes to this node's own log and nowhere else, and only while it
	// leads in term: what one leader decides is not for its successor to carry
	// out. Commands are appended in the order of calls; wait brings the outcome.
	Lead(term uint64, cmd []byte) (wait func(ctx context.Context) ([]byte, error))
}

// Cluster is what the package needs of consensus and of the other nodes.
type Cluster interface {
	// Leader returns the id of the leader that this node knows.
	Leader() (id string, known bool)
	// Verify returns nil if this node still led in a term after the call began.
	Verify(ctx context.Context, term uint64) error
	// Call sends a message to HandleMessage of a node.
	Call(ctx context.Context, id string, msg []byte) ([]byte, error)
}

// GatewayInfo is Discord's answer to Get Gateway Bot (events/gateway.mdx).
type GatewayInfo struct {
	URL            string
	Shards         int
	Remaining      int
	Limit          int
	MaxConcurrency int
}

// BotOptions are what a node knows of a bot besides its replicated state.
type BotOptions struct {
	Name string
	// Token returns the bot's token as it is now, "" while there is none.
	Token func() string
	// GatewayURL returns the general address of Discord's gateway.
	GatewayURL func(ctx context.Context) (string, error)
	// Info asks Discord for the bot's gateway and its session start limit. An
	// error wraps ErrAnswered where Discord was reached.
	Info func(ctx context.Context) (GatewayInfo, error)
	// Compression of gateway connections.
	Compression gateway.Compression
	// Dial replaces the TCP dial of gateway connections if it is set.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Handlers run journal entries; nil if the program has none.
	Handlers Handlers
	// Schedules are those of Handlers that are run at times.
	Schedules []Schedule
	// OnLive is told when a shard is live on this node after it came to it, and
	// OnGone when it isn't this node's any more. They must not block. May be nil.
	OnLive func(fsm.ShardKey, Takeover)
	OnGone func(fsm.ShardKey)
}

// Options configure a Manager.
type Options struct {
	Self     fsm.NodeRef
	Machine  *fsm.Machine
	Proposer Proposer
	Cluster  Cluster
	Timing   Timing
	Bots     []*BotOptions
	// SyncNodes have to be up before this node, if it leads, has the bots start
	// in a cluster where none of them runs, but for no longer than SyncTimeout.
	SyncNodes   []string
	SyncTimeout time.Duration
	// Workers bounds the handlers that run at a time. Default 256.
	Workers int
	// HandlerTimeout bounds one handler. Default 30 s.
	HandlerTimeout time.Duration
	// Metrics may be nil.
	Metrics Metrics
	Logger  *zap.Logger
}

// Stats count what a node has done since it started. What its operator wants to
// see of that, and more, goes to Metrics.
type Stats struct {
	Identifies atomic.Uint64
	Started    atomic.Uint64 // entries whose handlers began, each attempt
}

// Manager runs a node's part of the ownership protocol: a runner for each
// shard that this node has had to do with, the dispatcher, the requests for
// freshness, and the leader's rules while this node leads.
type Manager struct {
	o     Options
	log   *zap.Logger
	bots  map[string]*BotOptions
	start time.Time
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup
	stats Stats
	lead  *leaderLoop
	disp  *dispatcher
	locks *lockTable

	fresh   atomic.Int64 // Time until which this node is fresh
	quiet   atomic.Bool  // it never is any more
	waiting atomic.Pointer[[]string]
	leaving atomic.Bool
	started atomic.Bool // the log that is replayed before need not be kept

	mu      sync.RWMutex // guards what follows
	runners map[fsm.ShardRef]*runner
	stopped bool
}

// NewManager makes a manager and has it observe the machine. It must be made
// before the first entry is applied.
func NewManager(o Options) *Manager {
	if o.Timing == (Timing{}) {
		o.Timing = DefaultTiming()
	}
	if o.Workers <= 0 {
		o.Workers = 256
	}
	if o.HandlerTimeout <= 0 {
		o.HandlerTimeout = 30 * time.Second
	}
	if o.Metrics == nil {
		o.Metrics = noMetrics{}
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	m := &Manager{
		o: o, log: o.Logger, start: time.Now(),
		bots:    make(map[string]*BotOptions),
		runners: make(map[fsm.ShardRef]*runner),
	}
	m.ctx, m.stop = context.WithCancel(context.Background())
	for _, b := range o.Bots {
		m.bots[b.Name] = b
	}
	m.lead = newLeaderLoop(m)
	m.disp = newDispatcher(m)
	m.locks = newLockTable(m)
	o.Machine.Observe(m)
	return m
}

// Start starts the manager's goroutines.
func (m *Manager) Start() {
	m.wg.Go(m.freshLoop)
	m.wg.Go(m.lead.run)
	m.wg.Go(m.disp.run)
	m.wg.Go(m.locks.run)
	m.started.Store(true)
	m.Restored(0)
}

// Stop drops all connections without ending their sessions, cancels handlers
// and waits for every goroutine.
func (m *Manager) Stop() {
	m.mu.Lock()
	m.stopped = true
	m.mu.Unlock()
	m.stop()
	m.wg.Wait()
}

// now is this node's monotonic time.
func (m *Manager) now() Time { return time.Since(m.start) + time.Hour }

// Stats returns the counters.
func (m *Manager) Stats() *Stats { return &m.stats }

// Applied implements fsm.Observer.
func (m *Manager) Applied(index uint64, c fsm.Changes) {
	started := m.started.Load() // before that, Start has everybody look
	for _, ref := range c.Shards {
		if r := m.known(ref); r != nil {
			r.touch()
		} else if c.Topology && started {
			m.disp.mail.push(dispatchInput{granted: &ref})
		}
	}
	if started && len(c.Added)+len(c.Altered)+len(c.Removed) > 0 {
		m.disp.mail.push(dispatchInput{changes: &c, index: index})
	}
	if c.Topology || c.Locks {
		m.locks.poke()
	}
	if c.Sweep {
		m.lead.poke()
	}
	if c.Topology {
		m.touchAll() // a new budget changes the identify key of every shard
		m.hurry()
		m.lead.poke()
	}
}

// Restored implements fsm.Observer.
func (m *Manager) Restored(uint64) {
	m.disp.mail.push(dispatchInput{restored: true})
	m.locks.poke()
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, r := range m.runners {
		r.touch()
	}
	m.lead.poke()
}

func (m *Manager) known(ref fsm.ShardRef) *runner {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.runners[ref]
}

// runner returns a shard's runner, which it makes and starts at need. It
// returns nil for a bot that this node's program doesn't have, and once the
// manager stops.
func (m *Manager) runner(ref fsm.ShardRef) *runner {
	if r := m.known(ref); r != nil {
		return r
	}
	bot := m.bots[ref.Bot]
	if bot == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.runners[ref]; r != nil || m.stopped {
		return r
	}
	r := newRunner(m, bot, ref)
	m.runners[ref] = r
	m.wg.Go(r.run)
	r.mail.poke()
	return r
}

// view reads a shard's applied state.
func (m *Manager) view(ref fsm.ShardRef) (v View, ok bool) {
	m.o.Machine.View(func(_ uint64, s *fsm.State) {
		b := s.Bot(ref.Bot)
		if b == nil {
			return
		}
		sh, found := b.Shard(ref.Shard)
		if !found {
			return
		}
		ok = true
		v = View{
			Generation: s.Generation, Epoch: sh.Epoch, Owner: sh.Owner, SID: sh.SID, URL: sh.URL, C: sh.C, Sessions: sh.Sessions,
			Why: sh.Why, From: sh.From, Key: identifyKey(b, sh.Key), ConfigRev: b.ConfigRev, Intents: b.Config.Intents,
		}
		v.Permit, v.HasPermit = b.Permit(v.Key)
	})
	return v, ok
}

// identify says what a shard's IDENTIFY carries. READY will say which intents
// those were, so they are not read a second time.
func (m *Manager) identify(ref fsm.ShardRef, intents uint64) (p gateway.Identify) {
	m.o.Machine.View(func(_ uint64, s *fsm.State) {
		if b := s.Bot(ref.Bot); b != nil {
			p = identifyOf(b, ref.Shard)
		}
	})
	p.Intents = discord.Intents(intents)
	return p
}

// submit proposes a command. A malformed answer counts as unknown.
func (m *Manager) submit(cmd []byte, done func(fsm.Result, error)) {
	m.o.Proposer.Submit(cmd, func(b []byte, err error) {
		if err != nil {
			done(fsm.Result{}, err)
			return
		}
		done(fsm.DecodeResult(b))
	})
}

// leadSubmit is submit for decisions of this node as the leader of term. It is
// called on goroutines of the manager only.
func (m *Manager) leadSubmit(term uint64, cmd []byte, done func(fsm.Result, error)) {
	wait := m.o.Proposer.Lead(term, cmd)
	m.wg.Go(func() {
		b, err := wait(m.ctx)
		if err != nil {
			done(fsm.Result{}, err)
			return
		}
		done(fsm.DecodeResult(b))
	})
}

// Killed records the confirmed death of a node's process.
func (m *Manager) Killed(ref fsm.NodeRef) { m.lead.death(ref, true) }

// Alive takes Killed back: the process has answered since.
func (m *Manager) Alive(ref fsm.NodeRef) { m.lead.death(ref, false) }

// SetLeadership says whether this node leads a term whose Barrier has
// succeeded.
func (m *Manager) SetLeadership(term uint64, established bool) { m.lead.set(term, established) }

// SetLeaving asks the leader to move this node's shards away, as before a stop.
func (m *Manager) SetLeaving(on bool) { m.leaving.Store(on) }

// TokenReplaced has a bot's shards try again that Discord refused: Token returns
// another one now.
func (m *Manager) TokenReplaced(bot string) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for ref, r := range m.runners {
		if ref.Bot == bot {
			r.mail.push(Restart{})
		}
	}
	m.lead.poke()
}

// Idle reports whether this node owns no shard and runs no entry.
func (m *Manager) Idle() bool {
	idle := true
	m.o.Machine.View(func(_ uint64, s *fsm.State) {
		for _, name := range s.BotNames() {
			for _, sh := range s.Bot(name).Shards() {
				idle = idle && sh.Owner != m.o.Self && sh.RunBy(m.o.Self) == 0
			}
		}
	})
	return idle
}

// Status returns what this node knows of the shards that it has had to do with.
func (m *Manager) Status() map[fsm.ShardRef]Status {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := make(map[fsm.ShardRef]Status, len(m.runners))
	for ref, r := range m.runners {
		out[ref] = *r.status.Load()
	}
	return out
}

// Moving reports whether a planned move is under way; only the leader knows.
func (m *Manager) Moving(bot string, k fsm.ShardKey) (moving bool) {
	_ = m.lead.with(func(l *Leader) error {
		moving = l.Moving(bot, k)
		return nil
	})
	return moving
}

// errStopping is the cause of cancelled work when the node stops.
var errStopping = errors.New("the node is stopping")

// touchAll has every runner read its shard's state again.
func (m *Manager) touchAll() {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, r := range m.runners {
		r.touch()
	}
}

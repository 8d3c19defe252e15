package shard

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/gateway"
	"github.com/botnode/botnode/fsm"
)

// bufferBytes is how much a shard may have read and not committed before it
// stops reading from its socket.
const bufferBytes = 8 << 20

// runner carries out one Owner's actions. Its goroutine is the only one that
// touches the Owner.
type runner struct {
	m   *Manager
	bot *BotOptions
	ref fsm.ShardRef
	log *zap.Logger
	ctx context.Context

	owner  *Owner
	events chan Input       // from the connection; bounded: its fullness is the back-pressure
	mail   *mailbox[Input]  // from everybody else
	wg     sync.WaitGroup   // the goroutines that the runner started
	link   *link            // the connection of owner.conn, or nil
	takes  takeoverRecorder // measures how long the shard was without events

	latency atomic.Int64  // of the last heartbeat, in nanoseconds
	read    atomic.Uint64 // events read from the socket
	moved   atomic.Bool   // the applied state of the shard may have changed
	status  atomic.Pointer[Status]
	beat    atomic.Pointer[heartbeat]
	failure atomic.Pointer[string] // why Discord refused the bot for good
	conn    atomic.Pointer[gateway.Conn]

	shown   []byte          // the presence that the session shows, as far as is known
	showing <-chan struct{} // closed when the newest presence was sent; nil before the first
	here    bool            // OnLive was told of the shard, and OnGone was not yet
}

// link is a connection or an attempt at one.
type link struct {
	id   uint64
	stop context.CancelFunc
	gone chan struct{}
	conn atomic.Pointer[gateway.Conn]
}

// heartbeat is the sequence that a connection's heartbeats carry now.
type heartbeat struct {
	conn uint64
	seq  int64
	ok   bool
}

// Status is what a node knows of a shard that it runs.
type Status struct {
	Phase    Phase
	Mine     bool
	Buffered int
	Latency  time.Duration
	Read     uint64
	Fatal    string
	Takeover *Takeover
}

func newRunner(m *Manager, bot *BotOptions, ref fsm.ShardRef) *runner {
	r := &runner{
		m: m, bot: bot, ref: ref, ctx: m.ctx,
		log: m.log.With(zap.String("bot", ref.Bot), zap.Uint32("shard", ref.Shard.Index)),
		owner: &Owner{
			Bot: ref.Bot, Shard: ref.Shard, Self: m.o.Self, Timing: m.o.Timing, Rand: rand.Float64,
		},
		events: make(chan Input, 1024),
		mail:   newMailbox[Input](),
	}
	r.status.Store(&Status{})
	r.beat.Store(&heartbeat{})
	r.moved.Store(true)
	return r
}

// touch tells the runner that the applied state of its shard has changed.
func (r *runner) touch() {
	r.moved.Store(true)
	r.mail.poke()
}

func (r *runner) fatal(c gateway.Closure) {
	why := c.Cause
	if c.Code != 0 {
		why = c.Code.String()
	}
	r.failure.Store(&why)
	r.log.Error("discord refuses the bot; it stays stopped until its token or configuration changes",
		zap.Int("close_code", int(c.Code)), zap.String("code", "bot_refused"))
}

func (r *runner) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		r.schedule(timer)
		events := r.events
		if r.owner.BufferedBytes() > bufferBytes {
			events = nil
		}
		select {
		case <-r.ctx.Done():
			r.unlink(false)
			r.left()
			r.wg.Wait()
			return
		case <-r.mail.wake:
			r.refresh()
			for _, in := range r.mail.take() {
				r.step(in)
			}
		case in := <-events:
			r.refresh()
			r.step(in)
			r.drain()
		case <-timer.C:
			r.refresh()
			r.step(Tick{})
		}
		r.publish()
	}
}

// drain takes what else has been read, so that status and timers are not
// worked out for every event.
func (r *runner) drain() {
	for range cap(r.events) {
		if r.owner.BufferedBytes() > bufferBytes {
			return
		}
		select {
		case in := <-r.events:
			r.step(in)
		default:
			return
		}
	}
}

func (r *runner) schedule(timer *time.Timer) {
	now := r.m.now()
	wait := time.Second
	if at, ok := r.owner.Deadline(now); ok {
		wait = min(wait, max(at-now, 0))
	}
	timer.Reset(wait)
}

// refresh gives the owner the applied state, if it may have changed.
func (r *runner) refresh() {
	r.owner.SetFresh(r.m.freshUntil())
	if !r.moved.Swap(false) {
		return
	}
	v, ok := r.m.view(r.ref)
	if !ok {
		return
	}
	r.takes.applied(r.m.now(), v, r.m.o.Self, r.owner.Phase())
	r.step(Applied{View: v, FreshUntil: r.m.freshUntil()})
	if v.Owner != r.m.o.Self {
		r.left()
	}
	r.showPresence()
}

func (r *runner) step(in Input) {
	before := r.owner.Phase()
	for _, a := range r.owner.Step(r.m.now(), in) {
		r.perform(a)
	}
	if _, ok := in.(EventRead); ok && r.takes.waiting() {
		r.takes.event(r.m.now())
	}
	if after := r.owner.Phase(); after != before {
		r.log.Debug("shard connection changed", zap.Stringer("phase", after))
		if after == Live {
			if t := r.takes.live(r.m.now(), r.log); t != nil {
				r.m.o.Metrics.TookOver(r.ref.Bot, t.Why.String(), t.Gap, t.Replayed)
				r.arrived(*t)
			}
			r.failure.Store(nil)
			r.showPresence()
		}
	}
}

// arrived and left tell the program whether the shard is this node's.
func (r *runner) arrived(t Takeover) {
	r.left() // it may have been away between two looks
	if r.here = true; r.bot.OnLive != nil {
		r.bot.OnLive(r.ref.Shard, t)
	}
}

func (r *runner) left() {
	if r.here && r.bot.OnGone != nil {
		r.bot.OnGone(r.ref.Shard)
	}
	r.here = false
}

func (r *runner) perform(a Action) {
	switch a := a.(type) {
	case Dial:
		r.dial(a)
	case Drop:
		r.unlink(a.End)
	case Resume:
		r.log.Info("resuming session", zap.Int64("seq", a.Seq))
		r.met(GatewayResume)
		r.shown = nil // what it shows is not known here
		r.speak(func(c *gateway.Conn) { c.Resume(a.SID, a.Seq) })
	case Identify:
		r.log.Info("identifying")
		r.m.stats.Identifies.Add(1)
		r.met(GatewayIdentify)
		id := r.m.identify(r.ref, a.Intents)
		r.shown = id.Presence
		r.speak(func(c *gateway.Conn) { c.Identify(id) })
	case Propose:
		id := a.ID
		r.m.submit(fsm.Encode(a.Generation, a.Cmd), func(res fsm.Result, err error) {
			large := errors.Is(err, ErrTooLarge)
			if large {
				r.tooLarge(a.Cmd, err)
			}
			r.mail.push(Answered{ID: id, Unknown: err != nil && !large, TooLarge: large, Result: res})
		})
	case AskPermit:
		r.tell("", message{Kind: msgAsk, Key: a.Key, Epoch: a.Epoch, Ask: a.Ask})
	case Prepared:
		r.tell("", message{Kind: msgPrepared, Epoch: a.Epoch})
	case Stranded:
		if !a.Again {
			r.log.Warn("this node doesn't reach Discord's gateway; if another one does the shard goes there",
				zap.String("code", "shard_stranded"), zap.Duration("after", r.m.o.Timing.Unreached))
		}
		r.tell("", message{Kind: msgStranded, Epoch: a.Epoch})
	case Released:
		r.tell(a.To.ID, message{Kind: msgReleased, Epoch: a.Epoch})
	}
}

// tell sends a message about the shard to a node, or to the leader where to is
// "". Whoever needs it to arrive asks again.
func (r *runner) tell(to string, msg message) {
	msg.Bot, msg.Shard = r.ref.Bot, r.ref.Shard
	r.wg.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, messageTimeout)
		defer cancel()
		if _, err := r.m.send(ctx, to, msg); err != nil && r.ctx.Err() == nil {
			r.log.Debug("message not delivered", zap.String("kind", msg.Kind), zap.Error(err))
		}
	})
}

func (r *runner) speak(f func(*gateway.Conn)) {
	if r.link != nil {
		if c := r.link.conn.Load(); c != nil {
			f(c)
		}
	}
}

// unlink lets go of the connection, and ends its session if asked.
func (r *runner) unlink(end bool) {
	if r.link == nil {
		return
	}
	l := r.link
	r.link = nil
	r.conn.Store(nil)
	close(l.gone)
	l.stop()
	switch c := l.conn.Load(); {
	case c == nil:
	case end:
		c.CloseSession()
	default:
		c.Drop()
	}
}

func (r *runner) dial(a Dial) {
	ctx, stop := context.WithCancel(r.ctx)
	l := &link{id: a.Conn, stop: stop, gone: make(chan struct{})}
	r.link = l
	s := &sink{r: r, conn: a.Conn, gone: l.gone}
	r.wg.Go(func() {
		defer stop()
		c, err := r.connect(ctx, a.URL, s)
		if err != nil {
			if ctx.Err() == nil {
				r.met(GatewayUnreachable)
				r.log.Warn("gateway not reached; trying again", zap.String("code", "gateway_unreachable"), zap.Error(err))
			}
			s.push(Closed{Conn: a.Conn, Verdict: discord.VerdictResume})
			return
		}
		l.conn.Store(c)
		if ctx.Err() != nil {
			c.Drop() // dropped while it was being dialled
		} else {
			r.conn.Store(c)
		}
		r.wg.Go(func() { r.verifyMembers(ctx, c) })
		c.Run()
	})
}

func (r *runner) connect(ctx context.Context, url string, s *sink) (*gateway.Conn, error) {
	if url == "" {
		var err error
		if url, err = r.bot.GatewayURL(ctx); err != nil {
			return nil, err
		}
	}
	token := r.bot.Token()
	if token == "" {
		return nil, errors.New("this node has no token of the bot")
	}
	s.token = sha256.Sum256([]byte(token))
	return gateway.Dial(ctx, gateway.Options{
		URL: url, Compression: r.bot.Compression, Token: token, Sink: s, NetDial: r.bot.Dial,
		Seq: func() (int64, bool) {
			hb := r.beat.Load()
			return hb.seq, hb.ok && hb.conn == s.conn
		},
		Logger: r.log,
	})
}

// met reports what happened to a connection.
func (r *runner) met(what string) { r.m.o.Metrics.Gateway(r.ref.Bot, what) }

func (r *runner) publish() {
	st := Status{
		Phase: r.owner.Phase(), Mine: r.owner.Mine(), Buffered: r.owner.BufferedEvents(),
		Latency: time.Duration(r.latency.Load()), Read: r.read.Load(), Takeover: r.takes.last,
	}
	if n := st.Read - r.status.Load().Read; n > 0 {
		r.m.o.Metrics.EventsRead(r.ref.Bot, n)
	}
	if f := r.failure.Load(); f != nil {
		st.Fatal = *f
	}
	hb := heartbeat{conn: r.owner.conn.id}
	hb.seq, hb.ok = r.owner.HeartbeatSeq(hb.conn)
	if *r.beat.Load() != hb {
		r.beat.Store(&hb)
	}
	if old := r.status.Load(); *old != st {
		r.status.Store(&st)
	}
}

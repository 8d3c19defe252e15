package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/jsonscan"
	"github.com/botnode/botnode/internal/tries"
)

// leavingWait is how long an IDENTIFY or RESUME waits at a node that will not be
// able to answer it, and refusedWait how long the cluster's refusal takes to reach a
// client, which is likely to try again.
const (
	leavingWait = time.Second
	refusedWait = 2 * time.Second
)

// identifyData is the d of an op 2 (events/gateway-events.mdx, "Identify"). That
// a payload be compressed by itself may be ignored, so compress isn't read.
type identifyData struct {
	Token          string          `json:"token"`
	Intents        *int64          `json:"intents"`
	Shard          []int64         `json:"shard"`
	LargeThreshold int             `json:"large_threshold"`
	Presence       json.RawMessage `json:"presence"`
}

// identify answers op 2.
func (c *conn) identify(d []byte) {
	var p identifyData
	if json.Unmarshal(d, &p) != nil {
		c.end(closing(discord.CloseDecodeError, "the d of IDENTIFY doesn't have the shape that it must have"))
		return
	}
	shard, shards, refusal := checkShard(p.Shard)
	if refusal != nil {
		c.end(refusal)
		return
	}
	c.phase = opening
	c.s.door.busy(c.seat, true)
	c.beside(func(ctx context.Context) func() {
		client, refusal := c.authenticate(ctx, p.Token)
		if refusal != nil {
			return c.refused(refusal)
		}
		sess := &session{client: client, filter: filter{shard: int(shard), shards: int(shards)}}
		if refusal := c.awaitBot(ctx, sess); refusal != nil {
			return c.refused(refusal)
		}
		if refusal := c.intend(ctx, sess, p.Intents); refusal != nil {
			return c.refused(refusal)
		}
		c.awaitGuilds(ctx, sess)
		return c.open(ctx, sess, &p)
	})
}

// refused is what happens in the loop when a session isn't begun.
func (c *conn) refused(e *ending) func() {
	return func() {
		c.phase, c.held = waiting, nil
		c.s.door.busy(c.seat, false)
		c.until.Reset(c.s.o.times.identify)
		c.end(e)
	}
}

// authenticate finds out whose key a token is. A wrong one is answered the
// later, the more of them its address has shown; it is one that the cluster doesn't
// know, and not this node alone.
func (c *conn) authenticate(ctx context.Context, token string) (Client, *ending) {
	if e := c.awaitServing(ctx); e != nil {
		return Client{}, e
	}
	var client Client
	known := false
	may, err := c.s.surely(ctx, func() bool {
		client, known = c.s.client(token)
		return known && client.Rights.Has(fsm.RightEvents)
	})
	switch {
	case may:
		c.vouch(client)
		return client, nil
	case err != nil:
		return Client{}, elsewhere("this node doesn't know the client key, and no majority answers for it now; connect again")
	}
	select {
	case <-time.After(c.s.attempts.wrong(c.addr, time.Now())):
	case <-ctx.Done():
	}
	if known {
		return Client{}, closing(discord.CloseAuthenticationFailed, "the client key has no right to events")
	}
	return Client{}, closing(discord.CloseAuthenticationFailed, "the token is no client key of this cluster")
}

// vouch lets the client's address send what libraries send without a key: a bot
// that has only just come to this node may have nothing to say but the answer to an interaction.
func (c *conn) vouch(client Client) {
	c.s.vouch(tries.NetOf(c.ws.RemoteAddr().String()), client, time.Now())
}

// intend gives a session the intents that its client asks for, if the bot has them.
func (c *conn) intend(ctx context.Context, sess *session, want *int64) (refusal *ending) {
	_, err := c.s.surely(ctx, func() bool {
		var has discord.Intents
		c.viewBot(sess, func(b *fsm.Bot) { has = discord.Intents(b.Config.Intents) })
		sess.intents, refusal = checkIntents(want, has)
		return refusal == nil
	})
	if err != nil {
		return elsewhere("the bot lacks some of the intents as far as this node knows, and no majority answers for it now; connect again")
	}
	return refusal
}

// awaitServing waits until this node may serve clients.
func (c *conn) awaitServing(ctx context.Context) *ending {
	// Not at once: a client that knows no other node would be back at once, too.
	err := poll(ctx, leavingWait, c.s.o.Backend.Serving)
	if err != nil && !errors.Is(err, ErrLeaving) {
		err = poll(ctx, c.s.o.times.serve, c.s.o.Backend.Serving)
	}
	if err != nil {
		return elsewhere("this node can't serve now: " + err.Error())
	}
	return nil
}

// pollEvery is how often a condition is looked at again.
const pollEvery = 50 * time.Millisecond

// poll waits until cond returns nil, for a time at most.
func poll(ctx context.Context, most time.Duration, cond func() error) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		err := cond()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return err
		}
	}
}

// open has the cluster open a session, and begins it from the state in which it
// was opened: from there on the journal has what the session wants.
func (c *conn) open(ctx context.Context, sess *session, p *identifyData) func() {
	cs := fsm.ClientSession{
		SID: newSID(), Key: sess.client.Name, Shard: uint32(sess.shard), Shards: uint32(sess.shards), Intents: uint64(sess.intents),
		Node: c.s.o.Backend.Self(), Conn: rand.Uint64(), Until: time.Now().Add(sessionLife).UnixMilli(),
	}
	var res fsm.Result
	var err error
	for range openTries {
		res, err = c.s.o.Backend.ProposeState(ctx, func(st *fsm.State) fsm.Command {
			cmd := &fsm.OpenClient{Bot: sess.client.Bot, Session: cs}
			if b := st.Bot(sess.client.Bot); b != nil {
				cmd.Room, cmd.Gaps = room(b.Cache(), &sess.filter), b.OpenMark()
			}
			return cmd
		})
		if err != nil || res.Code != fsm.Conflict {
			break
		}
		cs.SID, cs.Conn = newSID(), rand.Uint64() // the bot had a gap meanwhile, or a session has ended
	}
	if e := c.refusal(ctx, res, err); e != nil {
		return c.refused(e)
	}
	sess.sid, sess.attach = cs.SID, res.Version
	b := &burst{threshold: p.LargeThreshold, named: len(p.Shard) > 0, until: time.Now().Add(c.s.o.times.begin)}
	if !c.begin(sess, b) {
		return c.refused(dropped("the session could not be begun; connect again"))
	}
	if len(p.Presence) > 0 && !jsonscan.IsNull(p.Presence) {
		pair := p.Shard
		return func() {
			c.start(sess, b, sending)
			c.enqueue(func(ctx context.Context) { c.setPresence(ctx, sess.client.Bot, pair, p.Presence) })
		}
	}
	return func() { c.start(sess, b, sending) }
}

// openTries is how often a session is proposed: a gap of the bot's may come
// between its making and its effect, and so may the end of another session.
const openTries = 20

// refusal turns what the cluster answers into an end, nil if it did as it was
// asked.
func (c *conn) refusal(ctx context.Context, res fsm.Result, err error) *ending {
	if err == nil && res.Code == fsm.OK {
		return nil
	}
	select {
	case <-time.After(refusedWait):
	case <-ctx.Done():
	}
	if err != nil {
		c.log.Warn("the cluster didn't answer for a client's session", zap.String("code", "proxy_no_answer"), zap.Error(err))
		return elsewhere("the cluster didn't answer; connect again")
	}
	return elsewhere("the cluster refused: " + res.Msg)
}

// room returns how many numbers a session needs for what it begins with; more
// than that, since guilds may come before it is opened.
func room(c *cache.Cache, f *filter) uint32 {
	n := uint32(0)
	c.HomeGuilds(func(guild discord.Snowflake, _ bool) bool {
		if f.owns(guild) {
			n++
		}
		return true
	})
	return 2*n + spareRoom
}

// spareRoom is the least number of numbers that are kept for a session's begin.
const spareRoom = 64

// begin takes the state that a session begins with. It reports false if the
// session is gone already, or has got too many guilds.
func (c *conn) begin(sess *session, burst *burst) (ok bool) {
	c.s.o.Backend.ViewState(func(st *fsm.State) {
		b := st.Bot(sess.client.Bot)
		if b == nil {
			return
		}
		cs, found := b.ClientSession(sess.sid)
		if !found {
			return
		}
		ok = true
		sess.take(&cs, b, st.Generation)
		sess.next = b.LastPos + 1
		burst.frozen, burst.application = b.Cache().Freeze(), b.Application
	})
	if !ok {
		return false
	}
	burst.frozen.HomeGuilds(func(guild discord.Snowflake, _ bool) bool {
		if sess.owns(guild) {
			burst.guilds = append(burst.guilds, guild)
		}
		return true
	})
	return int64(len(burst.guilds)+1) <= sess.first
}

// take notes what the state says of a session and of its bot.
func (s *session) take(cs *fsm.ClientSession, b *fsm.Bot, generation uint64) {
	s.generation = generation
	s.base, s.first = cs.Base, int64(cs.First)-cs.Base
	s.teller = teller(b)
	s.self = discord.Snowflake(jsonscan.ID(jsonscan.Get(b.Cache().Self(), "id")))
}

// teller is the first of the bot's shards that are connected here: shard 0 may be
// another cluster's, or be disconnected by an operator.
func teller(b *fsm.Bot) uint32 {
	for _, sh := range b.Shards() {
		if !sh.Parked {
			return sh.Key.Index
		}
	}
	return 0
}

// start makes a session the connection's.
func (c *conn) start(sess *session, b *burst, p phase) {
	sess.key, sess.end = sess.client.hash, c.stop
	sess.feed = c.s.follow(sess.client.Bot)
	sess.feed.add(&sess.follower)
	c.s.o.Backend.ViewState(func(st *fsm.State) {
		// Another connection may have got the session since; the feed looks at the
		// next change only.
		if e := sess.judge(st, sess.client.Bot); e != nil {
			sess.finish(e)
		}
	})
	sess.touch = time.Now()
	c.sess, c.burst, c.phase = sess, b, p
	c.s.door.recognise(c.seat)
	held := c.held
	c.held = nil
	for _, f := range held {
		c.handle(f)
	}
}

package model

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/shard"
)

// sent is one dispatch event of a session's stream.
type sent struct {
	fsm.Event
	world uint64 // the happening that it reports, 0 for what belongs to the session
}

// session is a gateway session as Discord keeps it.
type session struct {
	id       string
	k        int
	stream   []sent // READY first
	base     int    // what is before is no longer in the replay buffer
	conn     *dconn // that it is attached to, or nil
	detached Time
	ended    bool
}

func (x *session) last() int64 { return x.stream[len(x.stream)-1].S }

// dconn is a connection between a node and Discord.
type dconn struct {
	d     *discordSim
	n     *node
	life  uint64
	k     int
	id    uint64 // the owner's number
	up    bool   // Discord holds it
	gone  bool   // the client has dropped it, or knows of its end
	black bool   // nothing gets through any more
	beats int    // heartbeats without an answer
	sess  *session
	fifo  Time // when the newest message to the client arrives
	reply Time // when the newest message to Discord arrives
}

// discordSim is Discord.
type discordSim struct {
	s          *Sim
	sessions   map[string]*session
	byShard    [][]*session
	conns      []*dconn
	outage     Time // no connection is taken until then
	remaining  int
	identified map[int]Time // by concurrency key
	worlds     uint64
}

func newDiscord(s *Sim) *discordSim {
	return &discordSim{
		s: s, sessions: make(map[string]*session), byShard: make([][]*session, s.knobs.Shards),
		remaining: s.knobs.Budget, identified: make(map[int]Time),
	}
}

func (d *discordSim) out() bool { return d.s.now < d.outage }

func (d *discordSim) dial(n *node, k int, id uint64) *dconn {
	c := &dconn{d: d, n: n, life: n.life, k: k, id: id, up: true}
	c.fifo = d.s.now + d.s.between(time.Millisecond, 20*time.Millisecond)
	if d.out() || n.offline > d.s.now || d.s.fault(0.03) {
		c.fifo += d.s.between(0, 300*time.Millisecond) // refused, or waited for in vain
		c.close(discord.VerdictResume)
		return c
	}
	d.conns = append(d.conns, c)
	c.toClient(shard.Connected{Conn: id})
	c.beat()
	return c
}

// toClient delivers an input in order.
func (c *dconn) toClient(in shard.Input) {
	s := c.d.s
	if c.black {
		return
	}
	c.fifo = max(c.fifo, s.now+s.between(100*time.Microsecond, 3*time.Millisecond))
	s.push(event{at: c.fifo, node: c.n, life: c.life, fn: func() {
		if c.gone {
			return
		}
		if _, end := in.(shard.Closed); end {
			c.gone = true
		}
		if e, ok := in.(shard.EventRead); ok {
			s.tracef("%s shard %d reads %d of conn %d", c.n.ref, c.k, e.Event.S, c.id)
		}
		c.n.input(c.k, in)
	}})
}

// close ends the connection from Discord's side.
func (c *dconn) close(v discord.Verdict) {
	if c.up {
		c.toClient(shard.Closed{Conn: c.id, Verdict: v})
		c.release()
	}
}

// release lets Discord forget the connection; the session can be resumed.
func (c *dconn) release() {
	c.up = false
	if x := c.sess; x != nil && x.conn == c {
		x.conn, x.detached = nil, c.d.s.now
	}
}

// drop is the client's end: Discord notices sooner or later.
func (c *dconn) drop() {
	c.gone = true
	late := c.d.s.between(time.Millisecond, 20*time.Millisecond)
	if c.d.s.fault(0.1) {
		late = c.d.s.between(0, 3*time.Second)
	}
	c.d.s.after(late, c.release)
}

// beat sends the client's heartbeats. Two without an answer end a connection;
// Discord gives up one that sends none.
func (c *dconn) beat() {
	c.d.s.push(event{at: c.d.s.now + 400*time.Millisecond, node: c.n, life: c.life, fn: func() {
		if c.gone {
			return
		}
		if c.black || !c.up {
			if c.beats++; c.beats >= 2 {
				c.gone = true
				c.d.s.after(c.d.s.between(0, time.Second), c.release)
				c.n.input(c.k, shard.Closed{Conn: c.id, Verdict: discord.VerdictResume})
				return
			}
		}
		if seq, ok := c.n.owners[c.k].o.HeartbeatSeq(c.id); ok {
			c.d.s.oracle.heartbeat(c, seq)
			c.trim(seq)
		}
		c.beat()
	}})
}

func (c *dconn) trim(seq int64) {
	if !c.d.s.knobs.Trim || c.sess == nil || !c.up {
		return
	}
	for x := c.sess; x.base < len(x.stream) && x.stream[x.base].S <= seq; {
		x.base++
	}
}

// toDiscord has fn called when what the client writes now arrives, if Discord
// still holds the connection.
func (c *dconn) toDiscord(fn func()) {
	s := c.d.s
	c.reply = max(c.reply, s.now+s.between(100*time.Microsecond, 5*time.Millisecond))
	s.push(event{at: c.reply, fn: func() {
		if c.up && !c.black {
			fn()
		}
	}})
}

func (c *dconn) identify() {
	d := c.d
	d.s.stats.Identifies++
	c.toDiscord(func() {
		key := discord.IdentifyKey(c.k, d.s.knobs.Concurrency)
		last, used := d.identified[key]
		d.identified[key] = d.s.now
		d.remaining--
		switch {
		case used && d.s.now-last < d.s.timing.Identify-50*time.Millisecond, d.s.fault(d.s.knobs.Refuse):
			c.toClient(shard.Invalidated{Conn: c.id})
		case d.s.fault(d.s.knobs.Swallow):
		default:
			d.s.after(d.s.between(2*time.Millisecond, 100*time.Millisecond), func() { d.ready(c) })
		}
	})
}

// ready begins a session: READY, then a GUILD_CREATE for each of its guilds.
func (d *discordSim) ready(c *dconn) {
	if !c.up {
		return
	}
	x := &session{id: "session-" + strconv.Itoa(len(d.sessions)), k: c.k, conn: c}
	c.sess = x
	d.sessions[x.id] = x
	d.byShard[c.k] = append(d.byShard[c.k], x)
	d.s.stats.Sessions++
	guilds := d.guilds(c.k)
	items := make([]string, 0, len(guilds))
	for _, g := range guilds {
		items = append(items, `{"id":"`+g.String()+`","unavailable":true}`)
	}
	raw := fmt.Appendf(nil, `{"session_id":%q,"guilds":[%s]}`, x.id, strings.Join(items, ","))
	x.stream = append(x.stream, sent{Event: fsm.Event{S: 1, Type: discord.EventReady, Raw: raw}})
	d.s.tracef("discord: %s of shard %d is ready on %s/%d", x.id, c.k, c.n.ref, c.id)
	c.toClient(shard.ReadyRead{Conn: c.id, SID: x.id, URL: "wss://" + x.id, S: 1, At: 1, Raw: raw})
	for _, g := range guilds {
		d.extend(x, fsm.Event{Type: discord.EventGuildCreate, Guild: g, Lane: g, Raw: []byte(`{"id":"` + g.String() + `"}`)}, 0)
	}
}

// guilds returns a shard's guilds: two, or one when the bot was removed from
// the other while nobody looked.
func (d *discordSim) guilds(k int) []discord.Snowflake {
	one := discord.Snowflake(uint64(d.s.knobs.Shards+k) << 22)
	two := discord.Snowflake(uint64(4*d.s.knobs.Shards+k) << 22)
	if d.s.now > d.s.knobs.Chaos/2 {
		return []discord.Snowflake{one}
	}
	return []discord.Snowflake{one, two}
}

// extend appends an event to a session's stream and sends it.
func (d *discordSim) extend(x *session, e fsm.Event, world uint64) {
	e.S = x.last() + 1
	if d.s.chance(d.s.knobs.Skip) {
		e.S += 1 + int64(d.s.rng.IntN(3))
	}
	x.stream = append(x.stream, sent{Event: e, world: world})
	if x.conn != nil {
		x.conn.dispatch(&x.stream[len(x.stream)-1])
	}
}

func (c *dconn) dispatch(e *sent) {
	c.toClient(shard.EventRead{Conn: c.id, At: 1, Event: e.Event})
}

// happen makes something happen in a shard's guilds; every session that lives
// reports it, under a number of its own.
func (d *discordSim) happen(k int) {
	d.worlds++
	one := d.guilds(k)[0]
	raw := fmt.Appendf(nil, `{"id":"%d","guild_id":"%s","channel_id":"5"}`, d.worlds, one)
	e := fsm.Event{Type: discord.EventMessageCreate, Guild: one, Lane: one + discord.Snowflake(d.worlds%2), Raw: raw}
	if d.s.chance(d.s.knobs.TwoRate) {
		e.Type = discord.EventMessageUpdate
	}
	if d.s.knobs.Clients > 0 && d.s.chance(0.3) {
		e.Type = discord.EventTypingStart
	}
	if d.s.knobs.Rules && d.s.chance(0.2) {
		e.Type = discord.EventInteractionCreate
		e.Raw = fmt.Appendf(nil, `{"id":"%d","application_id":"7","guild_id":"%s","token":"token-%d"}`, d.worlds, one, d.worlds)
	}
	for _, x := range d.byShard[k] {
		if d.alive(x) {
			d.extend(x, e, d.worlds)
		}
	}
}

// alive reports whether a session can still be resumed, and ends one whose
// time is over.
func (d *discordSim) alive(x *session) bool {
	if !x.ended && x.conn == nil && d.s.now-x.detached > d.s.knobs.Window {
		x.ended = true
	}
	return !x.ended
}

// resume takes RESUME.
func (c *dconn) resume(sid string, seq int64) {
	d := c.d
	d.s.stats.Resumes++
	c.toDiscord(func() {
		x := d.sessions[sid]
		if d.s.fault(d.s.knobs.Swallow) {
			return
		}
		if x == nil || !d.alive(x) || x.k != c.k {
			c.toClient(shard.Invalidated{Conn: c.id})
			return
		}
		if seq > x.last() {
			c.close(discord.VerdictNewSession)
			return
		}
		from := 0
		for from < len(x.stream) && x.stream[from].S <= seq {
			from++
		}
		if from < x.base {
			if !d.s.faults || d.s.chance(0.5) {
				x.ended = true
				c.toClient(shard.Invalidated{Conn: c.id})
				return
			}
			from = x.base
		}
		d.attach(c, x, from)
	})
}

// attach moves a session to a connection and replays what came since.
func (d *discordSim) attach(c *dconn, x *session, from int) {
	if old := x.conn; old != nil && old != c {
		if d.s.fault(0.3) {
			old.black = true // nobody tells the client
		} else {
			old.close(discord.VerdictResume)
		}
	}
	if d.s.fault(d.s.knobs.Truncate) && from < len(x.stream) {
		from += d.s.rng.IntN(len(x.stream) - from)
	}
	d.s.tracef("discord: %s is resumed on %s/%d, replays %d", x.id, c.n.ref, c.id, len(x.stream)-from)
	x.conn, c.sess = c, x
	for i := from; i < len(x.stream); i++ {
		c.dispatch(&x.stream[i])
	}
	d.extend(x, fsm.Event{Type: discord.EventResumed, Raw: []byte(`{}`)}, 0)
}

package model

import (
	"fmt"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// client is a bot in another language: a client of the proxy. It knows what a
// library knows, the id of its session and the highest number that it was sent,
// and begins anew when it is told to.
type client struct {
	s       *Sim
	id      int
	i, n    int // its virtual shard
	intents discord.Intents

	sid  string
	seq  int64
	gen  uint64 // in which its session began
	at   int    // of what is committed in gen, what it has still to be sent begins here
	mark mark   // where it was a while ago
	conn *clientConn
}

// mark is where a client was in a session.
type mark struct {
	sid string
	seq int64
	at  int
}

// clientLife is how long a session can be resumed that no heartbeat speaks for.
const clientLife = 3 * time.Second

func newClient(s *Sim, id int) *client {
	c := &client{s: s, id: id, n: 1 + s.rng.IntN(2)}
	c.i = s.rng.IntN(c.n)
	c.intents = []discord.Intents{
		discord.IntentGuilds | discord.IntentGuildMessages,
		discord.IntentGuildMessages | discord.IntentGuildMessageTyping,
		discord.IntentGuildMessageTyping,
		discord.IntentGuilds,
	}[s.rng.IntN(4)]
	return c
}

func (c *client) String() string { return fmt.Sprintf("client %d of [%d,%d]", c.id, c.i, c.n) }

// live reports whether the client has a connection that serves its session.
func (c *client) live() bool { return c.conn != nil && c.conn.live }

func (c *client) connectSoon() {
	c.s.after(c.s.between(20*time.Millisecond, 400*time.Millisecond), c.connect)
}

// connect goes to a node, as a balancer has it, and identifies or resumes there.
func (c *client) connect() {
	s := c.s
	if c.conn != nil {
		return
	}
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	if !n.alive || !n.serves() {
		c.connectSoon()
		return
	}
	x := &clientConn{c: c, n: n, life: n.life, number: s.rng.Uint64()}
	c.conn = x
	s.after(2*time.Second, func() {
		if c.conn == x && !x.live {
			c.drop()
		}
	})
	if c.sid == "" {
		s.on(n, s.delay(), x.identify)
		return
	}
	// One that was started again may go on from an older number that it has saved.
	if c.mark.sid == c.sid && s.fault(0.2) {
		c.seq, c.at = c.mark.seq, c.mark.at
	}
	sid, seq := c.sid, c.seq
	s.tracef("%s resumes %s after %d at %s", c, sid, seq, n.ref)
	s.on(n, s.delay(), func() { x.resume(sid, seq, 0) })
}

// drop is the end of a connection, seen by the client.
func (c *client) drop() {
	c.conn = nil
	c.connectSoon()
}

// begun is READY, and then the last event of a session's begin. From it on the
// client is to be sent what is committed at or after a place in the log.
func (c *client) begun(sid string, seq int64, gen uint64, at int) {
	c.sid, c.seq, c.gen, c.at = sid, seq, gen, at
	c.mark = mark{sid, seq, at}
}

// anew is op 9: the session is over, and the client knows.
func (c *client) anew() {
	c.s.stats.Anew++
	c.sid, c.mark = "", mark{}
	c.drop()
}

// beats sends the connection's heartbeats: two without an answer end it.
func (c *client) beats(x *clientConn) {
	s := c.s
	s.after(300*time.Millisecond, func() {
		if c.conn != x {
			return
		}
		if x.missed++; x.missed > 2 {
			c.drop()
			return
		}
		if s.chance(0.2) {
			c.mark = mark{c.sid, c.seq, c.at}
		}
		if seq := c.seq; x.n.alive && x.n.life == x.life {
			s.on(x.n, s.delay(), func() { x.heartbeat(seq) })
		}
		c.beats(x)
	})
}

// cut ends a client's connection for no reason, or the client closes its session.
func (s *Sim) cutClients() {
	if !s.faults || len(s.clients) == 0 {
		return
	}
	c := s.clients[s.rng.IntN(len(s.clients))]
	if x := c.conn; x != nil && x.live {
		if s.chance(0.1) {
			x.n.propose(&fsm.CloseClient{Bot: botName, SID: x.sid, Attach: x.attach}, x.n.generation(), func(fsm.Result, bool) {})
			c.sid = ""
		}
		c.drop()
	}
	s.after(s.between(100*time.Millisecond, 1500*time.Millisecond), s.cutClients)
}

// rekey takes the right to events from the clients' key, and gives it back after a
// while. From rules 2 on the first ends their sessions.
func (s *Sim) rekey() {
	if !s.faults || len(s.clients) == 0 {
		return
	}
	s.putKey(fsm.RightREST)
	s.after(s.between(0, time.Second), func() { s.putKey(fsm.RightEvents | fsm.RightREST) })
	s.after(s.between(time.Second, 4*time.Second), s.rekey)
}

// putKey has an operator give the clients' key its rights; once all is quiet he
// makes sure of it.
func (s *Sim) putKey(rights fsm.Rights) {
	if n := s.someone(); n != nil && n.applied > 0 {
		n.propose(&fsm.PutClientKey{Bot: botName, Key: fsm.ClientKey{Name: clientKey, Rights: rights, At: 1}}, n.generation(), func(fsm.Result, bool) {})
	}
	if !s.faults {
		s.after(time.Second, func() { s.putKey(fsm.RightEvents | fsm.RightREST) })
	}
}

// clientsOf ends the connections of a process that has died.
func (s *Sim) clientsOf(n *node, life uint64) {
	for _, c := range s.clients {
		if x := c.conn; x != nil && x.n == n && x.life == life {
			s.after(s.between(time.Millisecond, 200*time.Millisecond), func() {
				if c.conn == x {
					c.drop()
				}
			})
		}
	}
}

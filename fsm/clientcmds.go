package fsm

import (
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/mutant"
)

// OpenClient opens a session of a client of the proxy.
//
// First and Base are set as it is applied: only from then on does the journal
// have what the session wants. Room is how many numbers are kept for what it
// begins with.
//
// A key has so many sessions at most: the one that would be over first goes then,
// which is one that nobody has spoken for, if there is any. So a client that
// identifies again and again crowds out no other.
//
// Guard: its key has the right, the process is up, no session has the id, and
// the bot has had no gap since Gaps were counted. Without the last, a repeat that
// comes after a gap has ended the session would open it again, and a client that
// hasn't been told would resume it behind the gap. A repeat after another end
// opens a session whose id nobody knows any more, until its time is over.
type OpenClient struct {
	Bot     string
	Session ClientSession // Attach, Seq and Through are not sent, 1 and 0; First and Base don't count
	Room    uint32
	Gaps    uint64 // Bot.OpenMark as its proposer saw it
}

// Kind implements Command.
func (*OpenClient) Kind() Kind { return KindOpenClient }

func (c *OpenClient) encode(w *writer) {
	w.string(c.Bot)
	c.Session.encode(w)
	w.uint(uint64(c.Room))
	w.uint(c.Gaps)
}

func (c *OpenClient) decode(r *reader) {
	c.Bot = r.string()
	c.Session.decode(r)
	c.Room, c.Gaps = r.uint32(), r.uint()
}

func (c *OpenClient) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	cs := c.Session
	key, ok := b.clients.keys[cs.Key]
	had := b.clients.sessions[cs.SID]
	switch {
	case cs.SID == "" || len(cs.SID) > MaxClientKeyName:
		return refused("a session's id has 1 to 64 bytes")
	case !ok || !key.Rights.Has(RightEvents):
		return refused("the client key may not open sessions")
	case cs.Shards == 0 || cs.Shard >= cs.Shards:
		return refused("a shard is below the number of shards")
	case s.node(cs.Node) == nil:
		return noNode
	case had != nil && had.Attach == 1 && had.Conn == cs.Conn:
		return Result{Version: had.Attach}
	case had != nil:
		return Result{Code: Conflict, Version: had.Attach, Msg: "the session exists"}
	case c.Gaps != b.OpenMark() && !s.Mutant.Has(mutant.OpenGaps):
		return Result{Code: Conflict, Msg: "events may have been lost meanwhile, or a session has ended; open another one"}
	}
	b.clients.makeRoom(s, cs.Key)
	if len(b.clients.sessions) >= MaxClientSessions {
		return refused("the bot has 10000 client sessions; those that are unused end by themselves")
	}
	cs.Attach, cs.Seq, cs.Through = 1, 0, 0
	cs.First = b.LastPos
	cs.Base = int64(b.LastPos) - int64(c.Room)
	b.clients.sessions[cs.SID] = &cs
	b.clients.intents |= discord.Intents(cs.Intents)
	return Result{Version: cs.Attach}
}

// AttachClient gives a session to a new connection of its client, perhaps on
// another node. The connection before is served no more.
//
// Guard: the session has had exactly Attach connections, and the process is up.
type AttachClient struct {
	Bot    string
	SID    string
	Attach uint64
	Conn   uint64
	Seq    int64
	Node   NodeRef
	Until  int64
}

// Kind implements Command.
func (*AttachClient) Kind() Kind { return KindAttachClient }

func (c *AttachClient) encode(w *writer) {
	w.string(c.Bot)
	w.string(c.SID)
	w.uint(c.Attach)
	w.uint(c.Conn)
	w.int(c.Seq)
	w.ref(c.Node)
	w.int(c.Until)
}

func (c *AttachClient) decode(r *reader) {
	c.Bot, c.SID, c.Attach, c.Conn = r.string(), r.string(), r.uint(), r.uint()
	c.Seq, c.Node, c.Until = r.int(), r.ref(), r.int()
}

func (c *AttachClient) apply(s *State) Result {
	b, cs, res := s.clientSession(c.Bot, c.SID)
	switch {
	case cs == nil:
		return res
	case s.node(c.Node) == nil:
		return noNode
	case cs.Attach == c.Attach+1 && cs.Conn == c.Conn:
		return Result{Version: cs.Attach}
	case cs.Attach != c.Attach:
		return Result{Code: Conflict, Version: cs.Attach, Msg: "the session has another connection"}
	}
	next := *cs
	next.Attach, next.Conn, next.Node = cs.Attach+1, c.Conn, c.Node
	next.Seq, next.Until = max(cs.Seq, c.Seq), max(cs.Until, c.Until)
	b.clients.sessions[c.SID] = &next
	return Result{Version: next.Attach}
}

// TouchClient says that a session's client lives and what it has confirmed.
//
// Guard: the connection is the session's newest.
type TouchClient struct {
	Bot    string
	SID    string
	Attach uint64
	Seq    int64
	// Through is ClientSession's.
	Through int64
	Until   int64
}

// Kind implements Command.
func (*TouchClient) Kind() Kind { return KindTouchClient }

func (c *TouchClient) encode(w *writer) {
	w.string(c.Bot)
	w.string(c.SID)
	w.uint(c.Attach)
	w.int(c.Seq)
	w.int(c.Through)
	w.int(c.Until)
}

func (c *TouchClient) decode(r *reader) {
	c.Bot, c.SID, c.Attach = r.string(), r.string(), r.uint()
	c.Seq, c.Through, c.Until = r.int(), r.int(), r.int()
}

func (c *TouchClient) apply(s *State) Result {
	b, cs, res := s.clientSession(c.Bot, c.SID)
	if cs == nil {
		return res
	}
	if cs.Attach != c.Attach {
		return Result{Code: Old, Version: cs.Attach}
	}
	next := *cs
	next.Seq, next.Through, next.Until = max(cs.Seq, c.Seq), max(cs.Through, c.Through), max(cs.Until, c.Until)
	b.clients.sessions[c.SID] = &next
	return Result{Version: next.Attach}
}

// CloseClient ends a session: its client has closed it for good.
//
// Guard: the connection that it came through is the session's newest.
type CloseClient struct {
	Bot    string
	SID    string
	Attach uint64
}

// Kind implements Command.
func (*CloseClient) Kind() Kind { return KindCloseClient }

func (c *CloseClient) encode(w *writer) { w.string(c.Bot); w.string(c.SID); w.uint(c.Attach) }
func (c *CloseClient) decode(r *reader) { c.Bot, c.SID, c.Attach = r.string(), r.string(), r.uint() }

func (c *CloseClient) apply(s *State) Result {
	b, cs, res := s.clientSession(c.Bot, c.SID)
	if cs == nil {
		return res
	}
	if cs.Attach != c.Attach {
		return Result{Code: Old, Version: cs.Attach}
	}
	b.clients.drop(s, func(o *ClientSession) bool { return o == cs })
	return Result{}
}

// ExpireClients ends the sessions whose time is over.
//
// Guard: none. Now is the leader's clock: a session may last longer by what the
// clocks of its node and of the leader differ.
type ExpireClients struct {
	Bot string
	Now int64 // Unix milliseconds
}

// Kind implements Command.
func (*ExpireClients) Kind() Kind { return KindExpireClients }

func (c *ExpireClients) encode(w *writer) { w.string(c.Bot); w.int(c.Now) }
func (c *ExpireClients) decode(r *reader) { c.Bot, c.Now = r.string(), r.int() }

func (c *ExpireClients) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	b.clients.drop(s, func(cs *ClientSession) bool { return cs.Until <= c.Now })
	return Result{}
}

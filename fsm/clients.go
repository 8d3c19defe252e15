package fsm

import (
	"bytes"
	"slices"
	"strings"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/jsonscan"
	"github.com/botnode/botnode/internal/mutant"
)

// ClientSession is the gateway session of a client of the proxy: a place in the
// journal, and a filter. Any node can serve it.
//
// The number s of an event is its position less Base. The session was opened at
// the position First: from there on the journal has what it wants. What it begins
// with, READY and a GUILD_CREATE for each guild, is made from the caches as they
// were at a position P from First on, under numbers below First-Base, but for the
// last, which is P-Base; the events after P follow.
type ClientSession struct {
	SID     string
	Key     string // name of the client key that it was opened with
	Shard   uint32 // the client's own shard, which has nothing to do with the bot's
	Shards  uint32
	Intents uint64
	Base    int64
	First   uint64
	// Node serves the session, or did so last. Attach counts the connections that
	// the session has had: only the newest one is served.
	Node   NodeRef
	Attach uint64
	// Conn is a number that the newest connection drew: it tells a repeat of an
	// AttachClient from another connection's.
	Conn uint64
	// Seq is the highest number that the client has confirmed, by a heartbeat or
	// a RESUME.
	Seq int64
	// Through is up to which number a client that has Seq lacks nothing: what
	// there is between didn't pass its filter. 0 if nobody said.
	Through int64
	// Until is when the session is over if nothing more is heard of it, Unix
	// milliseconds by the clock of the node that last heard of it.
	Until int64
}

// maxApplication bounds the object that is kept of READY, in bytes.
const maxApplication = 64 << 10

// The most sessions of a bot's clients, and of one key.
const (
	MaxClientSessions = 10_000
	MaxKeySessions    = 2_500
)

// clients is what a bot's state holds of the proxy's clients.
type clients struct {
	keys     map[string]ClientKey
	byHash   map[[32]byte]string // names of keys
	dropped  map[string]int64    // names that are gone, and the At of the last key
	sessions map[string]*ClientSession
	intents  discord.Intents // of all sessions together
	// ended counts the sessions that are over, from rules 3 on.
	ended uint64
}

func newClients() clients {
	return clients{
		keys: make(map[string]ClientKey), byHash: make(map[[32]byte]string), dropped: make(map[string]int64),
		sessions: make(map[string]*ClientSession),
	}
}

// makeRoom ends the sessions of a key that are too many for another one: those
// that would be over first.
func (c *clients) makeRoom(s *State, key string) {
	own := 0
	var first *ClientSession
	for _, cs := range c.sessions {
		if cs.Key != key {
			continue
		}
		own++
		if first == nil || cs.Until < first.Until || cs.Until == first.Until && cs.SID < first.SID {
			first = cs
		}
	}
	if own >= MaxKeySessions {
		c.drop(s, func(cs *ClientSession) bool { return cs == first })
	}
}

// wants reports whether a session may be sent events of a type.
func (c *clients) wants(event string) bool {
	return len(c.sessions) > 0 && event != discord.EventReady && event != discord.EventResumed && c.intents.BringsAny(event)
}

// ClientNonce begins the nonces under which clients' requests for members reach
// Discord.
const ClientNonce = "bnp-"

// unasked reports whether an event is in the journal for clients alone, and
// answers a request that none of them has made: the chunks of a large guild would
// push out of the journal what clients may still need.
func (b *Bot) unasked(e *Event) bool {
	at := e.Raw
	switch e.Type {
	case discord.EventGuildMembersChunk:
	case discord.EventRateLimited:
		at = jsonscan.Get(at, "meta")
	default:
		return false
	}
	if _, ok := b.interests[e.Type]; ok {
		return false
	}
	return !strings.HasPrefix(jsonscan.String(jsonscan.Get(at, "nonce")), ClientNonce)
}

// drop ends the sessions that gone names.
func (c *clients) drop(s *State, gone func(*ClientSession) bool) {
	c.intents = 0
	for sid, cs := range c.sessions {
		if gone(cs) {
			delete(c.sessions, sid)
			if s.since(rulesOpenOnce) {
				c.ended++
			}
			continue
		}
		c.intents |= discord.Intents(cs.Intents)
	}
}

// shares reports whether a guild may be both of the session's shard and of one of
// the bot's: then a gap there is one here, and the client has to be told, by the
// session's end.
func (cs *ClientSession) shares(k ShardKey) bool { return k.Shares(cs.Shard, cs.Shards) }

// endSharing ends the sessions that may have guilds of a shard: there is a gap in
// it, of which their clients can't know.
func (b *Bot) endSharing(s *State, k ShardKey) {
	if !s.Mutant.Has(mutant.ClientGap) {
		b.clients.drop(s, func(cs *ClientSession) bool { return cs.shares(k) })
	}
}

// Shares reports whether a guild may be both of the shard and of shard i of n.
func (k ShardKey) Shares(i, n uint32) bool {
	a, b := n, max(1, k.Layout)
	for b != 0 {
		a, b = b, a%b
	}
	return a == 0 || i%a == k.Index%a
}

// noClient answers for a session that is over, or never was.
var noClient = Result{Code: Old, Msg: "there is no such session"}

func (s *State) clientSession(bot, sid string) (*Bot, *ClientSession, Result) {
	b := s.bots[bot]
	if b == nil {
		return nil, nil, noBot
	}
	cs := b.clients.sessions[sid]
	if cs == nil {
		return nil, nil, noClient
	}
	return b, cs, Result{}
}

// ClientsRev changes whenever a session of a client, of whatever bot, may have
// ended or gone to another connection, or its key lost a right. It is this node's
// own, and says nothing to another one.
func (s *State) ClientsRev() uint64 { return s.clientsRev }

// ClientSession returns a session of a client of the proxy.
func (b *Bot) ClientSession(sid string) (ClientSession, bool) {
	if cs := b.clients.sessions[sid]; cs != nil {
		return *cs, true
	}
	return ClientSession{}, false
}

// OpenMark changes with everything after which a repeat of an OpenClient must not
// open its session again: a gap, and the end of a session.
func (b *Bot) OpenMark() uint64 { return b.GapCount + b.clients.ended }

// encodeEnded writes how many sessions of each bot's clients are over.
func (s *State) encodeEnded(w *writer) {
	names := slices.DeleteFunc(s.BotNames(), func(name string) bool { return s.bots[name].clients.ended == 0 })
	w.uint(uint64(len(names)))
	for _, name := range names {
		w.string(name)
		w.uint(s.bots[name].clients.ended)
	}
}

func (s *State) decodeEnded(r *reader) {
	for range r.count(2) {
		name, n := r.string(), r.uint()
		b := s.bots[name]
		if b == nil || n == 0 || b.clients.ended > 0 {
			r.fail("sessions of clients of a bot that isn't there, or there twice")
			return
		}
		b.clients.ended = n
	}
}

// anyEnded reports whether there is something for encodeEnded to write.
func (s *State) anyEnded() bool {
	for _, b := range s.bots {
		if b.clients.ended > 0 {
			return true
		}
	}
	return false
}

// ClientSessions returns the sessions of the proxy's clients, by id.
func (b *Bot) ClientSessions() []ClientSession {
	out := make([]ClientSession, 0, len(b.clients.sessions))
	for _, sid := range sortedNames(b.clients.sessions) {
		out = append(out, *b.clients.sessions[sid])
	}
	return out
}

// NextClientExpiry returns when the next session of a client is over if nothing
// more is heard of it, Unix milliseconds.
func (b *Bot) NextClientExpiry() (at int64, ok bool) {
	for _, cs := range b.clients.sessions {
		if !ok || cs.Until < at {
			at, ok = cs.Until, true
		}
	}
	return at, ok
}

func (cs *ClientSession) encode(w *writer) {
	w.string(cs.SID)
	w.string(cs.Key)
	w.uint(uint64(cs.Shard))
	w.uint(uint64(cs.Shards))
	w.uint(cs.Intents)
	w.int(cs.Base)
	w.uint(cs.First)
	w.ref(cs.Node)
	w.int(cs.Until)
	w.uint(cs.Conn)
}

func (cs *ClientSession) decode(r *reader) {
	cs.SID, cs.Key = r.string(), r.string()
	cs.Shard, cs.Shards, cs.Intents = r.uint32(), r.uint32(), r.uint()
	cs.Base, cs.First, cs.Node, cs.Until = r.int(), r.uint(), r.ref(), r.int()
	cs.Conn = r.uint()
}

// noteApplication keeps what READY says of the bot's application: a client's
// READY says the same.
func (b *Bot) noteApplication(ready []byte) {
	if app := jsonscan.Get(ready, "application"); len(app) > 0 && len(app) <= maxApplication && app[0] == '{' {
		b.Application = bytes.Clone(app)
	}
}

// encodeClients writes keys and sessions.
func (b *Bot) encodeClients(w *writer) {
	w.bytes(b.Application)
	w.uint(uint64(len(b.clients.keys)))
	for _, k := range b.ClientKeys() {
		k.encode(w)
	}
	w.uint(uint64(len(b.clients.dropped)))
	for _, name := range sortedNames(b.clients.dropped) {
		w.string(name)
		w.int(b.clients.dropped[name])
	}
	w.uint(uint64(len(b.clients.sessions)))
	for _, sid := range sortedNames(b.clients.sessions) {
		cs := b.clients.sessions[sid]
		cs.encode(w)
		w.uint(cs.Attach)
		w.int(cs.Seq)
		w.int(cs.Through)
	}
}

func (b *Bot) decodeClients(r *reader) {
	if b.Application = r.bytes(); len(b.Application) == 0 {
		b.Application = nil
	}
	for range r.count(36) {
		var k ClientKey
		k.decode(r)
		b.clients.putKey(k)
	}
	for range r.count(2) {
		name := r.string()
		b.clients.dropped[name] = r.int()
	}
	for range r.count(13) {
		cs := new(ClientSession)
		cs.decode(r)
		cs.Attach, cs.Seq, cs.Through = r.uint(), r.int(), r.int()
		b.clients.sessions[cs.SID] = cs
		b.clients.intents |= discord.Intents(cs.Intents)
	}
}
